//! What the figures must show, and whether they do.

use crate::cases::{BARE, DIRECT, POOL, POOL_AFTER};
use crate::checks::Killed;
use crate::measure::Measured;
use crate::summary::Spread;
use std::collections::BTreeMap;

/// Everything that a run has found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cases: BTreeMap<&'static str, Vec<Measured>>,
    pub(crate) killed: Option<Killed>,
    pub(crate) pages: Vec<(&'static str, Spread)>,
    pub(crate) component_size: Option<u64>,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) must: String,
    pub(crate) measured: String,
    pub(crate) holds: bool,
}

impl Results {
    fn of(&self, case: &str, label: &str) -> Option<&Measured> {
        self.cases
            .get(case)?
            .iter()
            .find(|measured| measured.label == label)
    }

    /// The throughput of one as a ratio to another's, round by round, since both had the same minute of the machine.
    fn ratio(&self, case: &str, label: &str, to: &str) -> Option<Spread> {
        let (one, other) = (self.of(case, label)?, self.of(case, to)?);
        let rounds = one.rounds.iter().zip(&other.rounds);
        Spread::of(rounds.filter_map(|(one, other)| Some(one.per_second()? / other.per_second()?)))
    }

    fn at_least(
        &self,
        what: &str,
        case: &str,
        label: &str,
        to: &str,
        least: f64,
    ) -> Option<Verdict> {
        let ratio = self.ratio(case, label, to)?;
        Some(Verdict {
            what: what.to_owned(),
            must: format!("≥ {least:.2} × {to}"),
            measured: format!(
                "{:.2} × ({:.2} – {:.2})",
                ratio.median, ratio.least, ratio.most
            ),
            holds: ratio.median >= least,
        })
    }

    /// How much later a point of the latencies is than another setup's.
    fn added(
        &self,
        what: &str,
        case: &str,
        label: &str,
        to: &str,
        percent: f64,
        most: f64,
    ) -> Option<Verdict> {
        let one = self.of(case, label)?.latency(percent)?.median;
        let other = self.of(case, to)?.latency(percent)?.median;
        Some(Verdict {
            what: what.to_owned(),
            must: format!("p{percent} ≤ {most} ms above {to}"),
            measured: format!("{:.2} ms", one - other),
            holds: one - other <= most,
        })
    }

    fn streams(&self) -> Option<[Verdict; 2]> {
        let (pool, direct) = (self.of("streams", POOL)?, self.of("streams", DIRECT)?);
        let gap = pool.gap(99.0)?.median - direct.gap(99.0)?.median;
        let memory = pool.peak_memory()?;
        Some([
            Verdict {
                what: "streams: gap between events".to_owned(),
                must: "p99 ≤ 50 ms above direct".to_owned(),
                measured: format!("{gap:.1} ms"),
                holds: gap <= 50.0,
            },
            Verdict {
                what: "streams: the host's memory".to_owned(),
                must: "≤ 300 MB".to_owned(),
                measured: format!("{memory:.0} MB"),
                holds: memory <= 300.0,
            },
        ])
    }

    fn statements(&self) -> Option<Verdict> {
        let statements = self.of("32", POOL)?.statements_per_request()?;
        Some(Verdict {
            what: "SQLite statements a request, 32 connections".to_owned(),
            must: "≤ 0.3".to_owned(),
            measured: format!("{statements:.2}"),
            holds: statements <= 0.3,
        })
    }

    fn kill(&self) -> Option<Verdict> {
        let Killed { answered, rows } = self.killed?;
        Some(Verdict {
            what: "killed under load".to_owned(),
            must: "a row for each answer".to_owned(),
            measured: format!("{answered} answers, {rows} rows"),
            holds: answered > 0 && rows >= answered,
        })
    }

    /// Everything that could be looked at.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        verdicts.extend(self.at_least("32 connections", "32", POOL, BARE, 0.60));
        verdicts.extend(self.at_least(
            "32 connections, log_commit=after",
            "32",
            POOL_AFTER,
            BARE,
            0.85,
        ));
        verdicts.extend(self.added(
            "one request after the other",
            "sequential",
            POOL,
            BARE,
            50.0,
            0.5,
        ));
        verdicts.extend(self.at_least("256 connections", "256", POOL, BARE, 0.55));
        verdicts.extend(self.at_least("1,000 connections", "1000", POOL, BARE, 0.55));
        verdicts.extend(self.at_least("100 keys", "keys", "100 keys", "10 keys", 0.95));
        verdicts.extend(self.at_least("1,000 keys", "keys", "1000 keys", "10 keys", 0.95));
        verdicts.extend(self.at_least("10,000 keys", "keys", "10000 keys", "10 keys", 0.90));
        verdicts.extend(self.added(
            "60 ms upstream, 500 a second",
            "rate",
            POOL,
            DIRECT,
            50.0,
            1.0,
        ));
        verdicts.extend(self.added(
            "60 ms upstream, 500 a second",
            "rate",
            POOL,
            DIRECT,
            99.0,
            5.0,
        ));
        verdicts.extend(self.streams().into_iter().flatten());
        verdicts.extend(self.at_least(
            "half of the keys exhausted",
            "storm",
            "half exhausted",
            "none exhausted",
            0.80,
        ));
        verdicts.extend(self.at_least(
            "request of 1 MiB, answer of 5 MiB",
            "large",
            POOL,
            BARE,
            0.80,
        ));
        verdicts.extend(self.added("Nagle's algorithm on", "nagle", POOL, DIRECT, 50.0, 5.0));
        verdicts.extend(self.statements());
        verdicts.extend(self.kill());
        verdicts.extend(self.at_least(
            "long log, 1,000 keys",
            "log",
            "long log",
            "empty log",
            0.95,
        ));
        verdicts.extend(self.pages.iter().map(|(path, times)| Verdict {
            what: format!("long log, {path}"),
            must: "≤ 50 ms".to_owned(),
            measured: format!("{:.1} ms", times.median),
            holds: times.median <= 50.0,
        }));
        verdicts.extend(self.component_size.map(|bytes| Verdict {
            what: "component size".to_owned(),
            must: "≤ 1.5 MB".to_owned(),
            measured: format!("{:.2} MB", bytes as f64 / 1e6),
            holds: bytes <= 1_500_000,
        }));
        verdicts.extend(self.added("a new instance", "cold", "cold", "warm", 50.0, 5.0));
        verdicts
    }

    /// What must never happen, whatever the machine: requests lost, answers without a row.
    pub(crate) fn faults(&self) -> Vec<String> {
        let cases = self.cases.iter().flat_map(|(case, measured)| {
            measured.iter().flat_map(move |measured| {
                let faults = measured.faults.iter();
                faults.map(move |fault| format!("{case}, {}: {fault}", measured.label))
            })
        });
        let kill = self.kill().filter(|verdict| !verdict.holds);
        let killed = kill.map(|verdict| format!("{}: {}", verdict.what, verdict.measured));
        cases.chain(killed).collect()
    }
}
