//! What the program answers and prints. Neither shows a key or repeats what a client sent.

use fake_gemini::{Answer, Call, Ended, Reply, Surface};
use std::time::Duration;

/// Of a model's name, no more is printed.
const MAX_NAME: usize = 60;

/// How slow answers are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Before the first byte.
    pub(crate) delay: Duration,
    /// Between two words of a stream.
    pub(crate) gap: Duration,
}

/// The answer to a call with one of `keys` keys. Where the call asks for a tool call or for JSON, it is that.
pub(crate) fn reply(call: &Call, keys: usize, pace: Pace) -> Reply {
    let key = call.key_ordinal.unwrap_or_default();
    let project = call.project.as_deref().unwrap_or("no project");
    let text = format!(
        "This is a made-up answer by key {key} of {keys}, which belongs to {project}. No model was asked: a fake \
         Gemini answers in Google's place, so that you can watch how calls are spread over the keys. Ask again, and \
         another key may answer."
    );
    Reply::answer(Answer::words(&text).as_asked(call))
        .delay(pace.delay)
        .gap(pace.gap)
}

/// A call in one line, of words that the fake chose: a path, a method or a model that a client made up may be a key or
/// a prompt, and of any length.
pub(crate) fn line(call: &Call) -> String {
    let what = match (call.surface, call.operation) {
        (Some(Surface::Compat), Some(operation)) => format!("compat {}", operation.name()),
        (Some(Surface::Native), Some(operation)) => format!("native {}", operation.name()),
        (None, _) | (_, None) => "unknown path".to_owned(),
    };
    let key = match (call.key_ordinal, &call.key) {
        (Some(ordinal), _) => format!("key {ordinal}"),
        (None, Some(_)) => "unknown key".to_owned(),
        (None, None) => "no key".to_owned(),
    };
    let model = match (&call.known_model, &call.model) {
        (Some(model), _) => model.escape_default().take(MAX_NAME).collect(),
        (None, Some(_)) => "unknown model".to_owned(),
        (None, None) => "no model".to_owned(),
    };
    let status = match call.status {
        Some(status) => status.to_string(),
        None => "no answer".to_owned(),
    };
    let end = match call.ended {
        Ended::NotYet | Ended::Whole => "",
        Ended::ClientGone => ", the client left",
        Ended::BrokenOff => ", broken off",
        Ended::Stopped => ", stopped",
    };
    format!("{what}, {key}, {model}: {status}{end}")
}
