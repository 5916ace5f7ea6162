//! The report, as Markdown that a terminal shows as well.

use crate::cases::{Case, Scale};
use crate::measure::Measured;
use crate::service::Host;
use crate::summary::Spread;
use crate::verdict::{Results, Verdict};
use std::fmt::Write;

/// Everything, in the order of the cases.
pub(crate) fn report(
    cases: &[Case],
    results: &Results,
    scale: Scale,
    host: Host,
    plots: &[String],
) -> String {
    let mut report = String::from("# Benchmark\n\n");
    let host = match host {
        Host::Embedded => "the embedded host",
        Host::Spin => "Spin",
    };
    let rounds = scale.rounds;
    push(
        &mut report,
        &format!(
            "On {host}; load generator, upstream and host share {} cores. Medians of {rounds} rounds in turns, with the \
             least and the most.\n",
            std::thread::available_parallelism().map_or(1, usize::from),
        ),
    );
    let verdicts = results.verdicts();
    if !verdicts.is_empty() {
        push(&mut report, "## What it must show\n");
        push(
            &mut report,
            &table(&VERDICT_HEAD, verdicts.iter().map(verdict_row)),
        );
    }
    for case in cases {
        if let Some(measured) = results.cases.get(case.name) {
            push(&mut report, &format!("## {}: {}\n", case.name, case.what));
            push(&mut report, &case_table(measured));
        }
    }
    for plot in plots {
        push(&mut report, &format!("![{plot}]({plot})"));
    }
    let faults = results.faults();
    if !faults.is_empty() {
        push(&mut report, "\n## Faults\n");
        for fault in faults {
            push(&mut report, &format!("- {fault}"));
        }
    }
    report
}

const VERDICT_HEAD: [&str; 4] = ["case", "must", "measured", ""];

fn verdict_row(verdict: &Verdict) -> Vec<String> {
    vec![
        verdict.what.clone(),
        verdict.must.clone(),
        verdict.measured.clone(),
        if verdict.holds { "✓" } else { "✗" }.to_owned(),
    ]
}

fn case_table(measured: &[Measured]) -> String {
    type Column = (&'static str, fn(&Measured) -> Option<String>);
    let columns: [Column; 9] = [
        ("answers/s", |measured| {
            Some(spread(measured.per_second()?, 0))
        }),
        ("p50 ms", |measured| {
            Some(spread(measured.latency(50.0)?, 2))
        }),
        ("p99 ms", |measured| {
            Some(spread(measured.latency(99.0)?, 2))
        }),
        ("gap p50 ms", |measured| {
            Some(spread(measured.gap(50.0)?, 1))
        }),
        ("gap p99 ms", |measured| {
            Some(spread(measured.gap(99.0)?, 1))
        }),
        ("host CPU µs/answer", |measured| {
            Some(spread(measured.cpu_per_answer()?, 0))
        }),
        ("host peak MB", |measured| {
            Some(format!("{:.0}", measured.peak_memory()?))
        }),
        ("statements/request", |measured| {
            Some(format!("{:.2}", measured.statements_per_request()?))
        }),
        ("rows", |measured| Some(measured.record.rows?.to_string())),
    ];
    let shown: Vec<&Column> = columns
        .iter()
        .filter(|(_, value)| measured.iter().any(|measured| value(measured).is_some()))
        .collect();
    let mut head = vec![""];
    head.extend(shown.iter().map(|(name, _)| *name));
    table(
        &head,
        measured.iter().map(|one| {
            let values = shown
                .iter()
                .map(|(_, value)| value(one).unwrap_or_else(|| "–".to_owned()));
            std::iter::once(one.label.to_owned())
                .chain(values)
                .collect()
        }),
    )
}

fn spread(spread: Spread, digits: usize) -> String {
    let Spread {
        median,
        least,
        most,
    } = spread;
    if least == most {
        format!("{median:.digits$}")
    } else {
        format!("{median:.digits$} ({least:.digits$} – {most:.digits$})")
    }
}

/// A Markdown table whose columns are as wide as what is in them.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(head.get(column).map(|cell| cell.chars().count()))
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let mut table = line(&mut head.iter().copied());
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    table += &line(&mut dashes.iter().map(String::as_str));
    for row in &rows {
        table += &line(&mut row.iter().map(String::as_str));
    }
    table
}

fn push(report: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(report, "{line}");
}
