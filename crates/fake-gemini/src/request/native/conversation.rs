//! What Google demands of `contents`: their parts, and the order of calls and results.
//!
//! A content without a role is the user's. Ids of calls are not compared with those of results: no
//! error for that is published.

use crate::errors::{self, ApiError, FieldViolation, invalid_fields};
use crate::json::either;
use crate::models::is_gemini_3;
use serde_json::Value;

/// The kinds of data, of which a part has one.
const DATA: [&str; 9] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// The types of images and documents that models read
/// (<https://ai.google.dev/gemini-api/docs/file-input-methods>).
const MIME_TYPES: [&str; 21] = [
    "application/json",
    "application/pdf",
    "application/rtf",
    "application/x-javascript",
    "application/x-python-code",
    "application/x-typescript",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/markdown",
    "text/plain",
    "text/rtf",
    "text/x-python",
    "text/x-typescript",
    "text/xml",
];

/// Refuses contents that `model` would not answer.
pub(super) fn check(contents: &[Value], model: &str) -> Result<(), ApiError> {
    let mut violations = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        if !matches!(content["role"].as_str(), None | Some("" | "user" | "model")) {
            return Err(errors::invalid_role());
        }
        let path = format!("contents[{index}].parts");
        if parts(content).is_empty() {
            violations.push((path, "contents.parts must not be empty."));
            continue;
        }
        for (index, part) in parts(content).iter().enumerate() {
            check_part(part, &format!("{path}[{index}]"), &mut violations)?;
        }
    }
    if !violations.is_empty() {
        return Err(errors::invalid_request(&violations));
    }
    check_order(contents, model)
}

fn parts(content: &Value) -> &[Value] {
    content["parts"].as_array().map_or(&[], Vec::as_slice)
}

fn check_part(
    part: &Value,
    path: &str,
    violations: &mut Vec<(String, &'static str)>,
) -> Result<(), ApiError> {
    let mut data = DATA.iter().filter(|name| !either(part, name).is_null());
    let Some(&kind) = data.next() else {
        let rule = "required oneof field 'data' must have one initialized field";
        violations.push((format!("{path}.data"), rule));
        return Ok(());
    };
    if let Some(second) = data.next() {
        return Err(invalid_fields(&[FieldViolation::second_of_one(
            path, second,
        )]));
    }
    let value = either(part, kind);
    match kind {
        "functionCall" | "functionResponse" if value["name"].as_str().is_none_or(str::is_empty) => {
            let path = format!("{path}.{}.name", crate::json::snake_case(kind));
            violations.push((path, "Name cannot be empty."));
        }
        "inlineData" => check_mime_type(either(value, "mimeType").as_str().unwrap_or_default())?,
        _ => {}
    }
    Ok(())
}

fn check_mime_type(mime_type: &str) -> Result<(), ApiError> {
    let bare = mime_type.split(';').next().unwrap_or_default();
    let is_known = MIME_TYPES.contains(&bare)
        || ["audio/", "video/"]
            .iter()
            .any(|kind| bare.starts_with(kind));
    match is_known {
        true => Ok(()),
        false => Err(errors::unsupported_mime_type(mime_type)),
    }
}

/// What a content is in the order of contents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Model,
    Calls(usize),
    Results(usize),
    /// Function responses and something else.
    Mixed(usize),
}

impl Kind {
    fn of(content: &Value) -> Self {
        let count = |name| {
            let parts = parts(content).iter();
            parts.filter(|part| !either(part, name).is_null()).count()
        };
        if content["role"] == "model" {
            return match count("functionCall") {
                0 => Self::Model,
                calls => Self::Calls(calls),
            };
        }
        match count("functionResponse") {
            0 => Self::User,
            results if results == parts(content).len() => Self::Results(results),
            results => Self::Mixed(results),
        }
    }
}

/// The turns of a conversation. Google's clients send each chunk of a streamed answer as a content of
/// its own, so consecutive contents of the model are one turn.
fn turns(contents: &[Value]) -> Vec<Kind> {
    let mut turns = Vec::new();
    for kind in contents.iter().map(Kind::of) {
        match (turns.last_mut(), kind) {
            (Some(Kind::Model | Kind::Calls(_)), Kind::Model) => {}
            (Some(Kind::Calls(earlier)), Kind::Calls(calls)) => *earlier += calls,
            (Some(turn @ Kind::Model), Kind::Calls(_)) => *turn = kind,
            _ => turns.push(kind),
        }
    }
    turns
}

fn check_order(contents: &[Value], model: &str) -> Result<(), ApiError> {
    let mut previous = None;
    for kind in turns(contents) {
        match (previous, kind) {
            (None, Kind::Calls(_)) => return Err(errors::calls_out_of_turn()),
            (Some(Kind::Calls(calls)), Kind::Results(results) | Kind::Mixed(results))
                if calls == results => {}
            (Some(Kind::Calls(_)), _) => return Err(errors::results_do_not_match_calls()),
            (_, Kind::Results(_) | Kind::Mixed(_)) => return Err(errors::results_out_of_turn()),
            (_, Kind::User | Kind::Model | Kind::Calls(_)) => {}
        }
        previous = Some(kind);
    }
    if !is_gemini_3(model) {
        return Ok(());
    }
    let mut all = contents.iter().flat_map(parts);
    let unsigned = |part: &Value| {
        !either(part, "toolCall").is_null() && !either(part, "thoughtSignature").is_string()
    };
    if all.any(unsigned) {
        return Err(errors::tool_call_without_signature());
    }
    match previous {
        Some(Kind::Model | Kind::Calls(_) | Kind::Mixed(_)) => Err(errors::ends_with_model_turn()),
        Some(Kind::User | Kind::Results(_)) | None => Ok(()),
    }
}
