//! Decodes response bodies: decompresses them and strips their framing.

use crate::wire::json::parse;
use flate2::read::MultiGzDecoder;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::io::{ErrorKind, Read};

/// The maximum size of an error body, decompressed: 1 MiB. Google's errors are below 4 KiB unless
/// they list the fields of a request.
pub const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// The first bytes of every gzip stream; no text starts with them (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the body, decompressed if it is gzip.
///
/// Compression is detected by content: some front ends omit the header, and others send it with a
/// body that is not compressed. The output is limited to [`MAX_ERROR_BYTES`].
pub(super) fn unpacked(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.starts_with(&GZIP_MAGIC) {
        return Cow::Borrowed(body);
    }
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body)
        .take(MAX_ERROR_BYTES as u64)
        .read_to_end(&mut plain);
    match read {
        // Use what a truncated stream yielded, but trust nothing from a corrupt one.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => plain.clear(),
        Ok(_) | Err(_) => {}
    }
    Cow::Owned(plain)
}

/// The maximum size of a decompressed answer: 16 MiB.
const MAX_UNPACKED_ANSWER: u64 = 16 * 1024 * 1024;

/// Returns a complete answer, decompressed if it is gzip; `None` if it is corrupt, truncated or too
/// large.
///
/// Compression is detected by content.
pub fn unpacked_answer(body: Vec<u8>) -> Option<Vec<u8>> {
    if !body.starts_with(&GZIP_MAGIC) {
        return Some(body);
    }
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(body.as_slice()).take(MAX_UNPACKED_ANSWER);
    decoder.read_to_end(&mut plain).ok()?;
    (decoder.limit() > 0).then_some(plain)
}

/// Returns the closing bracket of a body that is a JSON object or array.
pub fn closing_bracket(body: &[u8]) -> Option<u8> {
    match without_padding(body).first()? {
        b'{' => Some(b'}'),
        b'[' => Some(b']'),
        _ => None,
    }
}

/// Whether the body of a 200 is complete JSON or an event stream.
pub fn is_readable(body: &[u8]) -> bool {
    let text = without_padding(body);
    first_event(text).is_some() || parse::<IgnoredAny>(text).is_some()
}

/// Whether the body is an event stream.
pub fn is_events(body: &[u8]) -> bool {
    first_event(without_padding(body)).is_some()
}

/// Whether the body starts like an HTML page.
pub fn is_page(body: &[u8]) -> bool {
    without_padding(body).starts_with(b"<")
}

/// Skips leading whitespace and a byte order mark.
pub(super) fn without_padding(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK)
        .unwrap_or(body)
        .trim_ascii_start()
}

/// Returns the data of the first event if the body is an event stream
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
pub(super) fn first_event(body: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(text) = line.strip_prefix(b"data:") {
            data.extend_from_slice(text);
            data.push(b'\n');
        } else if line.is_empty() && !data.is_empty() {
            break;
        } else if !is_other_line(line) {
            return None;
        }
    }
    (!data.is_empty()).then_some(data)
}

/// Whether an event-stream line carries no data.
fn is_other_line(line: &[u8]) -> bool {
    line.is_empty()
        || [&b":"[..], b"event:", b"id:", b"retry:"]
            .iter()
            .any(|field| line.starts_with(field))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    pub(in crate::wire::gemini) fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_decompression_bomb_is_limited() {
        let bomb = gzip(&vec![b' '; 50 * MAX_ERROR_BYTES]);
        assert!(bomb.len() < MAX_ERROR_BYTES / 10);
        assert_eq!(unpacked(&bomb).len(), MAX_ERROR_BYTES);
    }

    #[test]
    fn an_incomplete_compressed_answer_is_rejected() {
        let plain = br#"{"choices":[]}"#.to_vec();
        let whole = gzip(&plain);
        assert_eq!(unpacked_answer(plain.clone()), Some(plain.clone()));
        assert_eq!(unpacked_answer(whole.clone()), Some(plain));
        for end in GZIP_MAGIC.len()..whole.len() {
            assert_eq!(unpacked_answer(whole[..end].to_vec()), None, "{end}");
        }
        let bomb = gzip(&vec![b' '; MAX_UNPACKED_ANSWER as usize]);
        assert_eq!(unpacked_answer(bomb), None);
    }

    #[test]
    fn truncated_errors_are_used_and_corrupt_ones_dropped() {
        let text = br#"{"error":{"code":429}}"#;
        let whole = gzip(text);
        assert_eq!(*unpacked(&whole), *text);
        for end in 0..whole.len() {
            let truncated = unpacked(&whole[..end]).into_owned();
            assert!(
                text.starts_with(&truncated) || whole.starts_with(&truncated),
                "{end}: {truncated:?}"
            );
        }
        let mut corrupt = whole;
        // Corrupt the checksum.
        let at = corrupt.len() - 6;
        corrupt[at] ^= 1;
        assert_eq!(*unpacked(&corrupt), *b"");
    }

    #[test]
    fn complete_json_and_event_streams_are_readable() {
        for (body, readable, events) in [
            (r#"{"choices":[]}"#, true, false),
            (" [1] \n", true, false),
            ("data: {}\n\ndata: [DONE]\n\n", true, true),
            (": comment\n\ndata: {}\n\n", true, true),
            ("", false, false),
            ("\n", false, false),
            ("<html><body>Sign in</body></html>", false, false),
            (r#"{"choices":[{"message":{"content":"Hel"#, false, false),
            ("OK", false, false),
        ] {
            let found = (is_readable(body.as_bytes()), is_events(body.as_bytes()));
            assert_eq!(found, (readable, events), "{body}");
        }
        assert!(is_page(b"\n<html>") && !is_page(b"{\"a\": \"<html>\"}") && !is_page(b""));
    }

    #[test]
    fn finds_the_first_event_in_every_framing() {
        for (body, data) in [
            ("data: {}\n\n", Some(" {}\n")),
            ("data:{}", Some("{}\n")),
            ("data: {\r\ndata: }\r\n\r\ndata: 2", Some(" {\n }\n")),
            (
                ": hello\nretry: 3\n\nid: 1\nevent: error\ndata: x\n\n",
                Some(" x\n"),
            ),
            ("", None),
            ("event: error\n\n", None),
            ("{\"data\":\n1}", None),
            ("no such model\ndata: {}", None),
        ] {
            let found = first_event(body.as_bytes());
            assert_eq!(found.as_deref(), data.map(str::as_bytes), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn decompression_is_bounded_for_any_input(body in prop::collection::vec(any::<u8>(), 0..300), compressed: bool) {
            let sent = if compressed { [GZIP_MAGIC.as_slice(), &body].concat() } else { body };
            prop_assert!(unpacked(&sent).len() <= MAX_ERROR_BYTES);
            let _ = first_event(&sent);
        }
    }
}
