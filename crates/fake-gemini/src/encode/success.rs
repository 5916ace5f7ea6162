//! A success before it is compressed or cut, and what it depends on.

use crate::api::Surface;
use crate::json;
use crate::models::{self, Model, bare};
use crate::request::Request;
use crate::resources::Outcome;
use crate::route::Target;
use serde::Serialize;

const JSON: &str = "application/json";
pub(super) const JSON_UTF8: &str = "application/json; charset=UTF-8";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// What an answer depends on apart from its content.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) target: &'a Target,
    /// The model as it was asked for; empty if none was.
    pub(crate) model: &'a str,
    pub(crate) request: &'a Request,
    /// Seconds since the Unix epoch.
    pub(crate) created: i64,
    /// Different for each call; ids derive from it.
    pub(crate) number: u64,
    /// The result of the request's task.
    pub(crate) outcome: Option<Outcome>,
    /// The address of the fake, such as `http://127.0.0.1:8080`.
    pub(crate) origin: &'a str,
}

impl Context<'_> {
    pub(super) fn bare_model(&self) -> &str {
        bare(self.model)
    }

    /// The models that are asked about: the one in the path, or all.
    pub(super) fn described(&self) -> Vec<&'static Model> {
        let asked = self.target.model().map(bare);
        let models = models::all().iter();
        models
            .filter(|model| asked.is_none_or(|asked| asked == model.id))
            .collect()
    }
}

/// A success: the events of its body, and what follows the last one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Success {
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) events: Vec<String>,
    pub(crate) closing: &'static str,
}

impl Success {
    pub(super) fn compact(body: &impl Serialize) -> Self {
        Self::stream(JSON, vec![json::compact(body)])
    }

    pub(super) fn pretty(body: &impl Serialize) -> Self {
        Self::stream(JSON_UTF8, vec![json::pretty(body) + "\n"])
    }

    pub(super) fn stream(content_type: &'static str, events: Vec<String>) -> Self {
        Self {
            content_type,
            headers: Vec::new(),
            events,
            closing: "",
        }
    }
}

/// An event of a stream.
pub(super) fn event(surface: Surface, data: &str) -> String {
    let end = match surface {
        Surface::Compat => "\n\n",
        Surface::Native => "\r\n\r\n",
    };
    format!("data: {data}{end}")
}
