//! A request's body: read up to the limit, or read and dropped.

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

/// Room that is made for what a body still promises, in times of what is here already.
const RESERVED_TIMES: usize = 4;

/// Of a body that nobody wants, up to this many times the limit are read and dropped.
const DRAINED_TIMES_LIMIT: usize = 4;

/// How long the sender has for each [`PROGRESS`] bytes of a body, in milliseconds: 60 s. A client that has gone, or that
/// drips on and on, must not keep what a body occupies.
const STALL_MS: u64 = 60_000;
/// See [`STALL_MS`]: 1 KiB.
const PROGRESS: usize = 1024;
/// How long what is left of a body is read before an error is sent, in milliseconds: 5 s.
const DRAIN_MS: u64 = 5_000;
/// And how long nothing of it may come: 1 s.
const DRAIN_STALL_MS: u64 = 1_000;

/// How long a request waits for room for its body, in milliseconds: 10 s.
const ROOM_MS: u64 = 10_000;
/// Bodies up to this size take no room: 64 KiB. Small requests then never wait for large ones, and a client that declares a
/// large body but does not send it takes nothing from others.
const FREE: usize = 64 * 1024;

/// A body and its permit of the instance's [`ByteSemaphore`], which is freed with it.
#[derive(Debug)]
pub(super) struct HeldBody {
    pub(super) bytes: Vec<u8>,
    pub(super) permit: Option<BytePermit>,
}

/// Takes room, within [`ROOM_MS`].
async fn acquire<S: System>(
    memory: &Rc<ByteSemaphore>,
    bytes: usize,
    system: &S,
) -> Result<BytePermit, Failure> {
    // Where there is room no timer is begun, which would be a task of the host.
    match select(pin!(memory.acquire(bytes)), pin!(system.wait(ROOM_MS))).await {
        Either::Left((permit, _)) => Ok(permit),
        Either::Right(_) => Err(Failure::NoRoom),
    }
}

/// Reads all of it.
///
/// # Errors
/// It is larger than `max` bytes, breaks off, does not end in time, or finds no room.
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
    // Without a length, or compressed, it may become as large as is allowed.
    let expected = if declared == 0 || headers.contains_key(header::CONTENT_ENCODING) {
        max
    } else {
        declared
    };
    let mut permit = None;
    let mut bytes = Vec::new();
    // One timer for many parts, and none for a body that is there: each is a task of the host.
    let mut stall: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        once_more().await;
        system.wait(STALL_MS).await;
    });
    let mut here_before = 0;
    loop {
        if bytes.len() == bytes.capacity() {
            let left = declared.saturating_sub(bytes.len());
            bytes.reserve_exact(left.min(bytes.len().saturating_mul(RESERVED_TIMES)));
        }
        let here = bytes.len();
        let more = {
            let mut appending = pin!(body.append(&mut bytes));
            loop {
                match select(appending.as_mut(), stall.as_mut()).await {
                    Either::Left((more, _)) => break more,
                    Either::Right(_) if here < here_before + PROGRESS => {
                        return Err(Failure::BodyStalled);
                    }
                    Either::Right(_) => {
                        here_before = here;
                        stall = Box::pin(system.wait(STALL_MS));
                    }
                }
            }
        };
        match more {
            Ok(_) if bytes.len() > max => return Err(Failure::BodyTooLarge { max }),
            Ok(true) if bytes.len() > FREE && permit.is_none() => {
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

/// Has its task polled once more before it goes on: what has arrived meanwhile is then seen first.
async fn once_more() {
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

/// What a body is that came compressed; `None` of one that did not.
///
/// # Errors
/// It is compressed otherwise than by gzip, is no valid gzip, is larger than `max` bytes once decompressed, or finds no room.
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
    // Two requests that wait while each holds a permit could wait for each other.
    body.permit = None;
    let mut permit = acquire(memory, max, system).await?;
    let body = &body.bytes[..];
    let mut plain = Vec::new();
    let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(body).take(most).read_to_end(&mut plain) {
        Ok(_) if plain.len() > max => Err(Failure::BodyTooLarge { max }),
        Ok(_) => {
            permit.resize(plain.len());
            Ok(Some(HeldBody {
                bytes: plain,
                permit: Some(permit),
            }))
        }
        Err(_) => {
            let message = "the request body is not the gzip that its `Content-Encoding` says";
            Err(Failure::InvalidRequest(message.to_owned(), None))
        }
    }
}

/// A request whose body is decompressed.
pub(super) fn without_encoding(request: &Parts) -> Parts {
    let mut plain = request.clone();
    plain.headers.remove(header::CONTENT_ENCODING);
    plain
}

/// Reads what is left of it, within bounds of size and time, before an error is sent: many clients send first and read
/// later, and would see a broken connection instead of the error. A client that asks before it sends needs none of this.
pub(super) async fn drain<S: System>(
    headers: &HeaderMap,
    body: &mut impl ByteStream,
    max: usize,
    system: &S,
) {
    let limit = max.saturating_mul(DRAINED_TIMES_LIMIT);
    let too_long = declared_length(headers).is_some_and(|declared| {
        usize::try_from(declared).map_or(true, |declared| declared > limit)
    });
    if too_long || headers.contains_key(header::EXPECT) {
        return;
    }
    let reading = async {
        let mut seen = 0usize;
        while let Either::Left((Ok(Some(chunk)), _)) =
            select(pin!(body.next()), pin!(system.wait(DRAIN_STALL_MS))).await
        {
            seen = seen.saturating_add(chunk.len());
            if seen > limit {
                break;
            }
        }
    };
    select(pin!(reading), pin!(system.wait(DRAIN_MS))).await;
}

/// The `content-length`; `None` where there is none that counts: chunks have a length of their own (RFC 9112 §6.3). One
/// that no number holds is the largest.
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
