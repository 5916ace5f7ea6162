//! How far the import is, on stderr: one line that changes on a terminal, and a line now and then elsewhere.

use std::io::{IsTerminal, Write};

/// Rows between two reports.
const ON_TERMINAL: u64 = 10_000;
const ELSEWHERE: u64 = 100_000;

/// What counts rows, step by step.
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

    /// Begins to count rows anew.
    pub(super) fn begin(&mut self, step: &'static str) {
        self.end();
        self.step = step;
    }

    /// Reports the rows so far, if there are enough more than at the last report.
    pub(super) fn show(&mut self, rows: u64) {
        let each = if self.is_terminal {
            ON_TERMINAL
        } else {
            ELSEWHERE
        };
        if rows / each == self.reported / each {
            return;
        }
        self.reported = rows;
        let step = self.step;
        write(&if self.is_terminal {
            format!("\r{step}: {rows} rows")
        } else {
            format!("{step}: {rows} rows\n")
        });
    }

    /// Leaves the line for what is said next.
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

/// Nobody has to read it.
fn write(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
