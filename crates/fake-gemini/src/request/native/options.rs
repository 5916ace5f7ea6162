//! What Google demands of `generationConfig`.

use super::schema::{check_json_schema, check_openapi};
use crate::errors::{self, ApiError};
use crate::json::either;
use crate::models::{self, Thinking};
use crate::request::body::integer;
use serde_json::Value;

const MIME_TYPES: [&str; 5] = [
    "text/plain",
    "application/json",
    "application/xml",
    "application/yaml",
    "text/x.enum",
];

/// Documented.
const MAX_STOP_SEQUENCES: usize = 5;

// The words of these rules are not published.
const NO_MIME_TYPE: &str = "requires a response_mime_type of application/json.";
const TWO_SCHEMAS: &str = "must not be set together with response_schema.";
const TOO_MANY_STOP_SEQUENCES: &str = "at most 5 stop sequences are allowed.";

/// Refuses options that `model` does not have.
pub(super) fn check(config: &Value, model: &str, has_functions: bool) -> Result<(), ApiError> {
    let violations = violations(config);
    if !violations.is_empty() {
        return Err(errors::invalid_request(&violations));
    }
    let schema = either(config, "responseJsonSchema");
    check_json_schema(schema, &errors::response_schema_too_deep())?;
    let is_json = either(config, "responseMimeType") == "application/json";
    if has_functions && is_json && !models::is_gemini_3(model) {
        return Err(errors::tools_with_json());
    }
    check_thinking(either(config, "thinkingConfig"), model)
}

fn violations(config: &Value) -> Vec<(String, &'static str)> {
    let mut violations = Vec::new();
    let mut refuse =
        |field: &str, rule| violations.push((format!("generation_config.{field}"), rule));
    let temperature = config["temperature"].as_f64().unwrap_or_default();
    if !(0.0..=2.0).contains(&temperature) {
        let rule = "temperature must be in the range [0.0, 2.0].";
        refuse("temperature", rule);
    }
    let stops = either(config, "stopSequences").as_array();
    if stops.is_some_and(|stops| stops.len() > MAX_STOP_SEQUENCES) {
        refuse("stop_sequences", TOO_MANY_STOP_SEQUENCES);
    }
    let mime_type = either(config, "responseMimeType").as_str();
    let mime_type = mime_type.filter(|mime_type| !mime_type.is_empty());
    if mime_type.is_some_and(|mime_type| !MIME_TYPES.contains(&mime_type)) {
        let rule = "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, \
                    `application/yaml` and `text/x.enum`.";
        refuse("response_mime_type", rule);
    }
    let (json_schema, schema) = (
        either(config, "responseJsonSchema"),
        either(config, "responseSchema"),
    );
    if !json_schema.is_null() && mime_type != Some("application/json") {
        refuse("response_json_schema", NO_MIME_TYPE);
    }
    if !json_schema.is_null() && !schema.is_null() {
        refuse("response_json_schema", TWO_SCHEMAS);
    }
    check_openapi(schema, "generation_config.response_schema", &mut violations);
    violations
}

/// Gemini 3 takes budgets, too, for clients that still send them.
fn check_thinking(config: &Value, model: &str) -> Result<(), ApiError> {
    let budget = integer(either(config, "thinkingBudget"));
    let level = either(config, "thinkingLevel").as_str();
    if budget.is_some() && level.is_some() {
        return Err(errors::thinking_budget_and_level());
    }
    match (models::thinking(model), budget, level) {
        (Thinking::Levels(levels), _, Some(level)) => {
            let level = level.to_ascii_uppercase();
            match levels.contains(&level.as_str()) {
                true => Ok(()),
                false => Err(errors::unsupported_thinking_level(&level)),
            }
        }
        (Thinking::Budget { .. } | Thinking::Unknown, _, Some(_)) => {
            Err(errors::no_thinking_levels())
        }
        (Thinking::Budget { least, most, off }, Some(budget), None) => match budget {
            models::DYNAMIC_BUDGET => Ok(()),
            0 if off => Ok(()),
            budget if (least..=most).contains(&budget) => Ok(()),
            budget => Err(errors::invalid_thinking_budget(budget, least, most)),
        },
        (Thinking::Levels(_) | Thinking::Unknown, Some(_), None) | (_, None, None) => Ok(()),
    }
}
