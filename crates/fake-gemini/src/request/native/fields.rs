//! The fields of requests to generate and to count, in protobuf's spelling.
//!
//! Sources: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/tokens>,
//! <https://ai.google.dev/api/caching#Content>. What is documented for Vertex AI only is refused,
//! as users have reported. Within tools that Google runs itself, nothing is checked.

use crate::request::shapes::Field;
use crate::request::shapes::Shape::{
    Any, Bytes, Enum, Flag, Integer, List, Map, Number, Object, Open, Text,
};

pub(super) const COUNT: &[Field] = &[
    ("contents", List(&Object(CONTENT))),
    ("generate_content_request", Object(GENERATE)),
];

pub(super) const GENERATE: &[Field] = &[
    ("model", Text),
    ("contents", List(&Object(CONTENT))),
    ("system_instruction", Object(CONTENT)),
    ("tools", List(&Object(TOOL))),
    ("tool_config", Object(TOOL_CONFIG)),
    ("safety_settings", List(&Open)),
    ("generation_config", Object(CONFIG)),
    ("cached_content", Text),
    ("service_tier", Text),
    ("store", Flag),
];

const CONTENT: &[Field] = &[("role", Text), ("parts", List(&Object(PART)))];

const PART: &[Field] = &[
    ("thought", Flag),
    ("thought_signature", Bytes),
    ("part_metadata", Open),
    ("media_resolution", Open),
    ("video_metadata", Open),
    ("text", Text),
    ("inline_data", Object(BLOB)),
    ("file_data", Object(FILE)),
    ("function_call", Object(FUNCTION_CALL)),
    ("function_response", Object(FUNCTION_RESPONSE)),
    ("executable_code", Open),
    ("code_execution_result", Open),
    ("tool_call", Open),
    ("tool_response", Open),
];

const BLOB: &[Field] = &[("mime_type", Text), ("data", Bytes)];

const FILE: &[Field] = &[("mime_type", Text), ("file_uri", Text)];

const FUNCTION_CALL: &[Field] = &[("id", Text), ("name", Text), ("args", Open)];

const FUNCTION_RESPONSE: &[Field] = &[
    ("id", Text),
    ("name", Text),
    ("response", Open),
    (
        "parts",
        List(&Object(&[
            ("inline_data", Object(BLOB)),
            ("file_data", Object(FILE)),
        ])),
    ),
    ("will_continue", Flag),
    ("scheduling", Text),
];

const TOOL: &[Field] = &[
    ("function_declarations", List(&Object(&DECLARATION))),
    ("google_search", Open),
    ("google_search_retrieval", Open),
    ("google_maps", Open),
    ("url_context", Open),
    ("code_execution", Open),
    ("computer_use", Open),
    ("file_search", Open),
    ("mcp_servers", List(&Open)),
];

// Schemas contain schemas, which a static may and a constant may not.
static DECLARATION: [Field; 7] = [
    ("name", Text),
    ("description", Text),
    ("behavior", Text),
    ("parameters", Object(&SCHEMA)),
    ("parameters_json_schema", Any),
    ("response", Object(&SCHEMA)),
    ("response_json_schema", Any),
];

static SCHEMA: [Field; 22] = [
    ("type", TYPE),
    ("format", Text),
    ("title", Text),
    ("description", Text),
    ("nullable", Flag),
    ("enum", List(&Text)),
    ("items", Object(&SCHEMA)),
    ("min_items", Integer),
    ("max_items", Integer),
    ("properties", Map(&Object(&SCHEMA))),
    ("required", List(&Text)),
    ("property_ordering", List(&Text)),
    ("min_properties", Integer),
    ("max_properties", Integer),
    ("min_length", Integer),
    ("max_length", Integer),
    ("pattern", Text),
    ("minimum", Number),
    ("maximum", Number),
    ("any_of", List(&Object(&SCHEMA))),
    ("default", Any),
    ("example", Any),
];

const TYPE: crate::request::shapes::Shape = Enum(
    "type.googleapis.com/google.ai.generativelanguage.v1beta.Type",
    &[
        "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL",
    ],
);

const TOOL_CONFIG: &[Field] = &[
    ("function_calling_config", Object(CALLING_CONFIG)),
    ("retrieval_config", Open),
    ("include_server_side_tool_invocations", Flag),
];

const CALLING_CONFIG: &[Field] = &[
    (
        "mode",
        Enum(
            "type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode",
            &["AUTO", "ANY", "NONE", "VALIDATED"],
        ),
    ),
    ("allowed_function_names", List(&Text)),
];

static CONFIG: &[Field] = &[
    ("stop_sequences", List(&Text)),
    ("candidate_count", Integer),
    ("max_output_tokens", Integer),
    ("temperature", Number),
    ("top_p", Number),
    ("top_k", Integer),
    ("seed", Integer),
    ("presence_penalty", Number),
    ("frequency_penalty", Number),
    ("response_mime_type", Text),
    ("response_schema", Object(&SCHEMA)),
    ("response_json_schema", Any),
    ("response_modalities", List(&Text)),
    ("response_logprobs", Flag),
    ("logprobs", Integer),
    ("enable_enhanced_civic_answers", Flag),
    ("speech_config", Open),
    ("thinking_config", Object(THINKING)),
    ("image_config", Open),
    ("media_resolution", Text),
];

const THINKING: &[Field] = &[
    ("include_thoughts", Flag),
    ("thinking_budget", Integer),
    (
        "thinking_level",
        Enum(
            "type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel",
            &["MINIMAL", "LOW", "MEDIUM", "HIGH"],
        ),
    ),
];
