//! Writes event streams.

use serde::Serialize;
use serde_json::json;

/// Events, as text.
#[derive(Debug, Default)]
pub(crate) struct Events {
    text: Vec<u8>,
    /// Nobody reads them, so none is written.
    are_discarded: bool,
}

impl Events {
    /// Events of an answer that is not streamed.
    pub(crate) fn discarded() -> Self {
        Self {
            text: Vec::new(),
            are_discarded: true,
        }
    }

    /// Appends an event.
    pub(crate) fn push(&mut self, name: &str, data: &impl Serialize) {
        self.push_json(&[b"event: ", name.as_bytes(), b"\ndata: "], data);
    }

    /// Appends an event without a name.
    pub(crate) fn push_data(&mut self, data: &impl Serialize) {
        self.push_json(&[b"data: "], data);
    }

    /// Appends the line that closes a stream of OpenAI's older APIs.
    pub(crate) fn push_done(&mut self) {
        if !self.are_discarded {
            self.text.extend_from_slice(b"data: [DONE]\n\n");
        }
    }

    /// Appends an error as OpenAI's older APIs send it.
    pub(crate) fn push_error(&mut self, error: &StreamError<'_>) {
        self.push_data(&json!({"error": {
            "message": error.message,
            "type": error.kind,
            "param": null,
            "code": error.code,
        }}));
    }

    /// Appends an event with what precedes its data.
    fn push_json(&mut self, before: &[&[u8]], data: &impl Serialize) {
        if self.are_discarded {
            return;
        }
        let start = self.text.len();
        before
            .iter()
            .for_each(|bytes| self.text.extend_from_slice(bytes));
        let data_start = self.text.len();
        // Values with string keys always serialize.
        match serde_json::to_writer(&mut self.text, data) {
            Ok(()) => {
                // Gemini's JSON is passed as it is, and may have line ends between its tokens.
                let data = self.text.iter_mut().skip(data_start);
                for byte in data.filter(|byte| matches!(**byte, b'\n' | b'\r')) {
                    *byte = b' ';
                }
                self.text.extend_from_slice(b"\n\n");
            }
            Err(_) => self.text.truncate(start),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.text
    }
}

/// Why a stream ends early.
#[derive(Debug, Clone, Copy)]
pub struct StreamError<'a> {
    /// The status that the error would have had at the start of the response.
    pub status: u16,
    /// OpenAI's class of errors, such as `server_error`.
    pub kind: &'a str,
    /// The pool's code, such as `rate_limit_exceeded`.
    pub code: &'a str,
    /// What is wrong and what to do.
    pub message: &'a str,
}

impl<'a> StreamError<'a> {
    /// What is said of a model that has failed, for Google's reason.
    pub(crate) fn message_of_model(reason: &str) -> String {
        format!("Gemini failed to complete its answer: {reason}. Try again.")
    }

    /// The model has failed, as the [message](Self::message_of_model) says.
    pub(crate) fn of_model(message: &'a str) -> Self {
        Self {
            status: 502,
            kind: "server_error",
            code: "upstream_error",
            message,
        }
    }
}

/// Generates ids that are unique within a request, and with a random seed between requests.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    count: u32,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// The next id, such as `msg_000102030405060700000001`.
    pub(crate) fn next(&mut self, prefix: &str) -> String {
        self.count = self.count.wrapping_add(1);
        format!("{prefix}_{:016x}{:08x}", self.seed, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_name_and_a_line_of_data() {
        let mut events = Events::default();
        events.push("ping", &serde_json::json!({"type": "ping", "text": "a\nb"}));
        assert_eq!(
            String::from_utf8(events.into_bytes()).unwrap(),
            "event: ping\ndata: {\"text\":\"a\\nb\",\"type\":\"ping\"}\n\n"
        );
        let mut events = Events::default();
        let pretty = serde_json::value::RawValue::from_string("{\n  \"a\": 1\r\n}".to_owned());
        events.push_data(&pretty.unwrap());
        assert_eq!(events.into_bytes(), b"data: {   \"a\": 1  }\n\n");
    }

    #[test]
    fn ids_differ() {
        let mut ids = Ids::new(7);
        assert_eq!(ids.next("msg"), "msg_000000000000000700000001");
        assert_ne!(ids.next("msg"), ids.next("msg"));
    }
}
