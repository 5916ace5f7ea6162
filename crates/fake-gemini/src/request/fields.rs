//! The fields of requests on the compatible surface.
//!
//! The fields are those that are documented or were seen to be accepted, and what Gemini adds to
//! its own answers, which clients send back. `frequency_penalty`, `seed`, `top_k`, `reasoning` and
//! `google` are refused: users have reported the error for each.

use super::shapes::Field;
use super::shapes::Shape::{Flag, Integer, List, Number, Object, Open, Text, TextOr};

pub(super) const CHAT: &[Field] = &[
    ("model", Text),
    ("messages", List(&Object(MESSAGE))),
    ("stream", Flag),
    ("stream_options", Object(&[("include_usage", Flag)])),
    ("n", Integer),
    ("temperature", Number),
    ("top_p", Number),
    ("max_tokens", Integer),
    ("max_completion_tokens", Integer),
    ("stop", TextOr(&List(&Text))),
    ("tools", List(&Object(TOOL))),
    ("tool_choice", TextOr(&Open)),
    ("parallel_tool_calls", Flag),
    ("response_format", Open),
    ("reasoning_effort", Text),
    ("service_tier", Text),
    ("extra_body", Object(&[("google", Open)])),
];

pub(super) const EMBEDDING: &[Field] = &[
    ("model", Text),
    ("input", TextOr(&List(&Text))),
    ("encoding_format", Text),
    ("dimensions", Integer),
];

pub(super) const IMAGES: &[Field] = &[
    ("model", Text),
    ("prompt", Text),
    ("n", Integer),
    ("size", Text),
    ("response_format", Text),
    ("extra_body", Object(&[("google", Open)])),
];

pub(super) const BATCH: &[Field] = &[
    ("input_file_id", Text),
    ("endpoint", Text),
    ("completion_window", Text),
    ("metadata", Open),
];

const MESSAGE: &[Field] = &[
    ("role", Text),
    ("content", TextOr(&List(&Object(PART)))),
    ("name", Text),
    ("tool_calls", List(&Object(TOOL_CALL))),
    ("tool_call_id", Text),
    ("extra_content", Open),
    ("thought_signature", Text),
];

const PART: &[Field] = &[
    ("type", Text),
    ("text", Text),
    ("image_url", Open),
    ("input_audio", Open),
    // How files are named here is not documented: OpenAI's way and Google's.
    ("file", Open),
    ("file_data", Open),
];

const TOOL_CALL: &[Field] = &[
    ("id", Text),
    ("type", Text),
    ("function", Object(&[("name", Text), ("arguments", Text)])),
    ("extra_content", Open),
];

const TOOL: &[Field] = &[("type", Text), ("function", Object(FUNCTION))];

const FUNCTION: &[Field] = &[
    ("name", Text),
    ("description", Text),
    ("parameters", Open),
    ("strict", Flag),
];
