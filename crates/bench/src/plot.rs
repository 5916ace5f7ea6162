//! Pictures of the figures, as SVG beside the report.

use crate::cases::{Case, POOL};
use crate::measure::{Measured, Outcome};
use crate::verdict::Results;
use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (900, 540);
const COLORS: [RGBColor; 4] = [
    RGBColor(110, 110, 110),
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(255, 150, 30),
];

/// A named line.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// What a picture shows.
struct Plot<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// How an x is written.
    tick: fn(&f64) -> String,
    lines: Vec<Line>,
}

/// Draws what there are figures for, and gives the files' names.
pub(crate) fn draw(folder: &Path, cases: &[Case], results: &Results) -> Result<Vec<String>> {
    let mut drawn = Vec::new();
    for case in cases {
        let Some(measured) = results.cases.get(case.name) else {
            continue;
        };
        let lines: Vec<Line> = measured.iter().filter_map(latencies).collect();
        if !lines.is_empty() {
            let title = format!("Latency: {}", case.what);
            let plot = Plot {
                title: &title,
                x: "percentile",
                y: "milliseconds",
                tick: |nines| percentile(*nines),
                lines,
            };
            drawn.push(plot.draw(folder, &format!("latency-{}.svg", case.name))?);
        }
    }
    if let Some(measured) = results.cases.get("keys") {
        let points = measured.iter().filter_map(|measured| {
            let keys: f64 = measured.label.split(' ').next()?.parse().ok()?;
            Some((keys.log10(), measured.per_second()?.median))
        });
        let plot = Plot {
            title: "Throughput by keys, 32 connections",
            x: "keys",
            y: "answers a second",
            tick: |log| format!("{:.0}", 10f64.powf(*log)),
            lines: vec![Line {
                name: POOL.to_owned(),
                points: points.collect(),
            }],
        };
        drawn.push(plot.draw(folder, "throughput-by-keys.svg")?);
    }
    if let Some(measured) = results.cases.get("streams") {
        let lines = measured.iter().filter_map(|measured| {
            let round = measured.rounds.last()?;
            let memory = &round.used.memory;
            (!memory.is_empty()).then(|| Line {
                name: measured.label.to_owned(),
                points: memory
                    .iter()
                    .map(|(at, bytes)| (at.as_secs_f64(), *bytes as f64 / 1e6))
                    .collect(),
            })
        });
        let plot = Plot {
            title: "The host's memory while streams run",
            x: "seconds",
            y: "MB",
            tick: |seconds| format!("{seconds:.1}"),
            lines: lines.collect(),
        };
        drawn.push(plot.draw(folder, "memory-of-streams.svg")?);
    }
    Ok(drawn)
}

/// The middle round's latencies, over the nines of the percentile: 0.9 at 1, 0.99 at 2.
fn latencies(measured: &Measured) -> Option<Line> {
    let round = measured.rounds.get(measured.rounds.len() / 2)?;
    let Outcome::Answers(answers) = &round.outcome else {
        return None;
    };
    let points = answers.latencies.iter();
    Some(Line {
        name: measured.label.to_owned(),
        points: points
            .filter(|(_, latency)| latency.is_finite())
            .map(|(percent, latency)| (-(1.0 - percent / 100.0).log10(), *latency))
            .collect(),
    })
}

/// Written at whole nines alone, where it is a number that people know.
fn percentile(nines: f64) -> String {
    if (nines - nines.round()).abs() > 1e-6 {
        return String::new();
    }
    let percent = 100.0 * (1.0 - 10f64.powf(-nines));
    let digits = (nines.round() - 2.0).max(0.0) as usize;
    format!("{percent:.digits$}")
}

impl Plot<'_> {
    fn draw(&self, folder: &Path, name: &str) -> Result<String> {
        let file = folder.join(name);
        // The errors of the library borrow from the picture.
        self.draw_to(&file)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("{name} cannot be drawn"))?;
        Ok(name.to_owned())
    }

    fn draw_to(&self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let most =
            |value: fn(&(f64, f64)) -> f64| points().map(value).fold(f64::MIN_POSITIVE, f64::max);
        let least_x = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let (most_x, most_y) = (most(|point| point.0), most(|point| point.1));
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(least_x.min(most_x)..most_x, 0.0..most_y * 1.1)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&self.tick)
            .light_line_style(WHITE)
            .draw()?;
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(line.name.clone())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE.mix(0.8))
            .draw()?;
        root.present()?;
        Ok(())
    }
}
