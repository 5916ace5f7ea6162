//! Reads a request's body up to the limit, or drains it.

use super::Failure;
use super::ports::{ByteStream, System};
use crate::sync::{BytePermit, ByteSemaphore};
use flate2::read::MultiGzDecoder;
use futures::future::{Either, select};
use http::request::Parts;
use http::{HeaderMap, header};
use std::future::poll_fn;
use std::io::Read;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// The buffer grows by at most this many times the bytes received, so that a declared length alone
/// reserves nothing.
const MAX_GROWTH_FACTOR: usize = 4;

/// Up to this many times the limit is drained.
const MAX_DRAIN_FACTOR: usize = 4;

/// The time for each [`PROGRESS`] bytes of a body, in milliseconds: 60 s. A client that has left,
/// or sends only a few bytes at a time, must not hold memory.
const STALL_MS: u64 = 60_000;
/// See [`STALL_MS`]: 1 KiB.
const PROGRESS: usize = 1024;
/// How long a body is drained before an error is sent, in milliseconds: 5 s.
const DRAIN_MS: u64 = 5_000;
/// The idle timeout of draining, in milliseconds: 1 s.
const DRAIN_IDLE_MS: u64 = 1_000;

/// How long a request waits for a permit for its body, in milliseconds: 10 s.
const PERMIT_TIMEOUT_MS: u64 = 10_000;
/// Bodies up to this size need no permit: 64 KiB. Small requests therefore never wait for large
/// ones, and a client that declares a large body without sending it blocks no other.
const PERMIT_FREE: usize = 64 * 1024;

/// A body and its permit from the instance's [`ByteSemaphore`].
#[derive(Debug)]
pub(super) struct HeldBody {
    pub(super) bytes: Vec<u8>,
    pub(super) permit: Option<BytePermit>,
}

/// Acquires a permit within [`PERMIT_TIMEOUT_MS`].
async fn acquire<S: System>(
    memory: &Rc<ByteSemaphore>,
    bytes: usize,
    system: &S,
) -> Result<BytePermit, Failure> {
    // `select` polls the permit first: if it is available, no timer is started in the host.
    let timeout = pin!(system.wait(PERMIT_TIMEOUT_MS));
    match select(pin!(memory.acquire(bytes)), timeout).await {
        Either::Left((permit, _)) => Ok(permit),
        Either::Right(_) => Err(Failure::NoRoom),
    }
}

/// Expires if a body makes less than [`PROGRESS`] within [`STALL_MS`].
struct StallTimer<'a, S> {
    system: &'a S,
    timer: Pin<Box<dyn Future<Output = ()> + 'a>>,
    /// Bytes received when the timer was started.
    received: usize,
}

impl<'a, S: System> StallTimer<'a, S> {
    fn new(system: &'a S) -> Self {
        Self {
            system,
            // Each timer is a task in the host, so many chunks share one, and a body that has
            // already arrived needs none.
            timer: Box::pin(async {
                yield_once().await;
                system.wait(STALL_MS).await;
            }),
            received: 0,
        }
    }

    /// Waits for the next chunk after `received` bytes; `None` if the body has stalled.
    async fn limit<T>(&mut self, received: usize, chunk: impl Future<Output = T>) -> Option<T> {
        let mut chunk = pin!(chunk);
        loop {
            match select(chunk.as_mut(), self.timer.as_mut()).await {
                Either::Left((chunk, _)) => return Some(chunk),
                Either::Right(_) if received < self.received + PROGRESS => return None,
                Either::Right(_) => {
                    self.received = received;
                    self.timer = Box::pin(self.system.wait(STALL_MS));
                }
            }
        }
    }
}

/// Reads a whole body.
///
/// # Errors
/// The body exceeds `max` bytes, is incomplete, stalls, or gets no permit in time.
pub(super) async fn read<S: System>(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
    memory: &Rc<ByteSemaphore>,
    system: &S,
) -> Result<HeldBody, Failure> {
    let declared = match usize::try_from(declared_length(headers).unwrap_or_default()) {
        Ok(declared) if declared <= max => declared,
        Ok(_) | Err(_) => return Err(Failure::BodyTooLarge { max }),
    };
    // A body that is compressed or has no declared length may grow up to the limit.
    let expected = if declared == 0 || headers.contains_key(header::CONTENT_ENCODING) {
        max
    } else {
        declared
    };
    let mut permit = None;
    let mut bytes = Vec::new();
    let mut stall = StallTimer::new(system);
    loop {
        if bytes.len() == bytes.capacity() {
            let remaining = declared.saturating_sub(bytes.len());
            let max_growth = bytes.len().saturating_mul(MAX_GROWTH_FACTOR);
            bytes.reserve_exact(remaining.min(max_growth));
        }
        let received = bytes.len();
        let appended = stall.limit(received, body.append(&mut bytes)).await;
        match appended.ok_or(Failure::BodyStalled)? {
            Ok(_) if bytes.len() > max => return Err(Failure::BodyTooLarge { max }),
            Ok(true) if bytes.len() > PERMIT_FREE && permit.is_none() => {
                permit = Some(acquire(memory, expected, system).await?);
            }
            Ok(true) => {}
            Ok(false) => {
                if let Some(permit) = &mut permit {
                    permit.resize(bytes.len());
                }
                return Ok(HeldBody { bytes, permit });
            }
            Err(_) => return Err(Failure::BodyIncomplete),
        }
    }
}

/// Yields to the executor once, so that bytes that have already arrived are seen first.
async fn yield_once() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Decompresses a body. `None` if it is not compressed.
///
/// # Errors
/// The encoding is not gzip, the gzip is invalid, the decompressed body exceeds `max` bytes, or it
/// gets no permit in time.
pub(super) async fn decompressed<S: System>(
    headers: &HeaderMap,
    body: &mut HeldBody,
    max: usize,
    memory: &Rc<ByteSemaphore>,
    system: &S,
) -> Result<Option<HeldBody>, Failure> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = match (encodings.next(), encodings.next()) {
        (None, _) => return Ok(None),
        (Some(encoding), None) => encoding.to_str().unwrap_or_default().trim(),
        (Some(_), Some(_)) => return Err(Failure::EncodingUnsupported),
    };
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(None),
        "gzip" | "x-gzip" => {}
        _ => return Err(Failure::EncodingUnsupported),
    }
    // Two requests that wait while they hold a permit could deadlock.
    body.permit = None;
    let mut permit = acquire(memory, max, system).await?;
    let body = &body.bytes[..];
    let mut plain = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut plain)
    {
        Ok(_) if plain.len() > max => Err(Failure::BodyTooLarge { max }),
        Ok(_) => {
            permit.resize(plain.len());
            Ok(Some(HeldBody {
                bytes: plain,
                permit: Some(permit),
            }))
        }
        Err(_) => {
            let message =
                "the request body is not valid gzip, although its `Content-Encoding` says so";
            Err(Failure::InvalidRequest(message.to_owned(), None))
        }
    }
}

/// Returns the request's head without `Content-Encoding`.
pub(super) fn without_encoding(request: &Parts) -> Parts {
    let mut plain = request.clone();
    plain.headers.remove(header::CONTENT_ENCODING);
    plain
}

/// Drains the rest of a body, within limits of size and time, before an error is sent. Many clients
/// send the whole body before they read, and would otherwise see a broken connection instead of the
/// error. Clients that send `Expect: 100-continue` do not need this.
pub(super) async fn drain<S: System>(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
    system: &S,
) {
    let limit = max.saturating_mul(MAX_DRAIN_FACTOR);
    let too_long = declared_length(headers).is_some_and(|declared| {
        usize::try_from(declared).map_or(true, |declared| declared > limit)
    });
    if too_long || headers.contains_key(header::EXPECT) {
        return;
    }
    let reading = async {
        let mut drained = 0usize;
        while let Either::Left((Ok(Some(chunk)), _)) =
            select(pin!(body.next()), pin!(system.wait(DRAIN_IDLE_MS))).await
        {
            drained = drained.saturating_add(chunk.len());
            if drained > limit {
                break;
            }
        }
    };
    select(pin!(reading), pin!(system.wait(DRAIN_MS))).await;
}

/// The value of `Content-Length`. `None` if it is absent or overridden by `Transfer-Encoding`
/// (RFC 9112 §6.3). A value too large for `u64` becomes `u64::MAX`.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| length.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
