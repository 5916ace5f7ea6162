//! `GET /metrics`: the pool in OpenMetrics
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! `docs/metrics.md` lists the metrics. What has not happened has no series, apart from the parts of
//! something that has.

use crate::pool::{KeyStatus, Limit, Moment, PoolKey, RetryBudget, Snapshot};
use crate::store::{Totals, UsageTotal};
use std::collections::BinaryHeap;
use std::fmt::{Display, Write};

/// How many models have series of their own. Clients can name any model, and each costs the reader
/// of the metrics memory for good.
const MOST_MODELS: usize = 100;
/// Stands for all further models.
const OTHER_MODELS: &str = "other";
/// The first bound of histograms. Each further one is twice the one before, up to 262.144 s: the
/// sums of calls tell apart what is on either side of a power of two.
const FIRST_BOUND_MS: u64 = 64;
/// How many bounds there are, without the infinite one.
const BOUNDS: usize = 13;

/// A sample: its labels as they stand between braces, and its value.
type Sample = (String, u64);

/// The metrics as text.
pub fn open_metrics(totals: &Totals, snapshot: &Snapshot, now: &Moment) -> String {
    let mut text = Exposition(String::new());
    text.add_calls(totals);
    text.add_keys(snapshot, now);
    text.add_budgets(snapshot, now);
    let budget = RetryBudget::default();
    let left = budget.left(totals.calls_this_minute, totals.retries_this_minute);
    text.add(
        "keypool_retry_budget_remaining",
        Kind::Gauge,
        "Retries that the pool may still make in this minute.",
        vec![(String::new(), left)],
    );
    text.add(
        "keypool_database_errors",
        Kind::Counter,
        "Statements that the database has failed.",
        vec![(String::new(), totals.database_errors)],
    );
    text.add(
        "keypool_build_info",
        Kind::Gauge,
        "The version of the pool.",
        vec![(labels(&[("version", &env!("CARGO_PKG_VERSION"))]), 1)],
    );
    text.0.push_str("# EOF\n");
    text.0
}

/// The models that have series of their own: the first that the pool has seen.
struct Models(Vec<String>);

impl Models {
    fn of(usage: &[UsageTotal]) -> Self {
        let mut seen: Vec<Sample> = Vec::new();
        for total in usage {
            seen.push((format!("{:020}\n{}", total.first_call, total.model), 0));
        }
        let mut models = Self(Vec::new());
        for (seen, _) in sorted(seen) {
            let model = seen.split_once('\n').unwrap_or_default().1;
            if models.0.len() < MOST_MODELS
                && model != OTHER_MODELS
                && models.place(model) == models.0.len()
            {
                models.0.push(model.to_owned());
            }
        }
        models
    }

    /// The place of a model among them; after the last for all others.
    fn place(&self, model: &str) -> usize {
        let place = self.0.iter().position(|known| known == model);
        place.unwrap_or(self.0.len())
    }

    /// The label of a place.
    fn label(&self, place: usize) -> &str {
        self.0.get(place).map_or(OTHER_MODELS, String::as_str)
    }

    /// The label that stands for a model.
    fn label_of(&self, model: &str) -> &str {
        self.label(self.place(model))
    }
}

/// The durations of calls for a model.
#[derive(Debug, Clone, Default)]
struct Histogram {
    /// How many are below each bound, but not below the one before.
    counts: [u64; BOUNDS + 1],
    total_ms: u64,
}

/// What a metric is whose samples are one number each.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// The text, and what adds metrics to it.
struct Exposition(String);

impl Exposition {
    fn add_calls(&mut self, totals: &Totals) {
        let models = Models::of(&totals.usage);
        let mut attempts = Vec::new();
        for total in &totals.attempts {
            let model = models.label_of(&total.model);
            let (key, outcome) = (&total.key, &total.outcome);
            let labels = labels(&[("key", key), ("model", &model), ("outcome", outcome)]);
            attempts.push((labels, total.attempts));
        }
        let [mut requests, mut answers, mut tokens] = [const { Vec::new() }; 3];
        for total in &totals.usage {
            let model = models.label_of(&total.model);
            let labels = labels(&[("model", &model), ("token", &total.token)]);
            for (kind, count) in [
                ("input", total.input_tokens),
                ("output", total.output_tokens),
                ("thinking", total.thinking_tokens),
                ("cached", total.cached_tokens),
            ] {
                tokens.push((format!("{labels},kind=\"{kind}\""), count));
            }
            requests.push((labels.clone(), total.requests));
            answers.push((labels, total.successes));
        }
        for (name, help, samples) in [
            ("keypool_attempts", "Attempts by how they ended.", attempts),
            (
                "keypool_requests",
                "Requests that reached the upstream.",
                requests,
            ),
            (
                "keypool_answers",
                "Requests that were answered successfully.",
                answers,
            ),
            ("keypool_tokens", "Tokens that responses report.", tokens),
        ] {
            self.add(name, Kind::Counter, help, samples);
        }
        self.add_durations(totals, &models);
    }

    fn add_durations(&mut self, totals: &Totals, models: &Models) {
        // Those of attempts and of first bytes, by the place of their model.
        let mut histograms = vec![[Histogram::default(), Histogram::default()]; MOST_MODELS + 1];
        for total in &totals.usage {
            let sums = [total.total_ms, total.total_first_byte_ms];
            if let Some(histograms) = histograms.get_mut(models.place(&total.model)) {
                for (histogram, ms) in histograms.iter_mut().zip(sums) {
                    histogram.total_ms = histogram.total_ms.saturating_add(ms);
                }
            }
        }
        let mut counted: Vec<&str> = totals.usage.iter().map(|it| &*it.model).collect();
        counted.sort_unstable();
        // The log has durations of models that the sums do not have yet.
        let durations = totals.durations.iter();
        for total in durations.filter(|it| counted.binary_search(&&*it.model).is_ok()) {
            let bound = (0..BOUNDS).find(|bound| total.bucket_ms < FIRST_BOUND_MS << bound);
            let counts = [total.attempts, total.first_bytes];
            if let Some(histograms) = histograms.get_mut(models.place(&total.model)) {
                for (histogram, count) in histograms.iter_mut().zip(counts) {
                    if let Some(sum) = histogram.counts.get_mut(bound.unwrap_or(BOUNDS)) {
                        *sum = sum.saturating_add(count);
                    }
                }
            }
        }
        let families = [
            (
                "keypool_attempt_duration_seconds",
                "How long attempts took.",
            ),
            (
                "keypool_first_byte_seconds",
                "How long attempts waited for the first byte of the response.",
            ),
        ];
        for (number, (name, help)) in families.into_iter().enumerate() {
            self.describe(name, "histogram", help);
            let _ = writeln!(self.0, "# UNIT {name} seconds");
            for (place, histograms) in histograms.iter().enumerate() {
                if let Some(histogram) = histograms.get(number) {
                    self.add_histogram(name, models.label(place), histogram);
                }
            }
        }
    }

    fn add_histogram(&mut self, name: &str, model: &str, histogram: &Histogram) {
        if histogram.counts == [0; BOUNDS + 1] {
            return;
        }
        let mut count: u64 = 0;
        for (bound, within) in histogram.counts.iter().enumerate() {
            count = count.saturating_add(*within);
            let le = match bound {
                BOUNDS => "+Inf".to_owned(),
                bound => seconds(FIRST_BOUND_MS << bound),
            };
            let labels = labels(&[("model", &model), ("le", &le)]);
            self.add_sample(name, "_bucket", &labels, &count);
        }
        let labels = labels(&[("model", &model)]);
        self.add_sample(name, "_count", &labels, &count);
        self.add_sample(name, "_sum", &labels, &seconds(histogram.total_ms));
    }

    fn add_keys(&mut self, snapshot: &Snapshot, now: &Moment) {
        let status = |key: &PoolKey| key.state.status_at(now.at());
        let mut states = Vec::new();
        for (name, state) in KeyStatus::NAMES {
            let keys = snapshot.keys().iter().filter(|key| status(key) == state);
            states.push((labels(&[("state", &name)]), keys.count() as u64));
        }
        let mut usable = Vec::new();
        for key in snapshot.keys() {
            let is_usable = status(key) == KeyStatus::Active;
            usable.push((labels(&[("key", &key.id)]), u64::from(is_usable)));
        }
        self.add("keypool_keys", Kind::Gauge, "Keys by state.", states);
        let help = "Whether a key is neither disabled nor paused.";
        self.add("keypool_key_usable", Kind::Gauge, help, usable);
    }

    fn add_budgets(&mut self, snapshot: &Snapshot, now: &Moment) {
        let (mut limits, mut remaining) = (Vec::new(), Vec::new());
        for (quota_scope, balance) in snapshot.all_balances(now) {
            let Limit {
                unit,
                window,
                value,
            } = balance.limit;
            let labels = labels(&[
                ("scope", &quota_scope.scope),
                ("model", &quota_scope.model.unwrap_or_default()),
                ("unit", &unit.name()),
                ("per", &window.name()),
            ]);
            limits.push((labels.clone(), value));
            remaining.push((labels, balance.left()));
        }
        let help = "The limits of budgets.";
        self.add("keypool_budget_limit", Kind::Gauge, help, limits);
        let help = "What is left of budgets.";
        self.add("keypool_budget_remaining", Kind::Gauge, help, remaining);
    }

    /// Adds a metric. Samples with the same labels, which models may share, are added up.
    fn add(&mut self, name: &str, kind: Kind, help: &str, samples: Vec<Sample>) {
        let (kind, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        self.describe(name, kind, help);
        let mut samples = sorted(samples).into_iter().peekable();
        while let Some((labels, mut sum)) = samples.next() {
            while let Some((_, value)) = samples.next_if(|(others, _)| *others == labels) {
                sum = sum.saturating_add(value);
            }
            self.add_sample(name, suffix, &labels, &sum);
        }
    }

    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    fn add_sample(&mut self, name: &str, suffix: &str, labels: &str, value: &dyn Display) {
        let (open, close) = match labels {
            "" => ("", ""),
            _ => ("{", "}"),
        };
        let _ = writeln!(self.0, "{name}{suffix}{open}{labels}{close} {value}");
    }
}

/// Sorts by labels. A heap's code is far smaller than that of a sort.
fn sorted(samples: Vec<Sample>) -> Vec<Sample> {
    BinaryHeap::from(samples).into_sorted_vec()
}

/// Labels as they stand between braces.
fn labels(list: &[(&str, &dyn Display)]) -> String {
    let mut text = String::new();
    for (name, value) in list {
        let value = value.to_string().replace('\\', r"\\");
        let value = value.replace('"', "\\\"").replace('\n', "\\n");
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests;
