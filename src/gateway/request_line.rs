//! The line that a request leaves on the terminal when it is over.
//!
//! A [`RequestLine`] is shared by everything that works on the request: the gateway until the
//! response begins, each attempt, and the stream of its answer. When the last of them is dropped,
//! the line is written. So a request has exactly one, however it ends.
//!
//! Of what the client wrote, only the model is part of it: its length and alphabet are bounded, and
//! it is noted once it is known not to contain a secret.

use super::Failure;
use super::authentication::Caller;
use super::ports::System;
use crate::config::LogFormat;
use crate::pool::{KeyId, Outcome, UnixMillis};
use http::StatusCode;
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// The line of a request, as far as it is known; by default, none is written.
#[derive(Clone, Default)]
pub(super) struct RequestLine(Option<Rc<Shared>>);

struct Shared {
    facts: RefCell<Facts>,
    write: Box<dyn Fn(&Facts)>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        (self.write)(self.facts.get_mut());
    }
}

/// What the line says.
struct Facts {
    request_id: String,
    began_at: UnixMillis,
    /// `my_api_token`, or the id of a client token.
    token: Option<String>,
    model: Option<String>,
    /// The key of the latest attempt.
    key: Option<i64>,
    attempts: u32,
    /// The outcome of the latest attempt, or the code of the pool's error if there was none.
    outcome: Option<String>,
    status: Option<u16>,
    /// When the response began.
    answered_at: Option<UnixMillis>,
}

impl RequestLine {
    /// The line of a request that begins now.
    pub(super) fn new<S: System>(request_id: &str, format: LogFormat, system: &S) -> Self {
        let facts = Facts::new(request_id, system.now());
        let system = system.clone();
        let write: Box<dyn Fn(&Facts)> = match format {
            LogFormat::None => return Self::default(),
            LogFormat::Text => Box::new(move |facts| system.log(&facts.text(system.now()))),
            LogFormat::Json => Box::new(move |facts| system.log_json(&facts.json(system.now()))),
        };
        Self(Some(Rc::new(Shared {
            facts: RefCell::new(facts),
            write,
        })))
    }

    fn note(&self, note: impl FnOnce(&mut Facts)) {
        if let Some(shared) = &self.0 {
            note(&mut shared.facts.borrow_mut());
        }
    }

    /// Notes who calls.
    pub(super) fn admitted(&self, caller: &Caller) {
        self.note(|facts| {
            facts.token = match caller {
                Caller::BuiltInToken => Some("my_api_token".to_owned()),
                Caller::ClientToken(token) => Some(token.id.to_string()),
                Caller::UploadUrl | Caller::Operator(_) => None,
            };
        });
    }

    /// Notes the model, which must be valid and contain no secret.
    pub(super) fn names(&self, model: &str) {
        self.note(|facts| facts.model = Some(model.to_owned()));
    }

    /// Notes an attempt that has ended.
    pub(super) fn attempted(&self, number: u32, key: KeyId, outcome: Outcome) {
        self.note(|facts| {
            facts.attempts = number;
            facts.key = Some(key.0);
            facts.outcome = Some(outcome.name().to_owned());
        });
    }

    /// Notes a failure without an attempt.
    pub(super) fn failed(&self, failure: &Failure) {
        self.note(|facts| facts.outcome = Some(failure.describe().body.code));
    }

    /// Notes that the response begins now.
    pub(super) fn answered(&self, status: StatusCode, now: UnixMillis) {
        self.note(|facts| {
            facts.status = Some(status.as_u16());
            facts.answered_at = Some(now);
        });
    }
}

impl Facts {
    fn new(request_id: &str, began_at: UnixMillis) -> Self {
        Self {
            request_id: request_id.to_owned(),
            began_at,
            token: None,
            model: None,
            key: None,
            attempts: 0,
            outcome: None,
            status: None,
            answered_at: None,
        }
    }

    fn fields(&self, now: UnixMillis) -> [(&'static str, Value); 9] {
        let since = |at: UnixMillis| at.since(self.began_at);
        [
            ("request", self.request_id.as_str().into()),
            ("token", self.token.as_deref().into()),
            ("model", self.model.as_deref().into()),
            ("key", self.key.into()),
            ("attempts", self.attempts.into()),
            ("outcome", self.outcome.as_deref().into()),
            ("status", self.status.into()),
            ("ms", since(now).into()),
            ("first_byte_ms", self.answered_at.map(since).into()),
        ]
    }

    fn text(&self, now: UnixMillis) -> String {
        let fields = self.fields(now).map(|(name, value)| match value {
            Value::Null => format!("{name}=-"),
            Value::String(text) => format!("{name}={text}"),
            number => format!("{name}={number}"),
        });
        fields.join(" ")
    }

    fn json(&self, now: UnixMillis) -> String {
        let fields = self.fields(now);
        let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts::new("req_1", UnixMillis(1_000))
    }

    #[test]
    fn both_formats_say_the_same() {
        let facts = Facts {
            token: Some("7".to_owned()),
            model: Some("m".to_owned()),
            key: Some(3),
            attempts: 2,
            outcome: Some("success".to_owned()),
            status: Some(200),
            answered_at: Some(UnixMillis(1_250)),
            ..facts()
        };
        let now = UnixMillis(4_000);
        let text = "request=req_1 token=7 model=m key=3 attempts=2 outcome=success status=200 ms=3000 first_byte_ms=250";
        assert_eq!(facts.text(now), text);
        let json = r#"{"request":"req_1","token":"7","model":"m","key":3,"attempts":2,"outcome":"success","status":200,"ms":3000,"first_byte_ms":250}"#;
        assert_eq!(facts.json(now), json);
    }

    #[test]
    fn what_is_not_known_is_marked() {
        let now = UnixMillis(1_000);
        let text = "request=req_1 token=- model=- key=- attempts=0 outcome=- status=- ms=0 first_byte_ms=-";
        assert_eq!(facts().text(now), text);
        let json = r#"{"request":"req_1","token":null,"model":null,"key":null,"attempts":0,"outcome":null,"status":null,"ms":0,"first_byte_ms":null}"#;
        assert_eq!(facts().json(now), json);
    }
}
