//! What the gateway needs from its host, besides the database.

pub use crate::pool::Timeouts;
use crate::pool::UnixMillis;
use crate::store::Nonce;
pub use crate::wire::TransportError;
use http::{HeaderMap, Method, Uri};

/// A body that arrives in chunks.
pub trait ByteStream {
    /// The next bytes, never empty; `None` at the end.
    ///
    /// # Errors
    /// The peer or the connection failed, or was idle for too long. No bytes follow.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError>;

    /// Appends the next bytes, without a copy if there is capacity. Returns `false` at the end.
    /// Dropping the future may lose the bytes.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<bool, TransportError> {
        let next = self.next().await?;
        bytes.extend_from_slice(next.as_deref().unwrap_or_default());
        Ok(next.is_some())
    }
}

/// The upstream's response. Dropping its body closes the connection.
pub struct UpstreamResponse<B> {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body, still arriving.
    pub body: B,
}

/// The client for the upstream, and for the operator's webhook.
pub trait Upstream: Clone + 'static {
    /// The body of a response.
    type Body: ByteStream + 'static;

    /// Sends a request with exactly these headers and waits for the response's head.
    ///
    /// # Errors
    /// No response arrived in time.
    async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Vec<u8>,
        timeouts: Timeouts,
    ) -> Result<UpstreamResponse<Self::Body>, TransportError>;
}

/// The clock, timers, tasks, entropy and the operator's log.
///
/// Clones share these, since a stream outlives its request.
pub trait System: Clone + 'static {
    /// The time now.
    fn now(&self) -> UnixMillis;
    /// Waits for `ms` milliseconds. Cancel safe.
    async fn wait(&self, ms: u64);
    /// Runs a task in the background.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
    /// Returns 64 random bits, which may be predictable.
    fn random(&self) -> u64;
    /// Returns 256 random bits that are fit for a secret.
    fn entropy(&self) -> [u8; 32];
    /// Returns a random nonce.
    fn new_nonce(&self) -> Nonce {
        let mut nonce = Nonce::default();
        for bytes in nonce.chunks_mut(size_of::<u64>()) {
            bytes.copy_from_slice(&self.random().to_le_bytes());
        }
        nonce
    }
    /// Writes one line to the operator's log.
    fn log(&self, line: &str);
    /// Writes a JSON object as one line to the operator's log, whose lines are all such objects.
    fn log_json(&self, object: &str);
}
