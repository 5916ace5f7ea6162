//! A streamed answer, watched without parsing its events.
//!
//! Two lines matter. One closes the stream, and the call must be in the log before it leaves: `data: [DONE]` in OpenAI's
//! form; in Google's own, which has no closing line, the event that says why the answer ended, unless more follows it.
//! Any other stream may end with either, or just end. And an error in the middle must reach the client in a form that it
//! understands, and never with a key in it: Google sends one as `data: {"error":…}`, as `data: [{"error":…}]`, or as plain
//! pretty-printed JSON between the events, which OpenAI's clients ignore. [`EventScanner`] looks at the first bytes of
//! each line and passes whole lines on, untouched: a line that the upstream never ends is no event, and half of one would
//! be read as a broken one.
//!
//! Streams from a model carry `data:` lines only; OpenAI's clients also get comments. Google sends nothing else, and when an
//! event is removed or replaced by an error, its name or id would be left behind as an event without data. Google's clients
//! understand no other line: on a comment, google-genai for Python raises, the one for Node drops the next event, and LiteLLM
//! stops reading.

use super::{Found, is_error};
use crate::wire::Kind;
use memchr::{memchr, memmem};

/// A line longer than this passes in pieces, so that memory stays bounded: 1 MiB. Google's longest hold images.
const MAX_HELD: usize = 1024 * 1024;

/// What a line is shows in so many bytes, blanks included.
const LONGEST_START: usize = 256;

/// What a chunk of the stream came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that may be handed on now, the closing line included once it is there.
    pub ready: Vec<u8>,
    /// What follows them.
    pub found: Found,
}

/// What a line of Google's own form has in it when the answer has come to its end. Within a text the quotes are escaped.
const ENDINGS: [&[u8]; 2] = [b"\"finishReason\"", b"\"promptFeedback\""];

/// How the lines of an event begin that are neither data nor comments.
const OTHER_FIELDS: [&[u8]; 3] = [b"event:", b"id:", b"retry:"];

/// Finds the end of a stream and errors in it, in chunks that are cut anywhere.
#[derive(Debug)]
pub struct EventScanner {
    kind: Kind,
    /// Held back: in Google's own form what may be the last event, in streams that are not a model's an incomplete event.
    last: Vec<u8>,
    /// An event has begun, so that the next blank line ends it.
    has_data: bool,
    /// The line that arrives in pieces is left out.
    is_line_dropped: bool,
    /// An event has said why the answer ended: whatever comes now may be the last.
    is_ending: bool,
    /// Of a line that passes in pieces, the end of the latest.
    before_piece: Vec<u8>,
    /// A line whose end is not here yet.
    held: Vec<u8>,
    /// The beginning of a line was handed on, since it is too long to be held.
    line_open: bool,
    /// The last bytes that were handed on.
    sent_end: Vec<u8>,
    done: bool,
}

impl EventScanner {
    /// A scanner of a stream of this kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            last: Vec::new(),
            has_data: false,
            is_line_dropped: false,
            is_ending: false,
            before_piece: Vec::new(),
            held: Vec::new(),
            line_open: false,
            sent_end: Vec::new(),
            done: false,
        }
    }

    /// Takes the next chunk. Not to be called again after an error was found.
    pub fn push(&mut self, chunk: Vec<u8>) -> Scan {
        let (was_open, was_done) = (self.line_open, self.done);
        let scan = self.scan(chunk);
        let scan = match self.kind {
            Kind::Chat if was_done => scan,
            Kind::Chat => self.data_alone(scan, was_open),
            Kind::Generate => {
                let scan = self.data_alone(scan, was_open);
                self.keep_last(scan, was_open)
            }
            Kind::Other => self.keep_begun(scan),
        };
        self.note_sent(&scan.ready);
        scan
    }

    /// What is left when the upstream has nothing more; `None` if the stream ended before its time.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let is_cut = self.line_open || !self.is_whole(&self.held);
        let may_end = self.is_ending || has_ending(&self.held) || self.kind == Kind::Other;
        if !may_end || is_cut || is_error_line(&self.held) {
            return None;
        }
        let mut rest = std::mem::take(&mut self.last);
        if self.kind != Kind::Generate {
            rest.append(&mut self.held);
        } else if is_data(&self.held) && self.held.trim_ascii() != b"data:" {
            rest.append(&mut self.held);
            // Google's client for Node reads no event without it.
            rest.extend_from_slice(b"\r\n\r\n");
        }
        Some(rest)
    }

    /// Removes every line except data and the blank lines that end an event. OpenAI's clients also get comments.
    fn data_alone(&mut self, mut scan: Scan, was_open: bool) -> Scan {
        let lines = &mut scan.ready;
        let (mut at, mut kept) = (0, 0);
        let mut is_rest = was_open;
        while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
            // What follows the closing line is no event.
            let is_closed = self.kind == Kind::Chat && line_start(rest) == LineStart::Done;
            let line = match line_end(rest).filter(|_| !is_closed) {
                Some(end) => rest.get(..end).unwrap_or(rest),
                None => rest,
            };
            // How a line begins decides for all of its pieces.
            if !std::mem::take(&mut is_rest) {
                let is_blank = line.trim_ascii().is_empty();
                let has_data = match self.kind {
                    Kind::Chat => line.starts_with(b"data:") || line.starts_with(b":"),
                    Kind::Generate | Kind::Other => is_data(line),
                };
                self.is_line_dropped = !(has_data || (is_blank && self.has_data));
                self.has_data = !is_blank && (self.has_data || has_data);
            }
            let end = at + line.len();
            if !self.is_line_dropped {
                if kept < at {
                    lines.copy_within(at..end, kept);
                }
                kept += end - at;
            }
            at = end;
        }
        lines.truncate(kept);
        scan
    }

    /// Holds back an incomplete event, so that `event: error` is not sent without its data.
    fn keep_begun(&mut self, scan: Scan) -> Scan {
        let Scan { ready, found } = scan;
        let mut lines = std::mem::take(&mut self.last);
        lines.extend_from_slice(&ready);
        match found {
            Found::Nothing if !self.line_open && lines.len() <= MAX_HELD => {
                self.last = lines.split_off(end_of_events(&lines));
            }
            Found::Error(_) => lines.truncate(end_of_events(&lines)),
            Found::Nothing | Found::Done => {}
        }
        Scan {
            ready: lines,
            found,
        }
    }

    /// Keeps back what may be the end.
    fn keep_last(&mut self, scan: Scan, was_open: bool) -> Scan {
        let Scan { mut ready, found } = scan;
        let mut before = std::mem::take(&mut self.last);
        if found == Found::Nothing {
            let keep_from = if was_open || self.line_open {
                let seen = [self.before_piece.as_slice(), &ready].concat();
                let longest = ENDINGS.iter().map(|ending| ending.len()).max();
                let from = seen.len().saturating_sub(longest.unwrap_or_default());
                self.before_piece = seen.get(from..).unwrap_or_default().to_vec();
                self.is_ending |= has_ending(&seen);
                self.is_ending.then_some(0)
            } else {
                self.before_piece.clear();
                let latest = latest_event(&ready);
                if latest.is_none() && !before.is_empty() {
                    // Nothing has come but the rest of the event, or a comment.
                    before.append(&mut ready);
                    self.last = before;
                    return Scan { ready, found };
                }
                self.is_ending |= has_ending(&ready);
                latest.filter(|_| self.is_ending)
            };
            if let Some(at) = keep_from {
                self.last = ready.split_off(at);
            }
        }
        before.append(&mut ready);
        Scan {
            ready: before,
            found,
        }
    }

    fn scan(&mut self, chunk: Vec<u8>) -> Scan {
        if self.done {
            return Scan {
                ready: chunk,
                found: Found::Done,
            };
        }
        let mut bytes = std::mem::take(&mut self.held);
        // No line ends in what was held.
        let held = bytes.len();
        if bytes.is_empty() {
            bytes = chunk;
        } else {
            bytes.extend_from_slice(&chunk);
        }
        let mut at = 0;
        if self.line_open {
            match line_end(&bytes) {
                Some(end) => {
                    self.line_open = false;
                    at = end;
                }
                None => at = bytes.len(),
            }
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let from = held.saturating_sub(at);
            let end = line_end(rest.get(from..).unwrap_or_default()).map(|end| from + end);
            let line = rest.get(..end.unwrap_or_default()).unwrap_or_default();
            match line_start(rest) {
                LineStart::Done if self.kind != Kind::Generate => {
                    self.done = true;
                    return Scan {
                        ready: bytes,
                        found: Found::Done,
                    };
                }
                LineStart::Done | LineStart::Other if !is_error_line(line) => match end {
                    Some(end) => {
                        at += end;
                    }
                    None if rest.len() > MAX_HELD => {
                        self.line_open = true;
                        at = bytes.len();
                    }
                    None if at == 0 => {
                        self.held = std::mem::take(&mut bytes);
                        break;
                    }
                    None => {
                        self.held = bytes.split_off(at);
                        break;
                    }
                },
                LineStart::Error | LineStart::Done | LineStart::Other => {
                    let error = bytes.split_off(at);
                    return Scan {
                        ready: bytes,
                        found: Found::Error(error),
                    };
                }
            }
        }
        Scan {
            ready: bytes,
            found: Found::Nothing,
        }
    }

    /// An error, as JSON text in one line, as the last event. All official clients raise on a `data:` object with `error`,
    /// while a stream that just stops looks to them like a complete answer. Google's own form, JSON between the events,
    /// is seen by its clients only if it comes in a packet of its own, so it is not used for Google's either.
    pub fn close_with(&mut self, error: &str) -> Vec<u8> {
        let mut end = std::mem::take(&mut self.last);
        if self.kind == Kind::Other {
            end.clear();
        }
        self.note_sent(&end);
        let separator = match self.sent_end.as_slice() {
            [] | [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] => "",
            [.., b'\n'] => "\n",
            _ => "\n\n",
        };
        end.extend_from_slice(format!("{separator}data: {error}\n\n").as_bytes());
        end
    }

    /// Whether the last line is complete although its line feed is missing. A line that no client gets may be incomplete.
    fn is_whole(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
            let is_dropped = || OTHER_FIELDS.iter().any(|field| line.starts_with(field));
            return line.is_empty()
                || line.starts_with(b":")
                || (self.kind == Kind::Generate && is_dropped());
        };
        data.is_empty()
            || line_start(line) == LineStart::Done
            || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
    }

    /// Notes how what was handed on ends.
    fn note_sent(&mut self, sent: &[u8]) {
        let tail = sent.len().saturating_sub(3);
        self.sent_end
            .extend_from_slice(sent.get(tail..).unwrap_or_default());
        let more = self.sent_end.len().saturating_sub(3);
        self.sent_end.drain(..more);
    }
}

/// Whether a line is data in Google's own form, which has no `[DONE]`.
fn is_data(line: &[u8]) -> bool {
    line.starts_with(b"data:") && line_start(line) != LineStart::Done
}

fn has_ending(bytes: &[u8]) -> bool {
    ENDINGS
        .iter()
        .any(|ending| memmem::find(bytes, ending).is_some())
}

/// Where the last event of whole lines begins.
fn latest_event(lines: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut found = None;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"data:") {
            found = Some(at);
        }
        at += line.len();
    }
    found
}

/// The length of the complete events, up to and including the last blank line.
fn end_of_events(lines: &[u8]) -> usize {
    let mut end = 0;
    let mut at = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line.ends_with(b"\n") && line.trim_ascii().is_empty() {
            end = at;
        }
    }
    end
}

/// An error that [`EventScanner`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorText<'a> {
    /// Its JSON text, as far as it has arrived, without the `data:` before it.
    pub json: &'a [u8],
    /// Whether all of it has arrived.
    pub is_complete: bool,
}

/// Reads an error that [`EventScanner`] found, as far as it has arrived.
pub fn error_text(found: &[u8]) -> ErrorText<'_> {
    let (json, is_complete) = match found.strip_prefix(b"data:") {
        Some(data) => match line_end(data) {
            Some(end) => (data.get(..end).unwrap_or(data), true),
            None => (data, false),
        },
        // Pretty-printed over many lines: complete once it is JSON.
        None => {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(found).is_ok();
            (found, is_json)
        }
    };
    ErrorText { json, is_complete }
}

/// Where the next line begins, if this one's line feed is there.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr(b'\n', bytes).map(|at| at + 1)
}

#[derive(Debug, PartialEq, Eq)]
enum LineStart {
    Done,
    Error,
    Other,
}

/// What a line is, by its beginning; a part of it that does not tell yet is [`LineStart::Other`].
fn line_start(line: &[u8]) -> LineStart {
    // No field of an event begins like this.
    if let [b'{' | b'[', ..] = line {
        return LineStart::Error;
    }
    // A line is looked at again for each piece of it.
    let line = line.get(..LONGEST_START).unwrap_or(line);
    let Some(data) = line.strip_prefix(b"data:").map(skip_blanks) else {
        return LineStart::Other;
    };
    if data.starts_with(b"[DONE]") {
        return LineStart::Done;
    }
    let object = data.strip_prefix(b"[").map_or(data, skip_blanks);
    let value = object
        .strip_prefix(b"{")
        .and_then(|inside| skip_blanks(inside).strip_prefix(b"\"error\""))
        .and_then(|behind| skip_blanks(behind).strip_prefix(b":"))
        .map(skip_blanks);
    match value {
        Some([b'{' | b'[' | b't' | b'0'..=b'9', ..]) => LineStart::Error,
        Some([b'"', first, ..]) if *first != b'"' => LineStart::Error,
        // One that says nothing, as some servers send it, or one that is not here yet.
        Some(_) | None => LineStart::Other,
    }
}

/// Whether a whole line is an event that has an error in it.
fn is_error_line(line: &[u8]) -> bool {
    line.strip_prefix(b"data:").is_some_and(is_error)
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    // Not a line feed: what follows it is another line.
    let blanks = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = bytes.iter().take_while(blanks).count();
    bytes.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was handed on of each chunk, and what was found at last.
    fn scan(chunks: &[&str]) -> (Vec<String>, Found) {
        let mut scanner = EventScanner::new(Kind::Chat);
        let mut found = Found::Nothing;
        let mut ready = Vec::new();
        for chunk in chunks {
            let scan = scanner.push(chunk.as_bytes().to_vec());
            ready.push(String::from_utf8(scan.ready).unwrap());
            found = scan.found;
            if matches!(found, Found::Error(_)) {
                break;
            }
        }
        (ready, found)
    }

    const ERROR: &str = r#"{"error":{"message":"m"}}"#;

    #[test]
    fn the_closing_line_is_found_in_every_framing() {
        for stream in [
            "data: {}\n\ndata: [DONE]\n\n",
            "data: {}\r\n\r\ndata: [DONE]\r\n\r\n",
            "data:{}\n\ndata:[DONE]\n\n",
            "data: [DONE]",
            ": comment\n\ndata:   [DONE]\n\n",
        ] {
            assert_eq!(scan(&[stream]).1, Found::Done, "{stream:?}");
        }
    }

    #[test]
    fn an_error_is_found_in_every_form() {
        for error in [
            r#"data: {"error":{"code":503}}"#,
            r#"data:{ "error" : {}}"#,
            r#"data: [{"error":{"code":503}}]"#,
            r#"data: {"error":"it failed"}"#,
            r#"data: {"error":true}"#,
            "data: {\"code\":503,\"error\":{\"message\":\"m\"}}\n\n",
            "data: {\"choices\":[],\"error\":\"it failed\"}\r\n\r\n",
            "data: [{\"code\":503,\"error\":{}}]\n\n",
            "data: {\"error\":null,\"error\":{}}\n",
            "[{\n  \"error\": {}\n}\n]\n",
            "{\n  \"error\": {}\n}\n",
        ] {
            let (ready, found) = scan(&["data: {\"a\":1}\n\n", error]);
            assert_eq!(ready, ["data: {\"a\":1}\n\n", ""], "{error}");
            assert_eq!(found, Found::Error(error.as_bytes().to_vec()), "{error}");
        }
    }

    #[test]
    fn a_line_in_many_pieces_is_looked_through_once() {
        // For each kind, an event of 900,000 bytes in pieces of 8.
        for kind in [Kind::Chat, Kind::Generate, Kind::Other] {
            let event = format!("data: {{\"a\":\"{}\"}}\n\n", "x".repeat(900_000));
            let mut scanner = EventScanner::new(kind);
            let mut sent = Vec::new();
            let mut place = None;
            for piece in event.as_bytes().chunks(8) {
                sent.extend(scanner.push(piece.to_vec()).ready);
                let capacity = scanner.held.capacity();
                // What is held is neither copied nor moved but to grow.
                assert!(place.is_none_or(|(before, at)| {
                    capacity != before || at == scanner.held.as_ptr() || capacity == 0
                }));
                place = (capacity > 0).then_some((capacity, scanner.held.as_ptr()));
            }
            assert!(sent == event.as_bytes());
        }
    }

    #[test]
    fn an_error_that_has_no_line_end_is_never_the_last_event_of_an_answer() {
        let [_, finish, _] = GOOGLES;
        let mut scanner = EventScanner::new(Kind::Generate);
        let stream = [finish, "data: {\"code\":503,\"error\":{}}"].concat();
        scanner.push(stream.into_bytes());
        assert_eq!(scanner.end(), None);
    }

    #[test]
    fn what_a_line_is_does_not_show_in_the_next_one() {
        let mut scanner = EventScanner::new(Kind::Chat);
        let scan = scanner.push(b"data:\n\n[{\"error\":{}}]\n".to_vec());
        assert_eq!(scan.ready, b"data:\n\n");
        assert!(matches!(scan.found, Found::Error(error) if error.starts_with(b"[{")));
    }

    #[test]
    fn what_only_resembles_them_passes() {
        for stream in [
            "data: {\"content\":\"data: [DONE]\"}\n\n",
            "data: \"[DONE]\"\n\n",
            " data: [DONE]\n\n",
            "event: data: [DONE]\n\n",
            "data: [DON]\n\n",
            "data: {\"errors\":1}\n\n",
            "data: {\"a\":{\"error\":1}}\n\n",
            "data: {\"error\":null,\"choices\":[]}\n\n",
            "data: {\"error\" : null}\n\n",
            "data: {\"error\":false}\n\n",
            "data: {\"error\":\"\",\"choices\":[]}\n\n",
            "data: {\"choices\":[],\"error\":null}\n\n",
            "data: {\"content\":\"an \\\"error\\\": {}\"}\n\n",
            "data: {\"content\":[\"error\"]}\n\n",
            "data: \"error\"\n\n",
            "data: []\n\n",
            "data: {}\n\n",
            "id: {\n\n",
            "data\n\n",
            "\n\n\n",
        ] {
            // Of other lines OpenAI's clients get nothing.
            let kinds = if stream.starts_with("data:") {
                &[Kind::Chat, Kind::Other][..]
            } else {
                &[Kind::Other]
            };
            for kind in kinds {
                let scan = EventScanner::new(*kind).push(stream.as_bytes().to_vec());
                assert_eq!(
                    (scan.ready.as_slice(), scan.found),
                    (stream.as_bytes(), Found::Nothing),
                    "{kind:?} {stream:?}"
                );
            }
        }
    }

    #[test]
    fn whole_events_pass_at_once_and_lines_without_end_do_not() {
        let (ready, found) = scan(&[
            "data: {\"a\":1}\n\n",
            "data: {\"b\":2}\n\n",
            "dat",
            "a: [DO",
            "NE]\n\n",
        ]);
        assert_eq!(
            ready,
            [
                "data: {\"a\":1}\n\n",
                "data: {\"b\":2}\n\n",
                "",
                "",
                "data: [DONE]\n\n"
            ]
        );
        assert_eq!(found, Found::Done);
    }

    #[test]
    fn an_error_is_an_event_of_its_own_and_half_a_line_before_it_is_dropped() {
        let event = format!("data: {ERROR}\n\n");
        for (stream, sent_before) in [
            ("", ""),
            ("data: {}\n\n", "data: {}\n\n"),
            ("data: {}\r\n\r\n", "data: {}\r\n\r\n"),
            ("data: {}\n", "data: {}\n\n"),
            ("data: {}\n\ndata: {\"cut", "data: {}\n\n"),
            ("data: {}\n\nda", "data: {}\n\n"),
        ] {
            let mut scanner = EventScanner::new(Kind::Chat);
            let mut sent = scanner.push(stream.as_bytes().to_vec()).ready;
            sent.extend(scanner.close_with(ERROR));
            assert_eq!(
                String::from_utf8(sent).unwrap(),
                format!("{sent_before}{event}"),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn a_line_that_is_too_long_to_hold_passes_in_pieces() {
        let mut scanner = EventScanner::new(Kind::Chat);
        let long = [b"data: ".to_vec(), vec![b'x'; MAX_HELD]].concat();
        assert_eq!(scanner.push(long[..9].to_vec()).ready, b"");
        assert_eq!(scanner.push(long[9..].to_vec()).ready, long);
        assert_eq!(scanner.push(b"{\"error\"".to_vec()).ready, b"{\"error\"");
        assert!(scanner.close_with(ERROR).starts_with(b"\n\ndata: {"));
        let rest = b"\n\ndata: [DONE]\n\n".to_vec();
        assert_eq!(scanner.push(rest).found, Found::Done);
    }

    #[test]
    fn the_text_of_an_error_is_whole_at_its_lines_end_or_its_jsons() {
        for (found, text, whole) in [
            ("data: {\"error\":1}\n\nmore", " {\"error\":1}\n", true),
            ("data: {\"err", " {\"err", false),
            ("[{\n \"error\": 1}]\n", "[{\n \"error\": 1}]\n", true),
            ("[{\n \"error\": 1}", "[{\n \"error\": 1}", false),
        ] {
            assert_eq!(
                error_text(found.as_bytes()),
                ErrorText {
                    json: text.as_bytes(),
                    is_complete: whole,
                },
                "{found:?}"
            );
        }
    }

    const GOOGLES: [&str; 3] = [
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"a \\\"finishReason\\\" b\"}]}}]}\r\n\r\n",
        "data: {\"candidates\": [{\"content\": {\"parts\": []},\"finishReason\": \"STOP\"}]}\r\n\r\n",
        "data: {\"promptFeedback\": {\"blockReason\": \"SAFETY\"}}\r\n\r\n",
    ];

    #[test]
    fn googles_own_stream_ends_with_the_event_that_says_why() {
        let [text, finish, blocked] = GOOGLES;
        for (events, kept) in [
            (vec![text, finish], finish),
            (vec![finish, text, blocked], blocked),
            (vec![finish, finish], finish),
        ] {
            let mut scanner = EventScanner::new(Kind::Generate);
            let mut sent = Vec::new();
            for event in &events {
                // The blank line comes apart from its event.
                let (line, blank) = event.split_at(event.len() - 2);
                sent.extend(scanner.push(line.as_bytes().to_vec()).ready);
                sent.extend(scanner.push(blank.as_bytes().to_vec()).ready);
            }
            let rest = scanner.end().unwrap();
            assert_eq!(String::from_utf8(rest).unwrap(), kept);
            let before = events[..events.len() - 1].concat();
            assert_eq!(String::from_utf8(sent).unwrap(), before);
        }
        // What follows the reason belongs to the answer: usage, or a comment, which no client gets.
        let usage = "data: {\"usageMetadata\": {}}\r\n\r\n";
        for (more, passes) in [(usage, usage), (": ping\r\n\r\n", "")] {
            let mut scanner = EventScanner::new(Kind::Generate);
            let mut sent = scanner.push([text, finish].concat().into_bytes()).ready;
            sent.extend(scanner.push(more.as_bytes().to_vec()).ready);
            sent.extend(scanner.end().expect("an end"));
            assert_eq!(
                String::from_utf8(sent).unwrap(),
                [text, finish, passes].concat()
            );
        }
        let mut scanner = EventScanner::new(Kind::Generate);
        scanner.push(text.as_bytes().to_vec());
        assert_eq!(scanner.end(), None, "it was cut");
        assert_eq!(EventScanner::new(Kind::Generate).end(), None);
    }

    #[test]
    fn of_googles_own_stream_only_data_passes() {
        let [text, finish, _] = GOOGLES;
        let long = format!(": {}\n", "x".repeat(MAX_HELD));
        for (stream, passes) in [
            (vec![": ping\r\n\r\n", text, finish], vec![text, finish]),
            (vec![text, ":\n", ":\n\n", finish], vec![text, finish]),
            (
                vec!["event: message\n", text, "id: 7\nretry: 3\n", finish],
                vec![text, finish],
            ),
            (vec![text, finish, "data: [DONE]\n\n"], vec![text, finish]),
            (vec![&long, text, &long, "\n", finish], vec![text, finish]),
            (
                vec!["data: {\n: ping\ndata: }\n\n", finish],
                vec!["data: {\ndata: }\n\n", finish],
            ),
        ] {
            let stream = stream.concat();
            for size in [1, 3, 64 * 1024, stream.len()] {
                if size < 64 && stream.len() > MAX_HELD {
                    continue;
                }
                let mut scanner = EventScanner::new(Kind::Generate);
                let mut sent = Vec::new();
                for piece in stream.as_bytes().chunks(size) {
                    sent.extend(scanner.push(piece.to_vec()).ready);
                }
                sent.extend(scanner.end().expect("an end"));
                assert_eq!(String::from_utf8(sent).unwrap(), passes.concat());
            }
        }
    }

    #[test]
    fn names_and_ids_of_events_do_not_reach_openais_clients() {
        let data = "data: {\"a\":1}\n\n";
        let error = "event: error\ndata: {\"error\":{\"code\":503}}\n\n";
        let mut scanner = EventScanner::new(Kind::Chat);
        let stream = [": ping\n\nevent: chunk\nid: 7\n", data, error].concat();
        let scan = scanner.push(stream.into_bytes());
        let sent = [scan.ready, scanner.close_with(ERROR)].concat();
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            format!(": ping\n\n{data}data: {ERROR}\n\n")
        );
    }

    #[test]
    fn a_last_line_without_its_end_is_the_end_unless_it_is_cut() {
        let [text, finish, _] = GOOGLES;
        let bare = finish.trim_end();
        for (last, passes) in [
            (bare, Some(finish)),
            ("data: [DONE]", Some("")),
            (": bye", Some("")),
            ("id: 4", Some("")),
            ("data:", Some("")),
            ("dat", None),
            ("data: {\"cut", None),
        ] {
            let mut scanner = EventScanner::new(Kind::Generate);
            let before = if last == bare { text } else { finish };
            let mut sent = scanner.push([before, last].concat().into_bytes()).ready;
            let rest = scanner.end();
            assert_eq!(rest.is_some(), passes.is_some(), "{last}");
            if let Some(passes) = passes {
                sent.extend(rest.unwrap());
                let sent = String::from_utf8(sent).unwrap();
                assert_eq!(sent, [before, passes].concat(), "{last}");
            }
        }
        let mut scanner = EventScanner::new(Kind::Other);
        scanner.push(format!("{CREATED}: bye").into_bytes());
        assert_eq!(scanner.end().as_deref(), Some(&b": bye"[..]));
    }

    #[test]
    fn a_long_event_passes_at_once_unless_it_may_be_the_last() {
        let mut scanner = EventScanner::new(Kind::Generate);
        let long = format!("data: {{\"a\":\"{}", "x".repeat(MAX_HELD));
        assert_eq!(
            scanner.push(long.clone().into_bytes()).ready,
            long.as_bytes()
        );
        let end = b"\"}\r\n\r\n";
        assert_eq!(scanner.push(end.to_vec()).ready, end);
    }

    const CREATED: &str = "event: interaction.created\ndata: {\"interaction\":{\"id\":\"v1_fake\"},\"event_type\":\"interaction.created\"}\n\n";
    const COMPLETED: &str =
        "event: interaction.completed\ndata: {\"event_type\":\"interaction.completed\"}\n\n";

    #[test]
    fn another_stream_passes_event_by_event_and_ends_with_its_upstream() {
        for closing in ["", "event: done\ndata: [DONE]\n\n", ": bye\n\n"] {
            let mut scanner = EventScanner::new(Kind::Other);
            for event in [CREATED, ": ping\n\n", COMPLETED] {
                let (name, data) = event.split_at(event.find("data").unwrap_or(3));
                assert_eq!(scanner.push(name.as_bytes().to_vec()).ready, b"", "{event}");
                let ready = scanner.push(data.as_bytes().to_vec()).ready;
                assert_eq!(String::from_utf8(ready).unwrap(), event);
            }
            let scan = scanner.push(closing.as_bytes().to_vec());
            assert_eq!(scan.ready, closing.as_bytes());
            assert_eq!(scan.found == Found::Done, closing.contains("[DONE]"));
            assert_eq!(scanner.end().as_deref(), Some(&b""[..]));
        }
        let mut scanner = EventScanner::new(Kind::Other);
        scanner.push(format!("{CREATED}event: st").into_bytes());
        assert_eq!(scanner.end(), None, "it was cut");
    }

    #[test]
    fn the_error_of_another_stream_takes_its_name_along() {
        for error in [
            "event: error\ndata: {\"error\":{\"code\":\"c\"},\"event_type\":\"error\"}\n\n",
            "{\"error\":{\"code\":429}}\n",
        ] {
            let mut scanner = EventScanner::new(Kind::Other);
            let scan = scanner.push([CREATED, error].concat().into_bytes());
            assert_eq!(String::from_utf8(scan.ready).unwrap(), CREATED);
            assert!(matches!(scan.found, Found::Error(_)), "{error}");
            let closed = scanner.close_with(ERROR);
            assert_eq!(
                String::from_utf8(closed).unwrap(),
                format!("data: {ERROR}\n\n")
            );
        }
    }

    #[test]
    fn googles_own_stream_may_end_with_an_event_that_is_too_long_to_hold() {
        let image = "x".repeat(MAX_HELD + 10);
        let event = format!("data: {{\"image\":\"{image}\",\"finishReason\": \"STOP\"}}\r\n\r\n");
        for cut in [1, 5, 40, 45, 50] {
            let mut scanner = EventScanner::new(Kind::Generate);
            let (first, second) = event.split_at(event.len() - cut);
            let mut sent = scanner.push(first.as_bytes().to_vec()).ready;
            sent.extend(scanner.push(second.as_bytes().to_vec()).ready);
            let rest = scanner.end().expect("an end");
            assert!(!rest.is_empty());
            sent.extend(rest);
            assert!(sent == event.as_bytes(), "cut {cut} before its end");
        }
    }

    #[test]
    fn a_stream_that_is_cut_within_a_line_is_cut_whatever_came_before() {
        let [text, finish, _] = GOOGLES;
        let mut scanner = EventScanner::new(Kind::Generate);
        let cut = [finish, text, "data: {\"candidates\": [{\"te"].concat();
        let mut sent = scanner.push(cut.into_bytes()).ready;
        assert_eq!(scanner.end(), None);
        sent.extend(scanner.close_with(ERROR));
        let expected = [finish, text, "data: ", ERROR, "\n\n"].concat();
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            expected,
            "half a line is dropped"
        );
        // The last line's end may be missing.
        let mut scanner = EventScanner::new(Kind::Generate);
        scanner.push(
            [finish, "data: {\"usageMetadata\": {}}"]
                .concat()
                .into_bytes(),
        );
        assert!(scanner.end().is_some());
    }

    #[test]
    fn of_a_long_event_nothing_is_lost_when_an_error_follows() {
        let mut scanner = EventScanner::new(Kind::Generate);
        let long = format!("data: {{\"a\":\"{}", "x".repeat(MAX_HELD));
        let mut sent = Vec::new();
        for piece in [&long, "MIDDLE", "TAIL\"}\r\n\r\n"] {
            sent.extend(scanner.push(piece.as_bytes().to_vec()).ready);
        }
        assert_eq!(scanner.end(), None, "it does not say why it ended");
        sent.extend(scanner.close_with(ERROR));
        let expected = format!("{long}MIDDLETAIL\"}}\r\n\r\ndata: {ERROR}\n\n");
        assert!(sent == expected.as_bytes());
    }

    #[test]
    fn an_error_in_googles_own_stream_is_found_and_told_in_an_event() {
        let [text, finish, _] = GOOGLES;
        let mut scanner = EventScanner::new(Kind::Generate);
        scanner.push(finish.as_bytes().to_vec());
        let scan = scanner.push([text, "{\n  \"error\""].concat().into_bytes());
        assert_eq!(scan.ready, [finish, text].concat().as_bytes());
        assert!(matches!(scan.found, Found::Error(_)));
        let event = format!("data: {ERROR}\n\n");
        assert_eq!(scanner.close_with(ERROR), event.as_bytes());
    }

    proptest! {
        #[test]
        fn chunk_borders_change_nothing_of_googles_own_stream(
            events in prop::collection::vec(prop::sample::select(GOOGLES.to_vec()), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = events.concat().into_bytes();
            let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            borders.extend([0, stream.len()]);
            borders.sort_unstable();
            let mut scanner = EventScanner::new(Kind::Generate);
            let mut passed = Vec::new();
            for pair in borders.windows(2) {
                passed.extend(scanner.push(stream[pair[0]..pair[1]].to_vec()).ready);
            }
            let ends_well = events.iter().any(|event| *event != GOOGLES[0]);
            let rest = scanner.end();
            prop_assert_eq!(rest.is_some(), ends_well);
            passed.extend(rest.unwrap_or_default());
            // Of a stream that was cut, half a line is dropped.
            let expected = if ends_well { &stream } else { &stream[..passed.len()] };
            prop_assert_eq!(passed.as_slice(), expected);
            prop_assert!(passed.len() + 1 >= stream.len());
        }

        #[test]
        fn chunk_borders_change_neither_bytes_nor_verdict(
            lines in prop::collection::vec("(data: ?)?[a-z\\[\\]{}\"DONE:é]{0,12}\r?\n", 0..6),
            closing in prop::sample::select(vec![
                "",
                "data: [DONE]\n\n",
                "data: [{\"error\":1}]\n\n",
                "data: {\"a\":1,\"error\":{}}\n\n",
                "data: {\"error\":null,\"a\":1}\n\n",
                "data: {\"error\": \"e\"}\n\n",
                "{\n}",
            ]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = (lines.concat() + closing).into_bytes();
            let whole = EventScanner::new(Kind::Chat).push(stream.clone());
            let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            borders.extend([0, stream.len()]);
            borders.sort_unstable();
            let mut scanner = EventScanner::new(Kind::Chat);
            let mut passed = Vec::new();
            let mut error = None;
            for pair in borders.windows(2) {
                let chunk = &stream[pair[0]..pair[1]];
                match &mut error {
                    None => {
                        let scan = scanner.push(chunk.to_vec());
                        passed.extend(scan.ready);
                        if let Found::Error(begun) = scan.found {
                            error = Some(begun);
                        }
                    }
                    Some(begun) => begun.extend_from_slice(chunk),
                }
            }
            prop_assert_eq!(&passed, &whole.ready);
            match whole.found {
                Found::Error(all) => prop_assert_eq!(error, Some(all)),
                Found::Done => prop_assert!(scanner.done && error.is_none()),
                Found::Nothing => prop_assert!(!scanner.done && error.is_none()),
            }
        }
    }
}
