//! Summarizes the events of a stream so far: whether they have content, and what they cost.

use crate::wire::{Summary, Surface, gemini, openai};

/// Accumulates the summary of a stream from complete lines.
#[derive(Debug)]
pub(crate) struct StreamSummary {
    surface: Surface,
    /// The summary of all events. An event of unknown format counts as content, and the latest
    /// usage wins.
    pub(crate) seen: Summary,
}

/// Summarizes an answer, or an event of one, in a surface's format.
pub(crate) fn summarize(surface: Surface, json: &[u8]) -> Option<Summary> {
    match surface {
        Surface::OpenAi => openai::summarize(json),
        Surface::Gemini => gemini::summarize(json),
    }
}

impl StreamSummary {
    /// Creates the summary of a stream in this format.
    pub(crate) fn new(surface: Surface) -> Self {
        Self {
            surface,
            seen: Summary::default(),
        }
    }

    /// Processes an element of an array.
    pub(crate) fn take_element(&mut self, json: &[u8]) {
        if !self.seen.has_answer || self.mentions_usage(json) {
            self.add(json);
        }
    }

    /// Processes complete lines. Once there was content, only usage is looked for.
    pub(crate) fn take(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
                continue;
            };
            if data.is_empty()
                || data == b"[DONE]"
                || (self.seen.has_answer && !self.mentions_usage(data))
            {
                continue;
            }
            self.add(data);
        }
    }

    fn add(&mut self, data: &[u8]) {
        let seen = &mut self.seen;
        match summarize(self.surface, data) {
            Some(summary) => {
                seen.has_content |= summary.has_content;
                seen.has_answer |= summary.has_answer;
                seen.is_finished |= summary.is_finished;
                seen.is_blocked |= summary.is_blocked;
                seen.usage = summary.usage.or(seen.usage);
            }
            // Forwarding something unrecognized is better than holding it back.
            None => (seen.has_content, seen.has_answer) = (true, true),
        }
    }

    fn mentions_usage(&self, data: &[u8]) -> bool {
        let name: &[u8] = match self.surface {
            Surface::OpenAi => b"\"usage\"",
            Surface::Gemini => b"\"usageMetadata\"",
        };
        memchr::memmem::find(data, name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(lines: &[&str]) -> Summary {
        let mut stream = StreamSummary::new(Surface::OpenAi);
        for line in lines {
            stream.take(line.as_bytes());
        }
        stream.seen
    }

    const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\",\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\n";
    const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\n";
    const EMPTY: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\",\"index\":0}],\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":0,\"prompt_tokens\":5051,\"total_tokens\":5051}}\n\n";

    #[test]
    fn a_stream_with_content_is_an_answer() {
        assert!(!stream(&[ROLE]).has_content);
        assert!(stream(&[ROLE, HELLO]).has_content);
        assert!(stream(&["data: {\"who\":\"knows\"\n\n"]).has_content);
        let nothing = stream(&[": comment\n\n", "data: [DONE]\n\n", "data:\n\n"]);
        assert!(!nothing.has_content);
    }

    #[test]
    fn a_stream_without_content_is_not_an_answer() {
        let empty = stream(&[ROLE, EMPTY, "data: [DONE]\n\n"]);
        assert!(empty.is_empty_answer());
        assert!(empty.usage.is_some_and(|usage| usage.input == 5051));
        assert!(!stream(&[HELLO, EMPTY]).is_empty_answer());
        let blocked = EMPTY.replace("\"stop\"", "\"content_filter\"");
        assert!(!stream(&[&blocked]).is_empty_answer());
        let thought = EMPTY.replace("\"total_tokens\":5051", "\"total_tokens\":5060");
        assert!(stream(&[&thought]).is_empty_answer());
    }

    #[test]
    fn finds_usage_after_the_content() {
        let last = HELLO.replace("\"object\"", "\"usage\":{\"completion_tokens\":7,\"prompt_tokens\":3,\"total_tokens\":10},\"object\"");
        let usage = stream(&[HELLO, HELLO, &last]).usage.unwrap();
        assert_eq!((usage.input, usage.output), (3, 7));
    }
}
