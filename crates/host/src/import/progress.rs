//! The progress of the import, on stderr: one changing line on a terminal, or else several lines.

use std::io::{IsTerminal, Write};

/// Counts the rows of each step.
pub(super) struct Progress {
    step: &'static str,
    is_terminal: bool,
    reported: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            step: "",
            is_terminal: std::io::stderr().is_terminal(),
            reported: 0,
        }
    }

    /// Starts another step.
    pub(super) fn begin(&mut self, step: &'static str) {
        self.end();
        self.step = step;
    }

    /// Reports the number of rows, unless it is close to the last report.
    pub(super) fn show(&mut self, rows: u64) {
        let (interval, start, end) = match self.is_terminal {
            true => (10_000, "\r", ""),
            false => (100_000, "", "\n"),
        };
        if rows / interval != self.reported / interval {
            self.reported = rows;
            write(&format!("{start}{}: {rows} rows{end}", self.step));
        }
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        if self.is_terminal && self.reported > 0 {
            write("\n");
        }
        self.reported = 0;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Errors are ignored: the output may be closed.
fn write(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
