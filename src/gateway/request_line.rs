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
use std::fmt::Write;
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

/// The usual length of a line, and some more.
const LINE_BYTES: usize = 256;

/// A value in the line.
enum Field<'a> {
    Text(&'a str),
    Number(i64),
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
                Caller::UploadUrl => None,
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

    fn fields(&self, now: UnixMillis) -> [(&'static str, Option<Field<'_>>); 9] {
        let since = |at: UnixMillis| Field::Number(at.since(self.began_at));
        [
            ("request", Some(Field::Text(&self.request_id))),
            ("token", self.token.as_deref().map(Field::Text)),
            ("model", self.model.as_deref().map(Field::Text)),
            ("key", self.key.map(Field::Number)),
            ("attempts", Some(Field::Number(self.attempts.into()))),
            ("outcome", self.outcome.as_deref().map(Field::Text)),
            (
                "status",
                self.status.map(|status| Field::Number(status.into())),
            ),
            ("ms", Some(since(now))),
            ("first_byte_ms", self.answered_at.map(since)),
        ]
    }

    fn text(&self, now: UnixMillis) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        for (place, (name, value)) in self.fields(now).into_iter().enumerate() {
            let space = if place > 0 { " " } else { "" };
            // Writing to a string never fails.
            let _ = match value {
                None => write!(line, "{space}{name}=-"),
                Some(Field::Text(text)) => write!(line, "{space}{name}={text}"),
                Some(Field::Number(number)) => write!(line, "{space}{name}={number}"),
            };
        }
        line
    }

    fn json(&self, now: UnixMillis) -> String {
        let value = |value| match value {
            None => Value::Null,
            Some(Field::Text(text)) => text.into(),
            Some(Field::Number(number)) => number.into(),
        };
        let fields = self.fields(now);
        let fields = fields.map(|(name, field)| format!("\"{name}\":{}", value(field)));
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
