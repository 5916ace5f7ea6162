//! Numbers out of rounds: medians, and how far the rounds lie apart.

use crate::measure::{Measured, Outcome, Round};
use crate::streams::millis;

/// The middle of several rounds, and the least and the most of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` where there is nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            length if length % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Self {
            median,
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}

impl Measured {
    fn over_rounds(&self, value: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(value))
    }

    /// Answers per second.
    pub(crate) fn per_second(&self) -> Option<Spread> {
        self.over_rounds(Round::per_second)
    }

    /// A point of the latencies in milliseconds; of streams, of the time to the first event.
    pub(crate) fn latency(&self, percent: f64) -> Option<Spread> {
        self.over_rounds(|round| match &round.outcome {
            Outcome::Answers(answers) => {
                let points = answers.latencies;
                let point = points.iter().find(|(at, _)| *at == percent)?;
                Some(point.1)
            }
            Outcome::Streams(streams) => Some(millis(&streams.first_event, percent)),
        })
    }

    /// A point of the gaps between events, in milliseconds.
    pub(crate) fn gap(&self, percent: f64) -> Option<Spread> {
        self.over_rounds(|round| match &round.outcome {
            Outcome::Answers(_) => None,
            Outcome::Streams(streams) => Some(millis(&streams.gaps, percent)),
        })
    }

    /// Processor time of the host per answer, in microseconds.
    pub(crate) fn cpu_per_answer(&self) -> Option<Spread> {
        self.over_rounds(|round| {
            let is_watched = !round.used.memory.is_empty() && round.answered() > 0;
            is_watched.then(|| round.used.cpu.as_secs_f64() * 1e6 / round.answered() as f64)
        })
    }

    /// The most memory of the host, in MB.
    pub(crate) fn peak_memory(&self) -> Option<f64> {
        let peaks = self.rounds.iter().map(|round| round.used.peak_memory());
        peaks
            .max()
            .filter(|bytes| *bytes > 0)
            .map(|bytes| bytes as f64 / 1e6)
    }

    /// SQLite statements of the host per request.
    pub(crate) fn statements_per_request(&self) -> Option<f64> {
        let statistics = self.record.statistics?;
        (statistics.requests > 0 && statistics.statements > 0)
            .then(|| statistics.statements as f64 / statistics.requests as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let median =
            |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
