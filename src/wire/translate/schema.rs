//! JSON Schemas of tools and answers, lowered to what Gemini accepts.
//!
//! Gemini takes JSON Schema in `functionDeclarations[].parametersJsonSchema` and
//! `generationConfig.responseJsonSchema`, but supports only the keywords that
//! <https://ai.google.dev/api/generate-content#GenerationConfig> lists. Of the others, some are
//! refused and some have no effect, depending on the model and the year. So a schema of listed
//! keywords passes through byte for byte. In any other, they are expressed by listed ones as far as
//! possible, and what remains becomes a sentence in the description, where the model reads it.
//!
//! A value that the original accepts is accepted by the result, which may accept more, with these
//! exceptions: a schema that has `properties` or `items` but no type accepts only objects or arrays
//! afterwards, and if parameters have alternatives, a property has the schema of the alternatives
//! that declare it. The order of properties is kept, since models write them in that order, and so
//! is the spelling of numbers.
//!
//! What the reference does not say:
//!
//! - An `enum` without a type has no effect: <https://github.com/pydantic/pydantic-ai/issues/3610>.
//! - `const` has none in answers, while tools were tried with any schema of draft 7:
//!   <https://github.com/vercel/ai/pull/20757>.
//! - A reference may have a description beside it on some servers and nothing on others:
//!   <https://github.com/anomalyco/opencode/issues/12295>. So nothing is left beside one.
//! - Gemini 2.5 Flash writes malformed calls if parameters have titles:
//!   <https://github.com/PrefectHQ/fastmcp/pull/3861>.
//! - Refused in `parameters`, the older field, and hence avoided: empty strings in an `enum`
//!   (<https://github.com/BerriAI/litellm/pull/14155>), arrays without `items`
//!   (<https://github.com/NousResearch/hermes-agent/issues/71804>), and required properties that
//!   are not declared (<https://github.com/Kilo-Org/kilocode/pull/11955>).
//! - Objects that may be null were refused as a list of types:
//!   <https://github.com/anomalyco/opencode/pull/43495>.

mod error;
mod lowering;
mod merge;
mod references;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod words;

pub use error::{SchemaError, Usage};

use super::generate::Json;
use crate::wire::parameters::Invalid;
use lowering::Lowering;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tree::Parsed;

impl From<SchemaError> for Invalid {
    fn from(error: SchemaError) -> Self {
        match error.pointer.as_str() {
            "" => Self::new(error.problem),
            pointer => Self::new(format!("is invalid at {pointer}: it {}", error.problem)),
        }
    }
}

/// Lowers the schema of a tool's parameters.
pub(crate) fn of_parameters(schema: &RawValue) -> Result<Json<'_>, Invalid> {
    Ok(lower(schema, Usage::Parameters)?)
}

/// Lowers the schema of an answer.
pub(crate) fn of_answer(schema: &RawValue) -> Result<Json<'_>, Invalid> {
    Ok(lower(schema, Usage::Answer)?)
}

/// Lowers a schema. One that Gemini accepts is returned as it is.
///
/// # Errors
/// It is no schema, is too large or nested too deeply, or describes parameters that are no object.
pub fn lower(schema: &RawValue, usage: Usage) -> Result<Cow<'_, RawValue>, SchemaError> {
    let Parsed {
        tree,
        has_duplicates,
    } = Parsed::new(schema)?;
    let lowering = Lowering::new(tree, usage);
    match lowering.run(has_duplicates)? {
        None => Ok(Cow::Borrowed(schema)),
        Some(lowered) => RawValue::from_string(lowered.to_json())
            .map(Cow::Owned)
            .map_err(|_| SchemaError::new(&[], "cannot be written")),
    }
}
