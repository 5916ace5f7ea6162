//! Watches a streamed answer without parsing its events.
//!
//! Two kinds of lines matter. One closes the stream, and the call must be logged before it is sent:
//! `data: [DONE]` in OpenAI's format; in Google's, which has no closing line, the event with the
//! reason why the answer ended, unless more follows. Any other stream may end with either, or just
//! end.
//!
//! The other is an error, which must reach the client in a form that it understands, without any
//! key. Google sends it as `data: {"error":…}`, as `data: [{"error":…}]`, or as plain
//! pretty-printed JSON between the events, which OpenAI's clients ignore. [`EventScanner`] examines
//! the first bytes of each line and forwards complete lines unchanged: an unterminated line is not
//! an event, and half of one would be read as a broken event.
//!
//! Model streams are reduced to `data:` lines, and comments for OpenAI's clients. Google sends
//! nothing else, and when an event is removed or replaced by an error, its name or id would remain
//! as an event without data. Google's clients understand no other line: on a comment, google-genai
//! for Python raises, the one for Node drops the next event, and LiteLLM stops reading.

use super::{Found, is_error};
use crate::wire::Kind;
use crate::wire::json::parse;
use memchr::{memchr, memmem};

/// Longer lines pass in pieces, to bound memory: 1 MiB. Google's longest lines contain images.
const MAX_HELD: usize = 1024 * 1024;

/// How many bytes of a line, blanks included, determine its kind.
const LONGEST_START: usize = 256;

/// The result of scanning a chunk.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// The bytes to forward now, including the closing line once it has arrived.
    pub ready: Vec<u8>,
    /// What follows them.
    pub found: Found,
}

impl Scan {
    fn new(ready: Vec<u8>, found: Found) -> Self {
        Self { ready, found }
    }
}

/// Marks of the last event in Google's format. They cannot match within a string, where quotes are
/// escaped.
const ENDINGS: [&[u8]; 2] = [b"\"finishReason\"", b"\"promptFeedback\""];

/// Prefixes of lines that are neither data nor comments.
const OTHER_FIELDS: [&[u8]; 3] = [b"event:", b"id:", b"retry:"];

/// Finds the end of a stream, and errors in it, in chunks with arbitrary boundaries.
#[derive(Debug)]
pub struct EventScanner {
    kind: Kind,
    /// Bytes held back: possibly the last event in Google's format, or an incomplete event in
    /// streams that do not come from a model.
    last: Vec<u8>,
    /// An event has begun, so the next blank line ends it.
    has_data: bool,
    /// The line that is arriving in pieces is dropped.
    is_line_dropped: bool,
    /// An event had the reason why the answer ended, so any further event may be the last.
    is_ending: bool,
    /// The end of the previous piece of a line that passes in pieces.
    before_piece: Vec<u8>,
    /// A line whose end has not arrived.
    held: Vec<u8>,
    /// The start of a line that is too long to buffer has been forwarded.
    line_open: bool,
    /// The last bytes that were forwarded.
    sent_end: Vec<u8>,
    done: bool,
}

impl EventScanner {
    /// Creates a scanner for a stream of this kind.
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

    /// Processes the next chunk. Must not be called again after an error was found.
    pub fn push(&mut self, chunk: Vec<u8>) -> Scan {
        let (was_open, was_done) = (self.line_open, self.done);
        let scan = self.scan(chunk);
        let scan = match self.kind {
            Kind::Chat if was_done => scan,
            Kind::Chat => self.retain_data(scan, was_open),
            Kind::Generate => {
                let scan = self.retain_data(scan, was_open);
                self.hold_last_event(scan, was_open)
            }
            Kind::Other => self.hold_incomplete_event(scan),
        };
        self.record_sent(&scan.ready);
        scan
    }

    /// Returns the remaining bytes when the upstream ends the stream; `None` if it ended
    /// prematurely.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let is_truncated = self.line_open || !self.is_whole(&self.held);
        let may_be_end = self.is_ending || has_ending(&self.held) || self.kind == Kind::Other;
        if !may_be_end || is_truncated || is_error_line(&self.held) {
            return None;
        }
        let mut rest = std::mem::take(&mut self.last);
        if self.kind != Kind::Generate {
            rest.append(&mut self.held);
        } else if is_data(&self.held) && self.held.trim_ascii() != b"data:" {
            rest.append(&mut self.held);
            // Google's client for Node ignores an event without a blank line.
            rest.extend_from_slice(b"\r\n\r\n");
        }
        Some(rest)
    }

    /// Removes all lines except data, comments for OpenAI's clients, and the blank lines that end
    /// an event.
    fn retain_data(&mut self, mut scan: Scan, was_open: bool) -> Scan {
        let lines = &mut scan.ready;
        let (mut at, mut retained) = (0, 0);
        let mut is_rest = was_open;
        while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
            // What follows the closing line is not an event.
            let is_closed = self.kind == Kind::Chat && line_start(rest) == LineStart::Done;
            let line = match line_end(rest).filter(|_| !is_closed) {
                Some(end) => rest.get(..end).unwrap_or(rest),
                None => rest,
            };
            // The start of a line decides about all of its pieces.
            if !std::mem::take(&mut is_rest) {
                let is_blank = is_blank_line(line);
                let has_data = match self.kind {
                    Kind::Chat => line.starts_with(b"data:") || line.starts_with(b":"),
                    Kind::Generate | Kind::Other => is_data(line),
                };
                self.is_line_dropped = !(has_data || (is_blank && self.has_data));
                self.has_data = !is_blank && (self.has_data || has_data);
            }
            let end = at + line.len();
            if !self.is_line_dropped {
                if retained < at {
                    lines.copy_within(at..end, retained);
                }
                retained += end - at;
            }
            at = end;
        }
        lines.truncate(retained);
        scan
    }

    /// Holds back an incomplete event, so that `event: error` is not sent without its data.
    fn hold_incomplete_event(&mut self, scan: Scan) -> Scan {
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
        Scan::new(lines, found)
    }

    /// Holds back what may be the last event.
    fn hold_last_event(&mut self, scan: Scan, was_open: bool) -> Scan {
        let Scan { mut ready, found } = scan;
        let mut before = std::mem::take(&mut self.last);
        if found == Found::Nothing {
            let hold_from = if was_open || self.line_open {
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
                    // Only the rest of the event, or a comment, has arrived.
                    before.append(&mut ready);
                    self.last = before;
                    return Scan::new(ready, found);
                }
                self.is_ending |= has_ending(&ready);
                latest.filter(|_| self.is_ending)
            };
            if let Some(at) = hold_from {
                self.last = ready.split_off(at);
            }
        }
        before.append(&mut ready);
        Scan::new(before, found)
    }

    fn scan(&mut self, chunk: Vec<u8>) -> Scan {
        if self.done {
            return Scan::new(chunk, Found::Done);
        }
        let mut bytes = std::mem::take(&mut self.held);
        // `held` contains no line ending.
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
                    return Scan::new(bytes, Found::Done);
                }
                LineStart::Done | LineStart::Other if !is_error_line(line) => match end {
                    Some(end) => at += end,
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
                    return Scan::new(bytes, Found::Error(error));
                }
            }
        }
        Scan::new(bytes, Found::Nothing)
    }

    /// Returns an error, given as JSON on one line, as the last event.
    ///
    /// All official clients raise on a `data:` object with `error`, whereas a stream that just
    /// stops looks complete to them. Google's own form, JSON between events, is only noticed by its
    /// clients if it arrives in a packet of its own, so it is not used for them either.
    pub fn close_with(&mut self, error: &str) -> Vec<u8> {
        let mut end = std::mem::take(&mut self.last);
        if self.kind == Kind::Other {
            end.clear();
        }
        self.record_sent(&end);
        let separator = match self.sent_end.as_slice() {
            [] | [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] => "",
            [.., b'\n'] => "\n",
            _ => "\n\n",
        };
        end.extend_from_slice(format!("{separator}data: {error}\n\n").as_bytes());
        end
    }

    /// Whether the last line is complete although it lacks a line feed. A line that is dropped
    /// anyway may be incomplete.
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
            || parse::<serde::de::IgnoredAny>(data).is_some()
    }

    /// Records the last bytes forwarded.
    fn record_sent(&mut self, sent: &[u8]) {
        let tail = sent.len().saturating_sub(3);
        self.sent_end
            .extend_from_slice(sent.get(tail..).unwrap_or_default());
        let more = self.sent_end.len().saturating_sub(3);
        self.sent_end.drain(..more);
    }
}

/// Whether a line is data in Google's format, which has no `[DONE]`.
fn is_data(line: &[u8]) -> bool {
    line.starts_with(b"data:") && line_start(line) != LineStart::Done
}

fn has_ending(bytes: &[u8]) -> bool {
    ENDINGS
        .iter()
        .any(|ending| memmem::find(bytes, ending).is_some())
}

/// Returns the start of the last event in complete lines.
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
        if is_blank_line(line) {
            end = at;
        }
    }
    end
}

/// An error found by [`EventScanner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorText<'a> {
    /// Its JSON text without `data:`, as far as it has arrived.
    pub json: &'a [u8],
    /// Whether the whole error has arrived.
    pub is_complete: bool,
}

/// Reads an error found by [`EventScanner`], as far as it has arrived.
pub fn error_text(found: &[u8]) -> ErrorText<'_> {
    let (json, is_complete) = match found.strip_prefix(b"data:") {
        Some(data) => match line_end(data) {
            Some(end) => (data.get(..end).unwrap_or(data), true),
            None => (data, false),
        },
        // Pretty-printed JSON is complete once it parses.
        None => {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(found).is_ok();
            (found, is_json)
        }
    };
    ErrorText { json, is_complete }
}

/// Returns the start of the next line if this one has a line feed.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr(b'\n', bytes).map(|at| at + 1)
}

/// Whether a line ends an event. One of spaces or tabs does not.
pub(crate) fn is_blank_line(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

#[derive(Debug, PartialEq, Eq)]
enum LineStart {
    Done,
    Error,
    Other,
}

/// Determines the kind of a line from its start; [`LineStart::Other`] if that is still unclear.
fn line_start(line: &[u8]) -> LineStart {
    // No field of an event starts like this.
    if let [b'{' | b'[', ..] = line {
        return LineStart::Error;
    }
    // The start of a line is examined again for each piece.
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
        .and_then(|after| skip_blanks(after).strip_prefix(b":"))
        .map(skip_blanks);
    match value {
        Some([b'{' | b'[' | b't' | b'0'..=b'9', ..]) => LineStart::Error,
        Some([b'"', first, ..]) if *first != b'"' => LineStart::Error,
        // An empty error, as some servers send it, or one that has not arrived.
        Some(_) | None => LineStart::Other,
    }
}

/// Whether a complete line is an event with an error.
fn is_error_line(line: &[u8]) -> bool {
    line.strip_prefix(b"data:").is_some_and(is_error)
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    // Line feeds are excluded, since another line follows them.
    let blanks = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = bytes.iter().take_while(blanks).count();
    bytes.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
