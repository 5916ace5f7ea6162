//! The bytes of successes and of errors, before they are compressed or cut.

mod compat;
mod native;

use crate::answer::Answer;
use crate::api::{Delivery, Surface};
use crate::errors::ApiError;
use crate::json;
use crate::models::{self, Model, bare};
use crate::reply::MidStream;
use crate::request::Request;
use crate::resources::Outcome;
use crate::route::Target;
use serde::Serialize;

const JSON: &str = "application/json";
const JSON_UTF8: &str = "application/json; charset=UTF-8";
const EVENT_STREAM: &str = "text/event-stream";

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
    fn bare_model(&self) -> &str {
        bare(self.model)
    }

    /// The models that are asked about: the one in the path, or all.
    fn described(&self) -> Vec<&'static Model> {
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
    fn compact(body: &impl Serialize) -> Self {
        Self::stream(JSON, vec![json::compact(body)])
    }

    fn pretty(body: &impl Serialize) -> Self {
        Self::stream(JSON_UTF8, vec![json::pretty(body) + "\n"])
    }

    fn stream(content_type: &'static str, events: Vec<String>) -> Self {
        Self {
            content_type,
            headers: Vec::new(),
            events,
            closing: "",
        }
    }
}

pub(crate) fn success(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    match context.target.surface {
        Surface::Compat => compat::success(answer, delivery, context),
        Surface::Native => native::success(answer, delivery, context),
    }
}

/// The content type and the bytes of an error instead of an answer.
pub(crate) fn error(target: &Target, error: &ApiError) -> (&'static str, String) {
    match (target.surface, target.delivery) {
        (Surface::Compat, _) => (JSON_UTF8, error.pretty_array()),
        // Not an event, despite the content type.
        (Surface::Native, Delivery::Events) => (EVENT_STREAM, error.pretty()),
        (Surface::Native, _) => (JSON_UTF8, error.pretty()),
    }
}

/// The bytes of an error after at least one event of a stream.
pub(crate) fn mid_stream(target: &Target, error: &ApiError, form: MidStream) -> String {
    match (form, target.surface, target.delivery) {
        // In an array, an error can only be an element.
        (_, Surface::Native, Delivery::Array) => {
            native::element(&error.pretty(), false) + native::ARRAY_END
        }
        (MidStream::Object, surface, _) => event(surface, &error.compact()),
        (MidStream::Array, surface, _) => event(surface, &format!("[{}]", error.compact())),
        (MidStream::Unframed, Surface::Compat, _) => error.pretty_array(),
        (MidStream::Unframed, Surface::Native, _) => error.pretty(),
    }
}

/// An event of a stream.
fn event(surface: Surface, data: &str) -> String {
    let end = match surface {
        Surface::Compat => "\n\n",
        Surface::Native => "\r\n\r\n",
    };
    format!("data: {data}{end}")
}
