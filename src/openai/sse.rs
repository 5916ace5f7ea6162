//! The end of a streamed answer, found without parsing its events.
//!
//! A stream's call must be in the log before its last event leaves, so the pool has to know which event is the last:
//! OpenAI's streams close with the line `data: [DONE]`. [`DoneScanner`] looks at the first few bytes of each line and
//! lets everything else pass untouched; only what may still become that line is held back, 11 bytes at most.

use super::ErrorBody;

const MARK: &[u8] = b"data:[DONE]";

/// What a chunk of the stream came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that may be handed on now, the closing line included once it is there.
    pub ready: Vec<u8>,
    /// Whether the closing line has been seen, in this chunk or before.
    pub done: bool,
}

/// Finds the line `data: [DONE]` in a stream of chunks that are cut anywhere.
#[derive(Debug)]
pub struct DoneScanner {
    held: Vec<u8>,
    at_line_start: bool,
    done: bool,
}

impl Default for DoneScanner {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            at_line_start: true,
            done: false,
        }
    }
}

enum LineStart {
    Done,
    Other,
    TooShortToTell,
}

impl DoneScanner {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Vec<u8>) -> Scan {
        if self.done {
            return Scan {
                ready: chunk,
                done: true,
            };
        }
        let mut bytes = if self.held.is_empty() {
            chunk
        } else {
            let mut bytes = std::mem::take(&mut self.held);
            bytes.extend_from_slice(&chunk);
            bytes
        };
        let mut line = if self.at_line_start {
            Some(0)
        } else {
            next_line(&bytes, 0)
        };
        while let Some(start) = line {
            match line_start(bytes.get(start..).unwrap_or_default()) {
                LineStart::Done => {
                    self.done = true;
                    return Scan {
                        ready: bytes,
                        done: true,
                    };
                }
                LineStart::Other => line = next_line(&bytes, start),
                LineStart::TooShortToTell => {
                    self.held = bytes.split_off(start);
                    self.at_line_start = true;
                    return Scan {
                        ready: bytes,
                        done: false,
                    };
                }
            }
        }
        self.at_line_start = false;
        Scan {
            ready: bytes,
            done: false,
        }
    }

    /// What is still held back when the stream ends, and whether an event may follow it: `false` means that the stream
    /// broke off in the middle of a line.
    pub fn finish(&mut self) -> (Vec<u8>, bool) {
        let held = std::mem::take(&mut self.held);
        let clean = held.is_empty() && self.at_line_start;
        (held, clean)
    }
}

/// Where the line after the one at `from` begins, if its line feed is there. The position may be the end of `bytes`.
fn next_line(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter()
        .position(|byte| *byte == b'\n')
        .map(|at| from + at + 1)
}

/// Compares a line's beginning with the mark; blanks after `data:` are skipped.
fn line_start(line: &[u8]) -> LineStart {
    let mut expected = MARK.iter();
    let mut after_colon = false;
    for byte in line {
        if after_colon && *byte == b' ' {
            continue;
        }
        match expected.next() {
            None => return LineStart::Done,
            Some(mark) if mark == byte => after_colon = *byte == b':',
            Some(_) => return LineStart::Other,
        }
    }
    if expected.next().is_none() {
        LineStart::Done
    } else {
        LineStart::TooShortToTell
    }
}

/// An error as an event of a stream that has begun. Both official clients raise on a `data:` object with `error`, while
/// a stream that just stops looks to them like a complete answer.
pub fn error_event(error: &ErrorBody, line_is_open: bool) -> Vec<u8> {
    let close = if line_is_open { "\n\n" } else { "" };
    format!("{close}data: {}\n\n", error.to_json()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(chunks: &[&str]) -> (Vec<String>, bool) {
        let mut scanner = DoneScanner::default();
        let mut done = false;
        let mut ready = Vec::new();
        for chunk in chunks {
            let scan = scanner.push(chunk.as_bytes().to_vec());
            done = scan.done;
            ready.push(String::from_utf8(scan.ready).unwrap());
        }
        (ready, done)
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
            assert!(scan(&[stream]).1, "{stream:?}");
        }
    }

    #[test]
    fn the_mark_inside_an_event_is_not_the_end() {
        for stream in [
            "data: {\"content\":\"data: [DONE]\"}\n\n",
            "data: \"[DONE]\"\n\n",
            " data: [DONE]\n\n",
            "event: data: [DONE]\n\n",
            "data: [DON]\n\n",
        ] {
            assert!(!scan(&[stream]).1, "{stream:?}");
        }
    }

    #[test]
    fn events_are_not_held_back() {
        let (ready, done) = scan(&[
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
        assert!(done);
    }

    #[test]
    fn the_end_of_the_stream_releases_what_was_held() {
        let mut scanner = DoneScanner::default();
        assert_eq!(
            scanner.push(b"data: {}\n\nda".to_vec()).ready,
            b"data: {}\n\n"
        );
        assert_eq!(scanner.finish(), (b"da".to_vec(), false));

        let mut scanner = DoneScanner::default();
        scanner.push(b"data: {}\n\n".to_vec());
        assert_eq!(scanner.finish(), (Vec::new(), true));

        let mut scanner = DoneScanner::default();
        scanner.push(b"data: {\"cut".to_vec());
        assert_eq!(scanner.finish(), (Vec::new(), false));
    }

    #[test]
    fn an_error_event_closes_an_open_line_first() {
        let error = ErrorBody {
            message: "m".into(),
            kind: "server_error",
            param: None,
            code: "c".into(),
        };
        let json = error.to_json();
        assert_eq!(
            error_event(&error, false),
            format!("data: {json}\n\n").into_bytes()
        );
        assert_eq!(
            error_event(&error, true),
            format!("\n\ndata: {json}\n\n").into_bytes()
        );
    }

    proptest! {
        #[test]
        fn chunk_borders_change_neither_bytes_nor_verdict(
            events in prop::collection::vec("(data: )?[a-z\\[\\]DONE:é]{0,12}\r?\n", 0..6),
            done in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = events.concat().into_bytes();
            if done {
                stream.extend_from_slice(b"data: [DONE]\n\n");
            }
            let whole = DoneScanner::default().push(stream.clone()).done;
            let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            borders.extend([0, stream.len()]);
            borders.sort_unstable();
            let mut scanner = DoneScanner::default();
            let mut passed = Vec::new();
            let mut seen = false;
            for pair in borders.windows(2) {
                let scan = scanner.push(stream[pair[0]..pair[1]].to_vec());
                prop_assert!(!seen || scan.done, "the end is not forgotten");
                seen = scan.done;
                passed.extend(scan.ready);
            }
            passed.extend(scanner.finish().0);
            prop_assert_eq!(passed, stream);
            prop_assert_eq!(seen, whole);
            prop_assert!(!done || seen);
        }
    }
}
