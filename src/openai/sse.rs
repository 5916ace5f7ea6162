//! A streamed answer, watched without parsing its events.
//!
//! Two lines matter. `data: [DONE]` closes the stream, and the call must be in the log before it leaves. And an error in
//! the middle must reach the client in a form that it understands, and never with a key in it: Google sends one as
//! `data: {"error":…}`, as `data: [{"error":…}]`, or as plain pretty-printed JSON between the events, which clients
//! ignore. [`EventScanner`] looks at the first bytes of each line and lets all others pass untouched; only what may still
//! become such a line is held back, about 20 bytes at most.

use super::ErrorBody;

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
    held: Vec<u8>,
    /// The latest line has no line feed yet.
    line_open: bool,
    /// The latest event has no blank line yet.
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
        while let Some(line) = bytes.get(at..).filter(|line| !line.is_empty()) {
            match line_start(line) {
                LineStart::TooShortToTell => {
                    self.held = bytes.split_off(at);
                    break;
                }
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
                LineStart::Other => match line_end(line) {
                    Some(end) => {
                        self.event_open = !matches!(line, [b'\n', ..] | [b'\r', b'\n', ..]);
                        at += end;
                    }
                    None => {
                        self.line_open = true;
                        self.event_open = true;
                        at = bytes.len();
                    }
                },
            }
        }
        Scan {
            ready: bytes,
            found: Found::Nothing,
        }
    }

    /// An error as the last event, and before it what is held back. Both official clients raise on a `data:` object with
    /// `error`, while a stream that just stops looks to them like a complete answer.
    pub fn close_with(&mut self, error: &ErrorBody) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.held);
        let separator: &[u8] = if self.line_open || !bytes.is_empty() {
            b"\n\n"
        } else if self.event_open {
            b"\n"
        } else {
            b""
        };
        bytes.extend_from_slice(separator);
        bytes.extend_from_slice(format!("data: {}\n\n", error.to_json()).as_bytes());
        bytes
    }
}

/// The JSON text of an error that [`EventScanner`] found, without the `data:` before it; and whether all of it is there.
pub fn error_text(found: &[u8]) -> (&[u8], bool) {
    match found.strip_prefix(b"data:") {
        Some(data) => match line_end(data) {
            Some(end) => (data.get(..end).unwrap_or(data), true),
            None => (data, false),
        },
        // Pretty-printed, over many lines: whole when the stream is.
        None => (found, false),
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
    TooShortToTell,
}

fn line_start(line: &[u8]) -> LineStart {
    match line {
        // No field of an event begins like this.
        [b'{' | b'[', ..] => LineStart::Error,
        _ => match expect(line, b"data:") {
            Ok(data) => data_start(data),
            Err(mismatch) => mismatch,
        },
    }
}

fn data_start(data: &[u8]) -> LineStart {
    let data = skip_blanks(data);
    let object = match data {
        [b'[', rest @ ..] => match expect(data, b"[DONE]") {
            Ok(_) => return LineStart::Done,
            Err(LineStart::TooShortToTell) => return LineStart::TooShortToTell,
            Err(_) => skip_blanks(rest),
        },
        _ => data,
    };
    let inside = match expect(object, b"{") {
        Ok(inside) => skip_blanks(inside),
        Err(mismatch) => return mismatch,
    };
    match expect(inside, b"\"error\"") {
        Ok(_) => LineStart::Error,
        Err(mismatch) => mismatch,
    }
}

/// What follows `text` in `bytes`.
fn expect<'a>(bytes: &'a [u8], text: &[u8]) -> Result<&'a [u8], LineStart> {
    match bytes.strip_prefix(text) {
        Some(rest) => Ok(rest),
        None if text.starts_with(bytes) => Err(LineStart::TooShortToTell),
        None => Err(LineStart::Other),
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
    fn events_are_not_held_back() {
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
    fn an_error_closes_what_is_open_and_is_an_event_of_its_own() {
        let event = format!("data: {}\n\n", error().to_json());
        for (stream, between) in [
            ("", ""),
            ("data: {}\n\n", ""),
            ("data: {}\r\n\r\n", ""),
            ("data: {}\n", "\n"),
            ("data: {\"cut", "\n\n"),
            ("data: {}\n\nda", "\n\n"),
        ] {
            let mut scanner = EventScanner::default();
            let mut sent = scanner.push(stream.as_bytes().to_vec()).ready;
            sent.extend(scanner.close_with(&error()));
            assert_eq!(
                String::from_utf8(sent).unwrap(),
                format!("{stream}{between}{event}"),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn the_text_of_an_error_is_whole_at_its_lines_end_or_at_the_streams() {
        for (found, text, whole) in [
            ("data: {\"error\":1}\n\nmore", " {\"error\":1}\n", true),
            ("data: {\"err", " {\"err", false),
            ("[{\n \"error\": 1}]\n", "[{\n \"error\": 1}]\n", false),
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
