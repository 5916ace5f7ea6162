//! A streamed answer, watched without parsing its events.
//!
//! Two lines matter. `data: [DONE]` closes the stream, and the call must be in the log before it leaves. And an error in
//! the middle must reach the client in a form that it understands, and never with a key in it: Google sends one as
//! `data: {"error":…}`, as `data: [{"error":…}]`, or as plain pretty-printed JSON between the events, which clients
//! ignore. [`EventScanner`] looks at the first bytes of each line and passes whole lines on, untouched: a line that the
//! upstream never ends is no event, and half of one would be read as a broken one.

use super::ErrorBody;

/// A line longer than this passes in pieces, so that memory stays bounded: 1 MiB. Google's longest hold images.
const MAX_HELD: usize = 1024 * 1024;

/// What a chunk of the stream came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that may be handed on now, the closing line included once it is there.
    pub ready: Vec<u8>,
    /// What follows them.
    pub found: Found,
}

/// What the stream has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// The closing line, in this chunk or before.
    Done,
    /// An error's beginning, from the start of its line on. What follows in the stream belongs to it.
    Error(Vec<u8>),
}

/// Finds the end of a stream and errors in it, in chunks that are cut anywhere.
#[derive(Debug, Default)]
pub struct EventScanner {
    /// A line whose end is not here yet.
    held: Vec<u8>,
    /// The beginning of a line was handed on, since it is too long to be held.
    line_open: bool,
    /// Of the latest event that was handed on, the blank line is missing.
    event_open: bool,
    done: bool,
}

impl EventScanner {
    /// Takes the next chunk. Not to be called again after an error was found.
    pub fn push(&mut self, chunk: Vec<u8>) -> Scan {
        if self.done {
            return Scan {
                ready: chunk,
                found: Found::Done,
            };
        }
        let mut bytes = std::mem::take(&mut self.held);
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
            let end = line_end(rest);
            match line_start(rest) {
                LineStart::Done => {
                    self.done = true;
                    return Scan {
                        ready: bytes,
                        found: Found::Done,
                    };
                }
                LineStart::Error => {
                    let error = bytes.split_off(at);
                    return Scan {
                        ready: bytes,
                        found: Found::Error(error),
                    };
                }
                LineStart::Other => match end {
                    Some(end) => {
                        self.event_open = !matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]);
                        at += end;
                    }
                    None if rest.len() > MAX_HELD => {
                        self.line_open = true;
                        self.event_open = true;
                        at = bytes.len();
                    }
                    None => {
                        self.held = bytes.split_off(at);
                        break;
                    }
                },
            }
        }
        Scan {
            ready: bytes,
            found: Found::Nothing,
        }
    }

    /// An error as the last event. Both official clients raise on a `data:` object with `error`, while a stream that just
    /// stops looks to them like a complete answer.
    pub fn close_with(&self, error: &ErrorBody) -> Vec<u8> {
        let separator = match (self.line_open, self.event_open) {
            (true, _) => "\n\n",
            (false, true) => "\n",
            (false, false) => "",
        };
        format!("{separator}data: {}\n\n", error.to_json()).into_bytes()
    }
}

/// The JSON text of an error that [`EventScanner`] found, without the `data:` before it; and whether all of it is there.
pub fn error_text(found: &[u8]) -> (&[u8], bool) {
    match found.strip_prefix(b"data:") {
        Some(data) => match line_end(data) {
            Some(end) => (data.get(..end).unwrap_or(data), true),
            None => (data, false),
        },
        // Pretty-printed, over many lines: whole when it is JSON.
        None => (
            found,
            serde_json::from_slice::<serde::de::IgnoredAny>(found).is_ok(),
        ),
    }
}

/// Where the next line begins, if this one's line feed is there.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| at + 1)
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
    let Some(data) = line.strip_prefix(b"data:").map(skip_blanks) else {
        return LineStart::Other;
    };
    if data.starts_with(b"[DONE]") {
        return LineStart::Done;
    }
    let object = data.strip_prefix(b"[").map_or(data, skip_blanks);
    match object.strip_prefix(b"{").map(skip_blanks) {
        Some(inside) if inside.starts_with(b"\"error\"") => LineStart::Error,
        Some(_) | None => LineStart::Other,
    }
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| **byte == b' ').count();
    bytes.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was handed on of each chunk, and what was found at last.
    fn scan(chunks: &[&str]) -> (Vec<String>, Found) {
        let mut scanner = EventScanner::default();
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

    fn error() -> ErrorBody {
        ErrorBody {
            message: "m".into(),
            kind: "server_error",
            param: None,
            code: "c".into(),
        }
    }

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
            "[{\n  \"error\": {}\n}\n]\n",
            "{\n  \"error\": {}\n}\n",
        ] {
            let (ready, found) = scan(&["data: {\"a\":1}\n\n", error]);
            assert_eq!(ready, ["data: {\"a\":1}\n\n", ""], "{error}");
            assert_eq!(found, Found::Error(error.as_bytes().to_vec()), "{error}");
        }
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
            "data: []\n\n",
            "data: {}\n\n",
            "id: {\n\n",
            "data\n\n",
            "\n\n\n",
        ] {
            let (ready, found) = scan(&[stream]);
            assert_eq!(
                (ready.concat().as_str(), found),
                (stream, Found::Nothing),
                "{stream:?}"
            );
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
        let event = format!("data: {}\n\n", error().to_json());
        for (stream, sent_before) in [
            ("", ""),
            ("data: {}\n\n", "data: {}\n\n"),
            ("data: {}\r\n\r\n", "data: {}\r\n\r\n"),
            ("data: {}\n", "data: {}\n\n"),
            ("data: {}\n\ndata: {\"cut", "data: {}\n\n"),
            ("data: {}\n\nda", "data: {}\n\n"),
        ] {
            let mut scanner = EventScanner::default();
            let mut sent = scanner.push(stream.as_bytes().to_vec()).ready;
            sent.extend(scanner.close_with(&error()));
            assert_eq!(
                String::from_utf8(sent).unwrap(),
                format!("{sent_before}{event}"),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn a_line_that_is_too_long_to_hold_passes_in_pieces() {
        let mut scanner = EventScanner::default();
        let long = [b"data: ".to_vec(), vec![b'x'; MAX_HELD]].concat();
        assert_eq!(scanner.push(long[..9].to_vec()).ready, b"");
        assert_eq!(scanner.push(long[9..].to_vec()).ready, long);
        assert_eq!(scanner.push(b"{\"error\"".to_vec()).ready, b"{\"error\"");
        assert!(scanner.close_with(&error()).starts_with(b"\n\ndata: {"));
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
                (text.as_bytes(), whole),
                "{found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn chunk_borders_change_neither_bytes_nor_verdict(
            lines in prop::collection::vec("(data: ?)?[a-z\\[\\]{}\"DONE:é]{0,12}\r?\n", 0..6),
            closing in prop::sample::select(vec!["", "data: [DONE]\n\n", "data: [{\"error\":1}]\n\n", "{\n}"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = (lines.concat() + closing).into_bytes();
            let whole = EventScanner::default().push(stream.clone());
            let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            borders.extend([0, stream.len()]);
            borders.sort_unstable();
            let mut scanner = EventScanner::default();
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
