//! A request's body: read up to the limit, or read and dropped.

use super::Failure;
use super::ports::ByteStream;
use futures::future::select;
use http::{HeaderMap, header};
use std::pin::pin;

/// Room that is made for what a body still promises, in times of what is here already.
const RESERVED_TIMES: usize = 4;

/// Of a body that nobody wants, up to this many times the limit are read and dropped.
const DRAINED_TIMES_LIMIT: usize = 4;

/// Reads all of it.
///
/// # Errors
/// It is larger than `max` bytes, or breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
) -> Result<Vec<u8>, Failure> {
    let declared = declared_length(headers).unwrap_or_default();
    if declared > max {
        return Err(Failure::BodyTooLarge { max });
    }
    let mut bytes = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            let left = declared.saturating_sub(bytes.len());
            bytes.reserve_exact(left.min(bytes.len().saturating_mul(RESERVED_TIMES)));
        }
        match body.append(&mut bytes).await {
            Ok(_) if bytes.len() > max => return Err(Failure::BodyTooLarge { max }),
            Ok(true) => {}
            Ok(false) => return Ok(bytes),
            Err(_) => return Err(Failure::BodyIncomplete),
        }
    }
}

/// Reads what is left of it, within bounds and until `deadline`, before an error is sent: many clients send first and read
/// later, and would see a broken connection instead of the error. A client that asks before it sends needs none of this.
pub(super) async fn drain(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
    deadline: impl Future<Output = ()>,
) {
    let limit = max.saturating_mul(DRAINED_TIMES_LIMIT);
    let too_long = declared_length(headers).is_some_and(|declared| declared > limit);
    if too_long || headers.contains_key(header::EXPECT) {
        return;
    }
    let reading = async {
        let mut seen = 0usize;
        while let Ok(Some(chunk)) = body.next().await {
            seen = seen.saturating_add(chunk.len());
            if seen > limit {
                break;
            }
        }
    };
    select(pin!(reading), pin!(deadline)).await;
}

/// The `content-length`; `None` where there is none that counts: chunks have a length of their own (RFC 9112 §6.3).
pub fn declared_length(headers: &HeaderMap) -> Option<usize> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::ports::TransportError;
    use super::*;
    use futures::executor::block_on;
    use http::HeaderValue;

    /// So many chunks of ten bytes, then the end, or a break.
    struct Chunks {
        left: usize,
        breaks: bool,
    }

    /// Nothing ever comes.
    struct Silence;

    impl ByteStream for Silence {
        async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
            std::future::pending().await
        }
    }

    impl ByteStream for Chunks {
        async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
            match (self.left, self.breaks) {
                (0, false) => Ok(None),
                (0, true) => Err(TransportError::Failed("broke off".to_owned())),
                _ => {
                    self.left -= 1;
                    Ok(Some(vec![b'x'; 10]))
                }
            }
        }
    }

    fn chunks(count: usize) -> Chunks {
        Chunks {
            left: count,
            breaks: false,
        }
    }

    fn declaring(length: &'static str) -> HeaderMap {
        let length = HeaderValue::from_static(length);
        HeaderMap::from_iter([(header::CONTENT_LENGTH, length)])
    }

    #[test]
    fn a_body_is_read_up_to_the_limit() {
        let none = HeaderMap::new();
        for (count, max, expected) in [
            (0, 10, Ok(0)),
            (3, 30, Ok(30)),
            (3, 29, Err(Failure::BodyTooLarge { max: 29 })),
        ] {
            let read = block_on(read(&none, &mut chunks(count), max));
            assert_eq!(read.map(|bytes| bytes.len()), expected, "{count} of {max}");
        }
        let mut broken = Chunks {
            left: 1,
            breaks: true,
        };
        assert_eq!(
            block_on(read(&none, &mut broken, 30)),
            Err(Failure::BodyIncomplete)
        );
    }

    #[test]
    fn a_length_that_is_too_large_is_refused_unread() {
        let mut body = chunks(3);
        let read = block_on(read(&declaring("31"), &mut body, 30));
        assert_eq!(read, Err(Failure::BodyTooLarge { max: 30 }));
        assert_eq!(body.left, 3);
    }

    #[test]
    fn what_is_left_is_read_within_bounds() {
        for (rule, headers, count, left) in [
            ("all of it", HeaderMap::new(), 12, 0),
            ("four times the limit", HeaderMap::new(), 20, 7),
            (
                "nothing of what is declared larger",
                declaring("121"),
                12,
                12,
            ),
            ("a length that is none", declaring("many"), 12, 0),
        ] {
            let mut body = chunks(count);
            block_on(drain(&headers, &mut body, 30, std::future::pending()));
            assert_eq!(body.left, left, "{rule}");
        }
    }

    #[test]
    fn a_body_that_does_not_come_is_not_waited_for() {
        let none = HeaderMap::new();
        block_on(drain(&none, &mut Silence, 30, std::future::ready(())));
        let asks =
            HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static("100-continue"))]);
        block_on(drain(&asks, &mut Silence, 30, std::future::pending()));
    }
}
