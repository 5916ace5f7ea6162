//! The tokens of a native request, roughly: the fake has no tokenizer.

use crate::answer::estimate_tokens;
use crate::json::{compact, either};
use crate::request::body::Body;
use serde_json::Value;

/// What an image costs up to 384 by 384 pixels (<https://ai.google.dev/gemini-api/docs/tokens>).
const MEDIA: u64 = 258;

/// The tokens of the contents, the instructions and the tools.
pub(super) fn in_request(body: &Body) -> u64 {
    let contents = body.either("contents").as_array().into_iter().flatten();
    let contents = contents.chain([body.either("systemInstruction")]);
    let parts = contents.filter_map(|content| content["parts"].as_array());
    let tools = match body.either("tools") {
        Value::Null => 0,
        tools => estimate_tokens(compact(tools).len()),
    };
    parts.flatten().map(in_part).sum::<u64>() + tools
}

fn in_part(part: &Value) -> u64 {
    let is_media = |name| !either(part, name).is_null();
    match part["text"].as_str() {
        Some(text) => estimate_tokens(text.len()),
        None if is_media("inlineData") || is_media("fileData") => MEDIA,
        None => estimate_tokens(compact(part).len()),
    }
}
