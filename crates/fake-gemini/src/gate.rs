//! Handles by which a test decides when the fake goes on, so that no test has to guess how long something takes.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lets a stream's events pass one by one. Dropping it releases nothing: the stream then waits until the client
/// leaves.
#[derive(Debug, Clone)]
pub struct Steps(Arc<Semaphore>);

impl Steps {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets `count` more events pass. They may be released before they are waited for.
    pub fn release(&self, count: usize) {
        // The semaphore panics above its limit.
        let room = Semaphore::MAX_PERMITS.saturating_sub(self.0.available_permits());
        self.0.add_permits(count.min(room));
    }

    /// Lets all events pass from now on.
    pub fn release_all(&self) {
        self.0.close();
    }

    /// Waits for a release and uses it up.
    pub(crate) async fn pass(&self) {
        // Closed means that everything is released.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// Holds back the head of a response until it is opened. Dropping it does not open it.
#[derive(Debug, Clone)]
pub struct Gate(Steps);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Steps::new())
    }

    /// Lets the head go, for good.
    pub fn open(&self) {
        self.0.release_all();
    }

    pub(crate) async fn pass(&self) {
        self.0.pass().await;
    }
}
