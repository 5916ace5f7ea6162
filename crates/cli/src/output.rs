//! Output: tables for people, JSON for programs, and the progress of what takes long.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use std::thread::sleep;
use std::time::Duration;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a table.
    Table,
    /// As the API returns it.
    Json,
}

/// A table with these headings. It fits the terminal, and has colours only there.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(
            headings
                .iter()
                .map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)),
        );
    table
}

/// The state of a key, in its colour.
pub(crate) fn state(state: &str) -> Cell {
    let color = match state {
        "active" | "eligible" => Color::Green,
        "disabled" => Color::Red,
        _ => Color::Yellow,
    };
    Cell::new(state).fg(color)
}

/// The progress of what may take long, on the standard error if that is a terminal. It is cleared
/// when it is dropped.
pub(crate) fn progress(message: &str) -> ProgressBar {
    let progress = ProgressBar::new_spinner().with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

/// A text, or `-` if there is none.
pub(crate) fn or_dash(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("-")
}

/// Waits for 2 seconds, before something is shown again.
#[expect(
    clippy::disallowed_methods,
    reason = "a person reads the output in the meantime"
)]
pub(crate) fn pause() {
    sleep(Duration::from_secs(2));
}

/// A number with its digits in groups: `12,345`.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-1_234_567, "-1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }
}
