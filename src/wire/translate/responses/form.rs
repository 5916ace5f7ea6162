//! What the answer to a request depends on.

use super::tools::ClientTool;
use crate::wire::parameters::Parameters;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// What an answer depends on besides Gemini's.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// Makes generated ids differ between requests.
    pub(super) seed: u64,
    /// When the request arrived, in seconds since 1970.
    pub(super) created: i64,
    /// The model as the client names it.
    pub(super) model: String,
    /// The parameters that responses repeat.
    pub(super) echo: Echo,
    /// The tools of the client by Gemini's names.
    pub(super) tools: HashMap<String, ClientTool>,
    pub(super) sources: Sources,
    pub(super) reasoning: Reasoning,
}

/// Whether the client wants the sources of searches, besides those that the answer cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sources {
    Included,
    Omitted,
}

/// Whether the client sends reasoning items back, and so the thought signatures in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reasoning {
    Returned,
    /// It may, but has not asked for their content.
    Dropped,
}

/// The parameters that a response repeats, each with its default as JSON.
const REPEATED: [(&str, &str); 16] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// The parameters that a response repeats, as JSON.
#[derive(Debug)]
pub(super) struct Echo(Vec<(&'static str, Box<RawValue>)>);

impl Echo {
    pub(super) fn of(request: &Parameters<'_>) -> Self {
        let repeated = REPEATED.iter().filter_map(|(name, default)| {
            let value = request.raw(name).map(RawValue::to_owned);
            Some((*name, value.or_else(|| serde_json::from_str(default).ok())?))
        });
        Self(repeated.collect())
    }
}

impl PartialEq for Echo {
    fn eq(&self, other: &Self) -> bool {
        let text = |(name, value): &(&'static str, Box<RawValue>)| (*name, value.get().to_owned());
        self.0.iter().map(text).eq(other.0.iter().map(text))
    }
}

impl Eq for Echo {}

impl Serialize for Echo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
