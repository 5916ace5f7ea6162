use super::super::ports::TransportError;
use super::*;
use crate::pool::UnixMillis;
use futures::executor::block_on;
use http::HeaderValue;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A body of chunks, each a size and the number of timeouts of the reader before it.
struct Chunks {
    left: VecDeque<(usize, usize)>,
    end: End,
}

enum End {
    Complete,
    Broken,
    Silent,
}

impl ByteStream for Chunks {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some((size, mut timeouts)) = self.left.pop_front() else {
            return match self.end {
                End::Complete => Ok(None),
                End::Broken => Err(TransportError::Failed("broke off".to_owned())),
                End::Silent => std::future::pending().await,
            };
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

/// A body of chunks of these sizes.
fn sized(sizes: &[usize], end: End) -> Chunks {
    let left = sizes.iter().map(|size| (*size, 0)).collect();
    Chunks { left, end }
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

    fn entropy(&self) -> [u8; 32] {
        [0; 32]
    }

    fn log(&self, _line: &str) {}

    fn log_json(&self, _object: &str) {}
}

fn declaring(length: &'static str) -> HeaderMap {
    let length = HeaderValue::from_static(length);
    HeaderMap::from_iter([(header::CONTENT_LENGTH, length)])
}

fn memory(size: usize) -> Rc<ByteSemaphore> {
    ByteSemaphore::new(size, crate::sync::native)
}

#[track_caller]
fn assert_held(memory: &ByteSemaphore, bytes: usize, size: usize) {
    let expected = format!("ByteSemaphore({bytes} of {size} bytes)");
    assert_eq!(format!("{memory:?}"), expected);
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
    let twice = &[PERMIT_FREE; 2][..];
    for (rule, headers, sizes, needed, held_bytes) in [
        ("an empty body", &none, &[][..], 0, 0),
        ("a small body", &none, &[PERMIT_FREE], 0, 0),
        ("a large body", &none, twice, MAX, 2 * PERMIT_FREE),
        (
            "a declared length",
            &declared,
            twice,
            2 * PERMIT_FREE,
            2 * PERMIT_FREE,
        ),
    ] {
        let (memory, clock) = (memory(MAX), Clock::default());
        let read = || {
            let mut body = sized(sizes, End::Complete);
            block_on(read(headers, &mut body, MAX, &memory, &clock))
        };
        // Other bodies leave exactly enough memory.
        let others = block_on(memory.acquire(MAX - needed));
        let held = read();
        drop(others);
        let held = held.unwrap_or_else(|failure| panic!("{rule}: {failure:?}"));
        assert_held(&memory, held_bytes, MAX);
        drop(held);
        if needed > 0 {
            let others = block_on(memory.acquire(MAX - needed + 1));
            assert_eq!(read().unwrap_err(), Failure::NoRoom, "{rule}");
            assert_eq!(clock.0.get(), PERMIT_TIMEOUT_MS, "{rule}");
            drop(others);
        }
        assert_held(&memory, 0, MAX);
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
    assert_held(&memory, 500, 1000);
    let refused = block_on(decompressed(&headers, &mut body(), 1000, &memory, &clock));
    assert_eq!(refused.unwrap_err(), Failure::NoRoom);
    drop(held);
    assert_held(&memory, 0, 1000);
}

#[test]
fn reads_a_body_up_to_the_limit() {
    let too_large = Err(Failure::BodyTooLarge { max: 29 });
    for (sizes, end, max, expected) in [
        (&[][..], End::Complete, 10, Ok(0)),
        (&[10; 3], End::Complete, 30, Ok(30)),
        (&[10; 3], End::Complete, 29, too_large),
        (&[10], End::Broken, 30, Err(Failure::BodyIncomplete)),
    ] {
        let mut body = sized(sizes, end);
        let read = whole(&HeaderMap::new(), &mut body, max, &Clock::default());
        assert_eq!(read.map(|bytes| bytes.len()), expected, "{sizes:?}");
    }
}

#[test]
fn rejects_a_declared_length_above_the_limit_unread() {
    for length in [
        "31",
        "4294967297",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let mut body = sized(&[10; 3], End::Complete);
        let clock = Clock::default();
        let read = whole(&declaring(length), &mut body, 30, &clock);
        assert_eq!(read, Err(Failure::BodyTooLarge { max: 30 }), "{length}");
        block_on(drain(&declaring(length), &mut body, 30 / 4, &clock));
        assert_eq!((body.left.len(), clock.0.get()), (3, 0), "{length}");
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
        let mut body = sized(&vec![10; count], End::Complete);
        block_on(drain(&headers, &mut body, 30, &Clock::default()));
        assert_eq!(body.left.len(), left, "{rule}");
    }
}

#[test]
fn draining_a_silent_body_times_out() {
    let drained_in = |headers: &HeaderMap| {
        let clock = Clock::default();
        block_on(drain(headers, &mut sized(&[], End::Silent), 30, &clock));
        clock.0.get()
    };
    let longest = DRAIN_MS + DRAIN_IDLE_MS;
    assert!((1..=longest).contains(&drained_in(&HeaderMap::new())));
    let expects = HeaderValue::from_static("100-continue");
    let expecting = HeaderMap::from_iter([(header::EXPECT, expects)]);
    assert_eq!(drained_in(&expecting), 0);
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
    let slow = [(1024, 0), (1024, 1), (1024, 1), (90_000, 1)];
    let stalled = Failure::BodyStalled;
    for (rule, chunks, expected) in [
        ("no bytes", &[][..], &stalled),
        ("a first part only", &[(5000, 0)], &stalled),
        ("a trickle", &[(1, 1); 3], &stalled),
        (
            "a large part, then a trickle",
            &[(5000, 0), (10, 2), (10, 1), (10, 1)],
            &stalled,
        ),
        (
            "a kilobyte a minute",
            &slow,
            &Failure::BodyTooLarge { max: 90_000 },
        ),
    ] {
        let mut body = Chunks {
            left: chunks.iter().copied().collect(),
            end: End::Silent,
        };
        let read = whole(&HeaderMap::new(), &mut body, 90_000, &Clock::default());
        assert_eq!(read.as_ref(), Err(expected), "{rule}");
    }
}
