//! The fake's time, which quotas and timestamps depend on. Delays and gaps are real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the time in milliseconds since the Unix epoch.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Self(Arc::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
            let milliseconds = since_epoch.unwrap_or_default().as_millis();
            i64::try_from(milliseconds).unwrap_or(i64::MAX)
        }))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

/// A time that stands still until a test sets it. Clones share it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Starts at `unix_ms`, in milliseconds since the Unix epoch.
    pub fn at(unix_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(unix_ms)))
    }

    /// Jumps to `unix_ms`, in milliseconds since the Unix epoch.
    pub fn set(&self, unix_ms: i64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    /// The clock to pass to the fake.
    pub fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock(Arc::new(move || time.load(Ordering::SeqCst)))
    }
}
