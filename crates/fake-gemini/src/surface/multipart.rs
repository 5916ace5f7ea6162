//! Bodies of several parts: `multipart/related` and `multipart/form-data` (RFC 2046).

use bytes::Bytes;

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) content_type: Option<String>,
    /// What the part is called in a form.
    pub(super) name: Option<String>,
    pub(super) bytes: Bytes,
}

/// The parts of a body with that content type; `None` for one that has none.
pub(super) fn parts(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary = parameter(content_type, "boundary").filter(|_| is_multipart(content_type))?;
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut at = find(body, delimiter.as_bytes(), 0)? + delimiter.len();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        // Behind a delimiter there may be blanks, then the line ends.
        let start = at + find(rest, b"\n", 0)? + 1;
        let end = find(body, delimiter.as_bytes(), start)?;
        parts.push(part(&body.slice(start..end))?);
        at = end + delimiter.len();
    }
}

/// Whether it says that the body has several parts.
pub(super) fn is_multipart(content_type: &str) -> bool {
    content_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
}

/// What is between two delimiters: headers, an empty line, the bytes, and a line's end that is not theirs.
fn part(bytes: &Bytes) -> Option<Part> {
    let (head, start) = if bytes.starts_with(b"\r\n") {
        (0, 2)
    } else if let Some(end) = find(bytes, b"\r\n\r\n", 0) {
        (end, end + 4)
    } else {
        let end = find(bytes, b"\n\n", 0)?;
        (end, end + 2)
    };
    let headers = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let header = |name: &str| {
        headers.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let content = bytes.slice(start.min(bytes.len())..);
    let end = [b"\r\n".as_slice(), b"\n"]
        .into_iter()
        .find(|end| content.ends_with(end))?;
    let name = header("content-disposition").and_then(|value| parameter(value, "name"));
    Some(Part {
        content_type: header("content-type").map(str::to_owned),
        name,
        bytes: content.slice(..content.len() - end.len()),
    })
}

/// A parameter of a header's value, without its quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (found.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_owned())
    })
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest
        .windows(wanted.len())
        .position(|window| window == wanted)?;
    Some(from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_part_has_its_headers_and_its_bytes() {
        let body = Bytes::from_static(
            b"preamble\r\n--b1 \r\nContent-Type: application/json\r\n\r\n{}\r\n--b1\r\n\
              content-disposition: form-data; name=\"model\"\r\n\r\n\r\na\n\r\n--b1\r\n\r\n\r\n--b1--\r\n",
        );
        let found = parts("multipart/related; boundary=\"b1\"", &body).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|part| {
                (
                    part.content_type.as_deref(),
                    part.name.as_deref(),
                    &part.bytes[..],
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (Some("application/json"), None, b"{}".as_slice()),
                (None, Some("model"), b"\r\na\n"),
                (None, None, b""),
            ]
        );
    }

    #[test]
    fn what_is_not_whole_has_no_parts() {
        for (content_type, body) in [
            ("multipart/related", "--b\r\n\r\n\r\n--b--"),
            ("text/plain; boundary=b", "--b\r\n\r\n\r\n--b--"),
            ("multipart/related; boundary=b", ""),
            ("multipart/related; boundary=b", "--b"),
            ("multipart/related; boundary=b", "--b\r\n\r\n\r\n--b"),
            ("multipart/related; boundary=b", "--b\r\na: b\r\n--b--"),
        ] {
            assert_eq!(parts(content_type, &Bytes::from(body)), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_parts_or_none(body in "[-b\r\n: a]{0,60}") {
            let _ = parts("multipart/related; boundary=b", &Bytes::from(body));
        }
    }
}
