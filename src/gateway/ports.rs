//! What a gateway needs from the world around it, besides the database.

use crate::pool::UnixMillis;
pub use crate::wire::TransportError;
use http::{HeaderMap, Method, Uri};

/// Bytes that arrive bit by bit: a request's body, or a response's.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait ByteStream {
    /// The next bytes, never empty; `None` at the end.
    ///
    /// # Errors
    /// The other side, or the way to it, broke, or was silent for too long. Nothing follows.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError>;

    /// Appends the next bytes to others, best without a copy where there is room for them; `false` at the end. Whoever gives
    /// up waiting gives up the bytes, too.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<bool, TransportError> {
        let next = self.next().await?;
        bytes.extend_from_slice(next.as_deref().unwrap_or_default());
        Ok(next.is_some())
    }
}

/// A response as the upstream sent it. Dropping its body closes the connection.
pub struct UpstreamResponse<B> {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body, still arriving.
    pub body: B,
}

/// How long a response may take, in milliseconds. Whoever sends keeps to it: the host's time-outs cost next to nothing, while
/// a timer of the component's own is a task of the host that has to be joined and cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From sending the request to the head of the response.
    pub head_ms: u64,
    /// From one part of it to the next; `None` where there is no saying, since a model may think in between.
    pub silence_ms: Option<u64>,
}

/// The way to the upstream.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait Upstream {
    /// A response's body.
    type Body: ByteStream + 'static;

    /// Sends a request with exactly these headers, and waits for the response's head.
    ///
    /// # Errors
    /// No response came, or not in time.
    async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<UpstreamResponse<Self::Body>, TransportError>;
}

/// The clock, chance, and the operator's log. Clones share all of them, since a stream outlives its request.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait System: Clone + 'static {
    /// The time now.
    fn now(&self) -> UnixMillis;
    /// Lets so many milliseconds pass. May be dropped before.
    async fn wait(&self, ms: u64);
    /// Does something of which nobody waits for the end.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
    /// 64 random bits.
    fn random(&self) -> u64;
    /// Writes one line to the operator's log.
    fn log(&self, line: &str);
}
