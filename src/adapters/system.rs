//! The host's clock, timers, tasks, entropy and terminal.

use crate::config::LogFormat;
use crate::gateway::ports::System;
use crate::pool::UnixMillis;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use spin_sdk::wasip3;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random::get_random_u64;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use wasip2::cli::stderr::get_stderr;
use wasip2::io::streams::OutputStream;

thread_local! {
    static STDERR: OutputStream = get_stderr();
    static FORMAT: Cell<LogFormat> = Cell::default();
    /// Seeded once per instance from the host's entropy. Not used for anything secret.
    static RNG: RefCell<SmallRng> = RefCell::new(SmallRng::from_seed(entropy()));
}

fn entropy() -> [u8; 32] {
    let mut entropy = [0; 32];
    for part in entropy.chunks_exact_mut(8) {
        part.copy_from_slice(&get_random_u64().to_le_bytes());
    }
    entropy
}

/// The system as the host provides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostSystem;

impl HostSystem {
    /// Sets the format of the lines of this instance.
    pub(super) fn set_log_format(self, format: LogFormat) {
        FORMAT.set(format);
    }
}

impl System for HostSystem {
    fn now(&self) -> UnixMillis {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the host's clock is read"
        )]
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    async fn wait(&self, ms: u64) {
        monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        wasip3::spawn(task);
    }

    fn random(&self) -> u64 {
        RNG.with_borrow_mut(RngExt::random)
    }

    fn entropy(&self) -> [u8; 32] {
        entropy()
    }

    fn log(&self, line: &str) {
        match FORMAT.get() {
            LogFormat::Json => {
                let message = serde_json::Value::from(line);
                write(&format!("{{\"message\":{message}}}\n"));
            }
            LogFormat::Text | LogFormat::None => write(&format!("keypool: {line}\n")),
        }
    }

    fn log_json(&self, object: &str) {
        write(&format!("{object}\n"));
    }
}

/// Writes a line to stderr as a whole, since instances share a terminal. Does not block if there is
/// room: the standard library's write suspends the task. Ignores a closed terminal, on which
/// `eprintln` would panic.
fn write(line: &str) {
    let line = line.as_bytes();
    let room = STDERR.with(OutputStream::check_write);
    if room.is_ok_and(|room| usize::try_from(room).is_ok_and(|room| line.len() <= room)) {
        let _ = STDERR.with(|stderr| stderr.write(line).and_then(|()| stderr.flush()));
    } else {
        let _ = std::io::stderr().write_all(line);
    }
}
