//! A received request, and what is read from it.

use super::body::Body;
use crate::answer::estimate_tokens;
use crate::api::{Delivery, Operation, Surface};
use crate::errors::{self, ApiError};
use crate::resources::Task;
use crate::route::Target;
use crate::turn::Turn;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// The most texts to embed per call.
const MAX_TEXTS: usize = 100;

/// A request, as far as its answer depends on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request {
    /// Whether a compatible stream reports its usage.
    pub(crate) include_usage: bool,
    pub(crate) prompt_tokens: u64,
    /// The texts to embed.
    pub(crate) texts: Vec<String>,
    /// The page of the native list of models.
    pub(crate) page: Page,
    pub(crate) task: Option<Task>,
    /// The names of files and caches that have to be the project's own.
    pub(crate) references: Vec<String>,
    pub(crate) turn: Turn,
    pub(crate) options: Options,
}

/// What a native request to generate wants, as far as each answer respects it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) includes_thoughts: bool,
    /// Whether Google reports what its own tools do.
    pub(crate) includes_tool_calls: bool,
    pub(crate) stop_sequences: Vec<String>,
    pub(crate) max_tokens: Option<u64>,
}

/// A page of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) start: usize,
    pub(crate) size: usize,
}

impl Request {
    pub(super) fn task(task: Task) -> Self {
        Self {
            task: Some(task),
            ..Self::default()
        }
    }

    /// A request to embed texts.
    pub(super) fn embedding(texts: Vec<String>) -> Result<Self, ApiError> {
        match texts.len() {
            0 => return Err(errors::invalid_argument()),
            1..=MAX_TEXTS => {}
            _ => return Err(errors::too_many_embeddings()),
        }
        let tokens = texts.iter().map(|text| estimate_tokens(text.len()));
        Ok(Self {
            prompt_tokens: tokens.sum(),
            texts,
            ..Self::default()
        })
    }
}

/// A received request before it is checked.
pub(crate) struct Received<'a> {
    pub(crate) target: &'a Target,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) bytes: &'a Bytes,
    /// The bytes as JSON.
    pub(crate) body: Result<Body, ApiError>,
}

impl<'a> Received<'a> {
    pub(crate) fn new(target: &'a Target, headers: &'a HeaderMap, bytes: &'a Bytes) -> Self {
        let body = Body::parse(bytes);
        Self {
            target,
            headers,
            bytes,
            body,
        }
    }

    /// The model as it was asked for, even if the request is refused.
    pub(crate) fn model(&self) -> Option<String> {
        let in_body = match (self.target.surface, self.target.operation) {
            (Surface::Compat, _) | (_, Operation::CreateCache) => {
                let body = self.body.as_ref().ok();
                body.and_then(|body| body.text("model"))
            }
            (Surface::Native, _) => None,
        };
        self.target.model().map(str::to_owned).or(in_body)
    }

    /// The delivery that was asked for, even if the request is refused.
    pub(crate) fn delivery(&self) -> Delivery {
        let (target, body) = (self.target, self.body.as_ref().ok());
        let streams = target.surface == Surface::Compat
            && target.operation == Operation::Generate
            && body.and_then(|body| body.get("stream")) == Some(&Value::Bool(true));
        match streams {
            true => Delivery::Events,
            false => target.delivery,
        }
    }
}
