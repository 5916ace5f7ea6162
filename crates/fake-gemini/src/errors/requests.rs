//! Refused because of what was asked: 400 and 404. Every key would get the same answer, save for retired models,
//! which depend on the project.

use super::{ApiError, Detail, FieldViolation};
use crate::models::bare;

impl FieldViolation {
    /// A field that the object at `path` may not have; the outermost object has an empty path.
    pub(crate) fn unknown(path: &str, name: &str) -> Self {
        let place = match path {
            "" => String::new(),
            path => format!(" at '{path}'"),
        };
        Self {
            field: (!path.is_empty()).then(|| path.to_owned()),
            description: format!(
                "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
            ),
        }
    }

    /// A field of another type; see [`invalid_value`].
    pub(crate) fn invalid(field: &str, kind: &str, value: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            description: format!("Invalid value at '{field}' ({kind}), {value}"),
        }
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "INVALID_ARGUMENT", message)
}

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new(404, "NOT_FOUND", message)
}

/// A file's id without `files/`.
pub(super) fn file_id(name: &str) -> &str {
    name.strip_prefix("files/").unwrap_or(name)
}

/// All fields that are not in order, in one error.
pub(crate) fn invalid_fields(field_violations: Vec<FieldViolation>) -> ApiError {
    let lines: Vec<&str> = field_violations
        .iter()
        .map(|violation| violation.description.as_str())
        .collect();
    invalid(lines.join("\n")).with(Detail::BadRequest { field_violations })
}

/// A model that does not exist, or not for this. `api_version` is `v1main` on the compatible surface and that of the
/// path on the native one, `method` is `generateContent` and the like.
pub fn model_not_found(model: &str, api_version: &str, method: &str) -> ApiError {
    not_found(format!(
        "models/{} is not found for API version {api_version}, or is not supported for {method}. Call \
         ModelService.ListModels to see the list of available models and their supported methods.",
        bare(model)
    ))
}

/// Asking for the description of a model that does not exist. `api_version` is that of the path.
pub fn no_such_model(model: &str, api_version: &str) -> ApiError {
    not_found(format!(
        "Model is not found: models/{} for api version {api_version}",
        bare(model)
    ))
}

/// A model that only projects which used it before may still use.
pub fn model_retired_for_new_users(model: &str) -> ApiError {
    not_found(format!(
        "This model models/{} is no longer available to new users. Please update your code to use a newer model for \
         the latest features and improvements.",
        bare(model)
    ))
}

/// A model that nobody may use any more.
pub fn model_retired(model: &str, successor: &str) -> ApiError {
    not_found(format!(
        "This model models/{} is no longer available. Please update your code to use models/{}",
        bare(model),
        bare(successor)
    ))
}

/// Fields that the request may not have, all in one error.
pub fn unknown_fields(names: &[&str]) -> ApiError {
    let unknown = |name: &&str| FieldViolation::unknown("", name);
    invalid_fields(names.iter().map(unknown).collect())
}

/// A field that the object at `path` may not have.
pub fn unknown_field_in(path: &str, name: &str) -> ApiError {
    invalid_fields(vec![FieldViolation::unknown(path, name)])
}

/// A field of another type. `kind` is the expected one, such as `TYPE_BOOL`; `value` is JSON.
pub fn invalid_value(field: &str, kind: &str, value: &str) -> ApiError {
    invalid_fields(vec![FieldViolation::invalid(field, kind, value)])
}

/// A body that is no JSON. `excerpt` is the part of it where reading stopped, and `at` the number of characters
/// before that: Google shows both.
pub fn invalid_json(excerpt: &str, at: usize) -> ApiError {
    invalid(format!(
        "Invalid JSON payload received. Unexpected token.\n{excerpt}\n{}^",
        " ".repeat(at)
    ))
}

/// A body that is JSON, but no object.
pub fn not_an_object() -> ApiError {
    invalid_fields(vec![FieldViolation {
        field: None,
        description:
            "Invalid JSON payload received. Unknown name \"\": Root element must be a message."
                .to_owned(),
    }])
}

/// No message to answer; the compatible surface names the native field too.
pub fn no_contents() -> ApiError {
    invalid("* GenerateContentRequest.contents: contents is not specified\n")
}

/// No model in the body.
pub fn no_model() -> ApiError {
    invalid("model is not specified")
}

/// More input than the model takes, in tokens. It uses up quota all the same.
pub fn input_too_long(limit: u64) -> ApiError {
    invalid(format!(
        "The input token count exceeds the maximum number of tokens allowed {limit}."
    ))
}

/// More than 100 texts to embed in one call.
pub fn too_many_embeddings() -> ApiError {
    invalid("BatchEmbedContentsRequest.requests: at most 100 requests")
}

/// A body above 100 MiB.
pub fn payload_too_large() -> ApiError {
    invalid("Request payload size exceeds the limit: 104857600 bytes.")
}

/// A turn of Gemini 3 that lost the signature of its tool call. `position` counts the contents of the conversation.
pub fn missing_thought_signature(function: &str, position: usize) -> ApiError {
    invalid(format!(
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work \
         correctly, and missing thought_signature may lead to degraded model performance. Additional data, function \
         call `{function}` , position {position}. Please refer to \
         https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
    ))
}

/// A thought signature that was changed on its way, or was never given.
pub fn corrupted_thought_signature() -> ApiError {
    invalid("Corrupted thought signature.")
}

/// Tools and a JSON answer at once, which older models cannot do.
pub fn tools_with_json() -> ApiError {
    invalid("Function calling with a response mime type: 'application/json' is unsupported")
}

/// A name for a file that another file has, of whatever project; `name` may have `files/` in front.
pub fn file_exists(name: &str) -> ApiError {
    ApiError::new(
        409,
        "ALREADY_EXISTS",
        format!("The requested file already exists: {}", file_id(name)),
    )
}

/// Something that does not exist, or belongs to another project.
pub fn no_such_entity() -> ApiError {
    not_found("Requested entity was not found.")
}

/// An upload that was never begun.
pub fn no_such_upload() -> ApiError {
    no_such_entity()
}

/// More bytes for an upload that is whole, or cancelled.
pub fn upload_terminated() -> ApiError {
    invalid("Upload has already been terminated.")
}

/// A cache that was made for another model than the request's.
pub fn cached_content_of_other_model(model: &str, cached: &str) -> ApiError {
    invalid(format!(
        "Model used by GenerateContent request (models/{}) and CachedContent (models/{}) has to be the same.",
        bare(model),
        bare(cached)
    ))
}

/// A cache along with what has to be within it.
pub fn cached_content_with_more() -> ApiError {
    invalid(
        "CachedContent can not be used with GenerateContent request setting system_instruction, tools or \
         tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request.",
    )
}

/// The 400 that says nothing.
pub fn invalid_argument() -> ApiError {
    invalid("Request contains an invalid argument.")
}
