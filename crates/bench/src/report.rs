//! The report: a Markdown table for each case, readable on a terminal.

use crate::case::{Case, Comparison, Scale};
use crate::measure::{Measured, Round};
use std::time::Duration;

/// A figure of a round.
struct Figure {
    name: &'static str,
    digits: usize,
    value: fn(&Round) -> Option<f64>,
}

const FIGURES: [Figure; 7] = [
    figure("answers/s", 0, |round| {
        let is_stream = !round.outcome.gaps.is_empty();
        let rate = round.outcome.answered() as f64 / round.outcome.took.as_secs_f64();
        (!is_stream).then_some(rate)
    }),
    figure("p50 ms", 2, |round| {
        percentile(&round.outcome.latencies, 50)
    }),
    figure("p99 ms", 2, |round| {
        percentile(&round.outcome.latencies, 99)
    }),
    figure("gap p50 ms", 1, |round| percentile(&round.outcome.gaps, 50)),
    figure("gap p99 ms", 1, |round| percentile(&round.outcome.gaps, 99)),
    figure("host CPU µs/answer", 0, |round| {
        let answered = round.outcome.answered();
        (answered > 0).then_some(round.cpu?.as_secs_f64() * 1e6 / answered as f64)
    }),
    figure("host CPU µs/event", 1, |round| {
        let events = round.events.filter(|events| *events > 0)?;
        Some(round.cpu?.as_secs_f64() * 1e6 / events as f64)
    }),
];

const fn figure(name: &'static str, digits: usize, value: fn(&Round) -> Option<f64>) -> Figure {
    Figure {
        name,
        digits,
        value,
    }
}

/// The report's beginning.
pub(crate) fn head(scale: Scale) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "# Benchmark\n\n\
         Load generator, upstream and host share {cores} cores. Medians of {} rounds, taken in \
         turns (minimum – maximum).\n",
        scale.rounds
    )
}

/// The table of a case; with two builds, its last row has their ratios, and with several APIs, its
/// last rows have their differences from the first.
pub(crate) fn section(case: &Case, comparison: Comparison, measured: &[Measured]) -> String {
    let figures: Vec<&Figure> = FIGURES
        .iter()
        .filter(|figure| measured.iter().any(|one| spread(one, figure).is_some()))
        .collect();
    let mut header = vec![String::new()];
    header.extend(figures.iter().map(|figure| figure.name.to_owned()));
    header.extend(["host peak MB", "log rows"].map(str::to_owned));
    let mut rows = vec![header];
    rows.extend(measured.iter().map(|one| row(one, &figures)));
    if let (Comparison::Builds, [this, other]) = (comparison, measured) {
        rows.push(ratio_row(this, other, &figures));
    }
    if let (true, [first, others @ ..]) = (case.apis.len() > 1, measured) {
        rows.extend(
            others
                .iter()
                .map(|one| difference_row(one, first, &figures)),
        );
    }
    format!("\n## {}: {}\n\n{}", case.name, case.what, table(&rows))
}

fn row(one: &Measured, figures: &[&Figure]) -> Vec<String> {
    let megabytes = one
        .peak_memory
        .map(|bytes| format!("{:.0}", bytes as f64 / 1e6));
    let log_rows = one.rows.map(|rows| rows.to_string());
    let spreads = figures.iter().map(|figure| {
        let spread = spread(one, figure)?;
        Some(spread.show(figure.digits))
    });
    labelled(one.label, spreads.chain([megabytes, log_rows]))
}

fn labelled(label: &str, cells: impl Iterator<Item = Option<String>>) -> Vec<String> {
    let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
    [label.to_owned()].into_iter().chain(cells).collect()
}

/// Ratios of this build's figures to the other's, round by round: both had the same minute.
fn ratio_row(this: &Measured, other: &Measured, figures: &[&Figure]) -> Vec<String> {
    let ratios = figures.iter().map(|figure| {
        let rounds = this.rounds.iter().zip(&other.rounds);
        let ratios = rounds.filter_map(|(this, other)| {
            let other = (figure.value)(other).filter(|value| *value > 0.0)?;
            Some((figure.value)(this)? / other)
        });
        Some(Spread::of(ratios)?.show(2))
    });
    let memory = this.peak_memory.zip(other.peak_memory);
    let memory = memory.map(|(this, other)| format!("{:.2}", this as f64 / other as f64));
    labelled("ratio", ratios.chain([memory, None]))
}

/// How much greater figures are than another API's, round by round.
fn difference_row(one: &Measured, first: &Measured, figures: &[&Figure]) -> Vec<String> {
    let differences = figures.iter().map(|figure| {
        let rounds = one.rounds.iter().zip(&first.rounds);
        let differences =
            rounds.filter_map(|(one, first)| Some((figure.value)(one)? - (figure.value)(first)?));
        Some(Spread::of(differences)?.show(figure.digits))
    });
    let label = format!("{} − {}", one.label, first.label);
    labelled(&label, differences.chain([None, None]))
}

fn spread(one: &Measured, figure: &Figure) -> Option<Spread> {
    Spread::of(one.rounds.iter().filter_map(figure.value))
}

/// A percentile, by nearest rank, in milliseconds.
fn percentile(times: &[Duration], percent: usize) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    Some(times.get(rank - 1)?.as_secs_f64() * 1e3)
}

/// The median of several rounds, with the minimum and the maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    minimum: f64,
    maximum: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0,
            _ => *values.get(middle)?,
        };
        Some(Self {
            median,
            minimum: *values.first()?,
            maximum: *values.last()?,
        })
    }

    pub(crate) fn show(self, digits: usize) -> String {
        let Self {
            median,
            minimum,
            maximum,
        } = self;
        if minimum == maximum {
            format!("{median:.digits$}")
        } else {
            format!("{median:.digits$} ({minimum:.digits$} – {maximum:.digits$})")
        }
    }
}

/// A Markdown table with aligned columns; the first row is the header.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
    lines.insert(1.min(lines.len()), line(&rule));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_value() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|it| it.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn percentile_takes_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(100.0));
        assert_eq!(percentile(&times, 99), Some(198.0));
        assert_eq!(percentile(&times[..1], 99), Some(200.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn table_columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["", "µs"]), row(["pool", "1"])]),
            "|      | µs |\n| ---- | -- |\n| pool | 1  |\n"
        );
    }
}
