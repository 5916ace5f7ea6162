//! A wall clock for tests, which shows the time in a file. The monotonic clock and timers stay
//! real.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime_wasi::HostWallClock;

/// A clock that reads its file each time. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct FileClock(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    file: PathBuf,
    /// The last valid time. Locked while the file is read, so that it never goes back.
    last: Mutex<Duration>,
}

impl FileClock {
    /// Starts with the time in `file`, which `--test-clock` names.
    ///
    /// # Errors
    /// The file cannot be read or contains no time; the message names it.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let last = read(file).with_context(|| {
            format!(
                "--test-clock {} must contain a whole number of milliseconds since the Unix epoch",
                file.display()
            )
        })?;
        Ok(Self(Arc::new(Shown {
            file: file.to_owned(),
            last: Mutex::new(last),
        })))
    }
}

fn read(file: &Path) -> Result<Duration> {
    let text = std::fs::read_to_string(file)?;
    Ok(Duration::from_millis(text.trim().parse()?))
}

impl HostWallClock for FileClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        // A duration is valid after a panic, too.
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        // WASI has no error for clocks, so an unreadable file leaves the last time.
        if let Ok(now) = read(&self.0.file) {
            *last = now;
        }
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_error, temp_file};

    fn now(clock: &FileClock) -> u128 {
        clock.now().as_millis()
    }

    #[test]
    fn invalid_time_is_an_error_at_the_start_and_ignored_later() {
        let (_folder, file) = temp_file("now", "1000");
        let clock = FileClock::open(&file).unwrap();
        std::fs::write(&file, "2000").unwrap();
        assert_eq!(now(&clock), 2000);

        let other = clock.clone();
        let check = |what: &str| {
            let option = format!("--test-clock {}", file.display());
            let opened = FileClock::open(&file);
            assert_error(opened, &[&option, "milliseconds since the Unix epoch"]);
            assert_eq!((now(&clock), now(&other)), (2000, 2000), "{what}");
        };
        for text in [
            &b""[..],
            b"soon",
            b"-1",
            b"1.5",
            b"2026-01-01T00:00:00Z",
            // One more than fits.
            b"18446744073709551616",
            b"\xff",
        ] {
            std::fs::write(&file, text).unwrap();
            check(&format!("{text:?}"));
        }
        std::fs::remove_file(&file).unwrap();
        check("no file");

        std::fs::write(&file, "3000").unwrap();
        assert_eq!(now(&clock), 3000);
    }
}
