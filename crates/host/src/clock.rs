//! A wall clock that tests set: it shows the time that a file holds, and stands still until the file changes. The
//! monotonic clock and timers stay real.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime_wasi::HostWallClock;

/// A clock that reads its file anew each time it is asked. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct FileClock(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    file: PathBuf,
    /// The last good time. Locked while the file is read, so that an older reading never replaces a newer one.
    last: Mutex<Duration>,
}

impl FileClock {
    /// Starts with the time in `file`, which `--test-clock` names.
    ///
    /// # Errors
    /// The file cannot be read, or holds no time. The message names it and says what it must hold.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let last = read(file).with_context(|| {
            format!(
                "--test-clock {} must hold the milliseconds since the Unix epoch as a whole number",
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
        // A duration is as good after a panic as before.
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        // WASI has no answer for a clock that cannot be read.
        if let Ok(now) = read(&self.0.file) {
            *last = now;
        }
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(clock: &FileClock) -> u128 {
        clock.now().as_millis()
    }

    #[test]
    fn every_clone_shows_the_files_time_forwards_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("now");
        std::fs::write(&file, "1700000000123").unwrap();
        let clock = FileClock::open(&file).unwrap();
        let other = clock.clone();
        assert_eq!(
            (now(&clock), now(&other)),
            (1_700_000_000_123, 1_700_000_000_123)
        );
        for (text, expected) in [("1700000086400\n", 1_700_000_086_400), (" 0 ", 0)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!((now(&clock), now(&other)), (expected, expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_an_error_at_the_start_and_the_last_good_time_later() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("now");
        std::fs::write(&file, "1000").unwrap();
        let clock = FileClock::open(&file).unwrap();
        std::fs::write(&file, "2000").unwrap();
        assert_eq!(now(&clock), 2000);

        let other = clock.clone();
        let check = |what: &str| {
            let error = format!("{:#}", FileClock::open(&file).unwrap_err());
            for part in [
                "--test-clock",
                &file.display().to_string(),
                "milliseconds since the Unix epoch",
            ] {
                assert!(error.contains(part), "{what}: {part:?} is not in {error}");
            }
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
