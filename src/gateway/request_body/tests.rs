use super::super::ports::TransportError;
use super::*;
use crate::pool::UnixMillis;
use futures::executor::block_on;
use http::HeaderValue;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Sends `left` chunks of ten bytes, then ends or fails.
struct Chunks {
    left: usize,
    breaks: bool,
}

/// Never sends anything.
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

/// A clock whose timers expire at once.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl System for Clock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    async fn wait(&self, ms: u64) {
        self.0.set(self.0.get() + ms);
    }

    fn spawn(&self, _task: impl Future<Output = ()> + 'static) {}

    fn random(&self) -> u64 {
        0
    }

    fn log(&self, _line: &str) {}
}

/// Sends chunks of a size, each after a number of timeouts of the reader, then nothing.
struct Slow(VecDeque<(usize, usize)>);

impl ByteStream for Slow {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some((size, mut timeouts)) = self.0.pop_front() else {
            return std::future::pending().await;
        };
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if timeouts == 0 {
                return Poll::Ready(Ok(Some(vec![b'x'; size])));
            }
            timeouts -= 1;
            Poll::Pending
        })
        .await
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

fn memory(size: usize) -> Rc<ByteSemaphore> {
    ByteSemaphore::new(size, crate::sync::native)
}

/// Sends chunks of these sizes.
struct Parts(Vec<usize>);

impl ByteStream for Parts {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(self.0.pop().map(|bytes| vec![b'x'; bytes]))
    }
}

/// Reads a body with enough memory.
fn whole(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
    clock: &Clock,
) -> Result<Vec<u8>, Failure> {
    let read = block_on(read(headers, body, max, &memory(max), clock));
    read.map(|held| held.bytes)
}

fn plain(headers: &HeaderMap, body: &[u8], max: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut held = HeldBody {
        bytes: body.to_vec(),
        permit: None,
    };
    let clock = Clock::default();
    let plain = block_on(decompressed(headers, &mut held, max, &memory(max), &clock));
    plain.map(|plain| plain.map(|held| held.bytes))
}

#[test]
fn only_large_bodies_need_a_permit_of_their_size() {
    const MAX: usize = 10 * PERMIT_FREE;
    let none = HeaderMap::new();
    let declared = declaring("131072");
    for (rule, headers, body, needed, held_bytes) in [
        ("an empty body", &none, vec![], 0, 0),
        ("a small body", &none, vec![PERMIT_FREE], 0, 0),
        (
            "a large body",
            &none,
            vec![PERMIT_FREE, PERMIT_FREE],
            MAX,
            2 * PERMIT_FREE,
        ),
        (
            "a declared length",
            &declared,
            vec![PERMIT_FREE, PERMIT_FREE],
            2 * PERMIT_FREE,
            2 * PERMIT_FREE,
        ),
    ] {
        let (memory, clock) = (memory(MAX), Clock::default());
        // Other bodies leave exactly enough memory.
        let others = block_on(memory.acquire(MAX - needed));
        let held = block_on(read(
            headers,
            &mut Parts(body.clone()),
            MAX,
            &memory,
            &clock,
        ));
        drop(others);
        let held = held.unwrap_or_else(|failure| panic!("{rule}: {failure:?}"));
        assert_eq!(
            format!("{memory:?}"),
            format!("ByteSemaphore({held_bytes} of {MAX} bytes)"),
            "{rule}"
        );
        drop(held);
        if needed > 0 {
            let others = block_on(memory.acquire(MAX - needed + 1));
            let refused = block_on(read(
                headers,
                &mut Parts(body.clone()),
                MAX,
                &memory,
                &clock,
            ));
            assert_eq!(refused.unwrap_err(), Failure::NoRoom, "{rule}");
            assert_eq!(clock.0.get(), PERMIT_TIMEOUT_MS, "{rule}");
            drop(others);
        }
        assert_eq!(
            format!("{memory:?}"),
            format!("ByteSemaphore(0 of {MAX} bytes)"),
            "{rule}"
        );
    }
}

#[test]
fn decompression_needs_a_permit_for_the_largest_result() {
    let (memory, clock) = (memory(1000), Clock::default());
    let body = || HeldBody {
        bytes: gzip(&[0; 500]),
        permit: None,
    };
    let headers = encoded("gzip");
    let held = block_on(decompressed(&headers, &mut body(), 1000, &memory, &clock));
    assert_eq!(format!("{memory:?}"), "ByteSemaphore(500 of 1000 bytes)");
    let refused = block_on(decompressed(&headers, &mut body(), 1000, &memory, &clock));
    assert_eq!(refused.unwrap_err(), Failure::NoRoom);
    drop(held);
    assert_eq!(format!("{memory:?}"), "ByteSemaphore(0 of 1000 bytes)");
}

#[test]
fn reads_a_body_up_to_the_limit() {
    let none = HeaderMap::new();
    for (count, max, expected) in [
        (0, 10, Ok(0)),
        (3, 30, Ok(30)),
        (3, 29, Err(Failure::BodyTooLarge { max: 29 })),
    ] {
        let read = whole(&none, &mut chunks(count), max, &Clock::default());
        assert_eq!(read.map(|bytes| bytes.len()), expected, "{count} of {max}");
    }
    let mut broken = Chunks {
        left: 1,
        breaks: true,
    };
    assert_eq!(
        whole(&none, &mut broken, 30, &Clock::default()),
        Err(Failure::BodyIncomplete)
    );
}

#[test]
fn rejects_a_declared_length_above_the_limit_unread() {
    for length in [
        "31",
        "4294967297",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let mut body = chunks(3);
        let clock = Clock::default();
        let read = whole(&declaring(length), &mut body, 30, &clock);
        assert_eq!(read, Err(Failure::BodyTooLarge { max: 30 }), "{length}");
        block_on(drain(&declaring(length), &mut body, 30 / 4, &clock));
        assert_eq!((body.left, clock.0.get()), (3, 0), "{length}");
    }
}

#[test]
fn drains_a_body_within_limits() {
    for (rule, headers, count, left) in [
        ("a short body is drained", HeaderMap::new(), 12, 0),
        ("at most four times the limit", HeaderMap::new(), 20, 7),
        (
            "a longer declared body is not read",
            declaring("121"),
            12,
            12,
        ),
        ("an invalid length is ignored", declaring("many"), 12, 0),
    ] {
        let mut body = chunks(count);
        block_on(drain(&headers, &mut body, 30, &Clock::default()));
        assert_eq!(body.left, left, "{rule}");
    }
}

#[test]
fn draining_a_silent_body_times_out() {
    let (none, clock) = (HeaderMap::new(), Clock::default());
    block_on(drain(&none, &mut Silence, 30, &clock));
    assert!((1..=DRAIN_MS + DRAIN_IDLE_MS).contains(&clock.0.get()));
    let (expecting, clock) = (
        HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static("100-continue"))]),
        Clock::default(),
    );
    block_on(drain(&expecting, &mut Silence, 30, &clock));
    assert_eq!(clock.0.get(), 0);
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain).unwrap();
    encoder.finish().unwrap()
}

fn encoded(encoding: &'static str) -> HeaderMap {
    let encoding = HeaderValue::from_static(encoding);
    HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding)])
}

#[test]
fn decompresses_a_body_up_to_the_limit() {
    let body = gzip(b"0123456789");
    let twice = [body.clone(), body.clone()].concat();
    let invalid = || {
        let message = "the request body is not valid gzip, although its `Content-Encoding` says so";
        Err(Failure::InvalidRequest(message.to_owned(), None))
    };
    for (encoding, body, expected) in [
        ("gzip", body.as_slice(), Ok(Some(b"0123456789".to_vec()))),
        (" X-GZip ", &body, Ok(Some(b"0123456789".to_vec()))),
        ("gzip", &twice, Ok(Some(b"01234567890123456789".to_vec()))),
        (
            "gzip",
            &gzip(&[0; 21]),
            Err(Failure::BodyTooLarge { max: 20 }),
        ),
        (
            "gzip",
            &gzip(&vec![0; 10_000_000]),
            Err(Failure::BodyTooLarge { max: 20 }),
        ),
        ("gzip", b"{}", invalid()),
        ("gzip", &body[..15], invalid()),
        ("identity", b"{}", Ok(None)),
        ("zstd", b"{}", Err(Failure::EncodingUnsupported)),
        ("gzip, gzip", &body, Err(Failure::EncodingUnsupported)),
    ] {
        assert_eq!(plain(&encoded(encoding), body, 20), expected, "{encoding}");
    }
    assert_eq!(plain(&HeaderMap::new(), &body, 20), Ok(None));
}

#[test]
fn rejects_a_body_without_progress_but_not_a_slow_one() {
    let none = HeaderMap::new();
    for (rule, parts, expected) in [
        ("no bytes", vec![], None),
        ("a first part only", vec![(5000, 0)], None),
        ("a trickle", vec![(1, 1), (1, 1), (1, 1)], None),
        (
            "a large part, then a trickle",
            vec![(5000, 0), (10, 2), (10, 1), (10, 1)],
            None,
        ),
        (
            "a kilobyte a minute",
            vec![(1024, 0), (1024, 1), (1024, 1), (90_000, 1)],
            Some(()),
        ),
    ] {
        let clock = Clock::default();
        let read = whole(&none, &mut Slow(parts.into()), 90_000, &clock);
        let expected = match expected {
            Some(()) => Failure::BodyTooLarge { max: 90_000 },
            None => Failure::BodyStalled,
        };
        assert_eq!(read, Err(expected), "{rule}");
    }
}
