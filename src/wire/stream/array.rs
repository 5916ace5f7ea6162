//! Scans a JSON array that grows by one element at a time, which is how Google streams without
//! `alt=sse`.
//!
//! Complete elements are forwarded unchanged as soon as they arrive. The closing bracket is
//! reported separately, since the call must be logged before it is sent. So is an element that is
//! an error, which ends the stream.

use crate::wire::stream::{Found, is_error};
use std::ops::Range;

/// Longer elements pass in pieces, to bound memory: 1 MiB.
const MAX_HELD: usize = 1024 * 1024;

/// The result of scanning a chunk.
#[derive(Debug, PartialEq, Eq)]
pub struct ArrayScan {
    /// The bytes to forward now.
    pub ready: Vec<u8>,
    /// The ranges of complete elements in `ready`.
    pub elements: Vec<Range<usize>>,
    /// What follows.
    pub found: Found,
}

/// Finds the elements of an array, its end and errors in it, in chunks with arbitrary boundaries.
#[derive(Debug, Default)]
pub struct ArrayScanner {
    /// The bytes not yet forwarded.
    held: Vec<u8>,
    scanned: usize,
    /// Where the current element starts in `held`, unless its start has been forwarded.
    element_start: Option<usize>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    opened: bool,
    /// The element passes in pieces.
    in_pieces: bool,
    /// Something has been forwarded.
    has_sent: bool,
    done: bool,
}

impl ArrayScanner {
    /// Processes the next chunk. Must not be called again after an error was found.
    pub fn push(&mut self, chunk: Vec<u8>) -> ArrayScan {
        self.held.extend(chunk);
        let mut elements = Vec::new();
        let mut ready_to = 0;
        while let Some(byte) = self.held.get(self.scanned).copied().filter(|_| !self.done) {
            let at = self.scanned;
            self.scanned += 1;
            if self.in_string {
                match (self.escaped, byte) {
                    (true, _) => self.escaped = false,
                    (false, b'\\') => self.escaped = true,
                    (false, b'"') => self.in_string = false,
                    (false, _) => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' if !self.opened => self.opened = true,
                b'{' | b'[' => {
                    if self.depth == 0 {
                        self.element_start = Some(at);
                    }
                    self.depth += 1;
                }
                b']' if self.depth == 0 => self.done = true,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        let element = self.element_start.take().map(|start| start..self.scanned);
                        let bytes = element.clone().and_then(|range| self.held.get(range));
                        // A bare object is not an element, but an error in place of the array.
                        if bytes.is_some_and(|bytes| !self.opened || is_error(bytes)) {
                            return self.error(element, ready_to, elements);
                        }
                        elements.extend(element);
                        self.in_pieces = false;
                        ready_to = self.scanned;
                    }
                }
                _ => {}
            }
        }
        let rest = self.held.len().saturating_sub(ready_to);
        if self.done {
            ready_to = self.held.len();
        } else if self.in_pieces || rest > MAX_HELD {
            self.in_pieces = true;
            self.element_start = None;
            ready_to = self.held.len();
        }
        ArrayScan {
            ready: self.forward(ready_to),
            elements,
            found: match self.done {
                true => Found::Done,
                false => Found::Nothing,
            },
        }
    }

    /// Takes the first bytes held.
    fn forward(&mut self, count: usize) -> Vec<u8> {
        if count == 0 {
            return Vec::new();
        }
        let rest = self.held.split_off(count);
        // Nothing after the end is scanned.
        self.scanned = self.scanned.saturating_sub(count);
        self.element_start = self.element_start.map(|start| start.saturating_sub(count));
        self.has_sent = true;
        std::mem::replace(&mut self.held, rest)
    }

    fn error(
        &mut self,
        element: Option<Range<usize>>,
        ready_to: usize,
        elements: Vec<Range<usize>>,
    ) -> ArrayScan {
        let bytes = element.and_then(|range| self.held.get(range));
        let error = bytes.unwrap_or_default().to_vec();
        self.held.truncate(ready_to);
        let ready = std::mem::take(&mut self.held);
        self.has_sent |= !ready.is_empty();
        ArrayScan {
            ready,
            elements,
            found: Found::Error(error),
        }
    }

    /// Returns a final element with this error, as JSON, and the end of the array. `None` within an
    /// element that passed in pieces, where nothing can follow.
    pub fn close_with(&self, error: &str) -> Option<Vec<u8>> {
        let before = if self.has_sent { ",\r\n" } else { "[" };
        (!self.in_pieces).then(|| format!("{before}{error}]\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stream::testing::pieces;
    use proptest::prelude::*;

    fn push(scanner: &mut ArrayScanner, text: &str) -> (String, Vec<String>, Found) {
        let scan = scanner.push(text.as_bytes().to_vec());
        let ready = String::from_utf8(scan.ready).unwrap();
        let elements = scan.elements.into_iter();
        let elements = elements.map(|range| ready[range].to_owned()).collect();
        (ready, elements, scan.found)
    }

    #[test]
    fn forwards_each_complete_element() {
        let mut scanner = ArrayScanner::default();
        for (chunk, ready, elements, found) in [
            ("[", "", vec![], Found::Nothing),
            (r#"{"a":"}]\""#, "", vec![], Found::Nothing),
            (
                "{\"}\n,\r\n",
                r#"[{"a":"}]\"{"}"#,
                vec![r#"{"a":"}]\"{"}"#],
                Found::Nothing,
            ),
            (
                r#"{"b":[1,{}]},{"c":2}"#,
                "\n,\r\n{\"b\":[1,{}]},{\"c\":2}",
                vec![r#"{"b":[1,{}]}"#, r#"{"c":2}"#],
                Found::Nothing,
            ),
            ("]\n", "]\n", vec![], Found::Done),
        ] {
            let pushed = push(&mut scanner, chunk);
            assert_eq!((pushed.0.as_str(), pushed.2), (ready, found), "{chunk}");
            assert_eq!(pushed.1, elements, "{chunk}");
        }
        let empty = push(&mut ArrayScanner::default(), "[]");
        assert_eq!(empty, ("[]".to_owned(), vec![], Found::Done));
    }

    #[test]
    fn finds_an_error_at_any_position() {
        for (text, ready) in [
            ("[{\"error\":{\"code\":503}}]", ""),
            ("[{\"a\":1},\r\n{\n  \"error\": {}\n}\n]", "[{\"a\":1}"),
            ("{\n  \"error\": {}\n}\n", ""),
            ("[{\"code\":503,\"error\":{\"code\":503}}]", ""),
        ] {
            let (sent, _, found) = push(&mut ArrayScanner::default(), text);
            assert_eq!(sent, ready, "{text}");
            let Found::Error(error) = found else {
                panic!("{text}: {found:?}")
            };
            let error: serde_json::Value = serde_json::from_slice(&error).unwrap();
            assert!(error["error"].is_object());
        }
    }

    #[test]
    fn an_empty_error_is_ignored() {
        for text in ["[{\"error\":null,\"a\":1}]", "[{\"a\":{\"error\":{}}}]"] {
            let (sent, elements, found) = push(&mut ArrayScanner::default(), text);
            assert_eq!((sent.as_str(), found), (text, Found::Done));
            assert_eq!(elements.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_closing_error_completes_the_array() {
        for text in [
            "",
            "[",
            "[{\"a\":1}",
            "[{\"a\":1},",
            "[{\"a\":1},\r\n{\"b\":",
            "[{\"a\":",
        ] {
            let mut scanner = ArrayScanner::default();
            let mut sent = scanner.push(text.as_bytes().to_vec()).ready;
            sent.extend(scanner.close_with("{\"error\":1}").unwrap());
            let array: Vec<serde_json::Value> = serde_json::from_slice(&sent).expect(text);
            assert_eq!(array.last().unwrap()["error"], 1);
        }
    }

    #[test]
    fn an_oversized_element_passes_in_pieces() {
        let mut scanner = ArrayScanner::default();
        let long = format!("[{{\"a\":\"{}", "x".repeat(MAX_HELD));
        assert_eq!(push(&mut scanner, &long).0, long);
        assert_eq!(scanner.close_with("{}"), None);
        assert_eq!(push(&mut scanner, "yz").0, "yz");
        let (sent, elements, found) = push(&mut scanner, "\"},{\"b\":1}]");
        assert_eq!((sent.as_str(), found), ("\"},{\"b\":1}]", Found::Done));
        assert_eq!(elements, ["{\"b\":1}"]);
    }

    proptest! {
        #[test]
        fn chunk_boundaries_make_no_difference(
            texts in prop::collection::vec("[a-z\"\\\\{}\\[\\],é]{0,8}", 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let values: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::json!({ "text": text })).collect();
            let all = serde_json::to_string(&values).unwrap().into_bytes();
            let mut scanner = ArrayScanner::default();
            let (mut sent, mut elements, mut done) = (Vec::new(), 0, false);
            for piece in pieces(&all, &cuts) {
                let scan = scanner.push(piece);
                elements += scan.elements.len();
                sent.extend(scan.ready);
                done = scan.found == Found::Done;
            }
            prop_assert_eq!(sent, all);
            prop_assert!(done && elements == values.len());
        }

        #[test]
        fn accepts_any_bytes(chunks in prop::collection::vec("[{}\\[\\]\",a]{0,10}", 0..6)) {
            let mut scanner = ArrayScanner::default();
            for chunk in chunks {
                if let Found::Error(_) = scanner.push(chunk.into_bytes()).found {
                    break;
                }
            }
            let _ = scanner.close_with("{}");
        }
    }
}
