//! Runs one case: starts all subjects, lets them take turns, stops them and checks their logs.

use crate::build::Builds;
use crate::case::{Case, Load, Scale, Subject};
use crate::load::{self, Api, Outcome, Target};
use crate::process::Process;
use crate::service::{Record, Service, TOKEN, UPSTREAM_PATH};
use crate::upstream;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// How many faults of a subject are reported.
const REPORTED_FAULTS: usize = 5;

/// The figures of one subject.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) label: &'static str,
    pub(crate) rounds: Vec<Round>,
    pub(crate) peak_memory: Option<u64>,
    /// Rows of successful calls in the log, if it has one.
    pub(crate) rows: Option<u64>,
    /// Requests and rows that were lost.
    pub(crate) faults: Vec<String>,
}

/// One turn of a subject.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    /// Events that the upstream sent; `None` if it sent no streams.
    pub(crate) events: Option<u64>,
    /// CPU time of the host.
    pub(crate) cpu: Option<Duration>,
}

/// Measures a case, after a shorter turn of each subject to warm up.
pub(crate) fn case(
    builds: &Builds,
    scratch: &Path,
    case: &Case,
    scale: Scale,
) -> Result<Vec<Measured>> {
    let mut running = Vec::new();
    for subject in &case.subjects {
        for api in &case.apis {
            let one = Running::start(builds, scratch, case, *subject, *api);
            running.push(one.with_context(|| format!("{}: {}", case.name, subject.label()))?);
        }
    }
    if let Load::Requests { .. } = case.load {
        for one in &mut running {
            one.warm_up(case, scale.turn / 4)?;
        }
    }
    for number in 0..scale.rounds {
        let round = |one: &mut Running| one.take_turn(case, scale.turn);
        // In alternating order, so that none always follows the same other one.
        match number % 2 {
            0 => running.iter_mut().try_for_each(round)?,
            _ => running.iter_mut().rev().try_for_each(round)?,
        }
    }
    running.into_iter().map(Running::finish).collect()
}

const LOG_AFTER: &[(&str, &str)] = &[("LOG_COMMIT", "after")];

/// A subject that runs, with an upstream of its own.
struct Running {
    label: &'static str,
    target: Target,
    /// `None` for the upstream itself.
    service: Option<Service>,
    _upstream: Process,
    warm_up: Outcome,
    rounds: Vec<Round>,
}

impl Running {
    fn start(
        builds: &Builds,
        scratch: &Path,
        case: &Case,
        subject: Subject,
        api: Api,
    ) -> Result<Self> {
        let upstream = case.upstream.start()?;
        let at = upstream.address();
        let pool = |build, variables: &[_]| {
            Service::start_pool(build, scratch, at, case.upstream.keys, variables)
        };
        let other = || builds.other.as_ref().context("there is no other build");
        let service = match subject {
            Subject::Direct => None,
            Subject::Bare => Some(Service::start_bare(&builds.bare, scratch, at)?),
            Subject::Pool => Some(pool(&builds.this, &[])?),
            Subject::PoolLogAfter => Some(pool(&builds.this, LOG_AFTER)?),
            Subject::OtherPool => Some(pool(other()?, &[])?),
            Subject::OtherPoolLogAfter => Some(pool(other()?, LOG_AFTER)?),
        };
        let (path, token) = match subject {
            Subject::Direct | Subject::Bare => (UPSTREAM_PATH, upstream::key(1)),
            _ => (api.path(), TOKEN.to_owned()),
        };
        Ok(Self {
            label: match case.apis.len() {
                1 => subject.label(),
                _ => api.label(),
            },
            target: Target {
                api,
                address: service.as_ref().map_or(at, |it| it.process.address()),
                path,
                token,
            },
            service,
            _upstream: upstream,
            warm_up: Outcome::default(),
            rounds: Vec::new(),
        })
    }

    fn warm_up(&mut self, case: &Case, duration: Duration) -> Result<()> {
        self.warm_up = self.load(case, duration)?;
        Ok(())
    }

    fn take_turn(&mut self, case: &Case, duration: Duration) -> Result<()> {
        let cpu = |service: &Option<Service>| service.as_ref()?.process.cpu_time();
        let before = cpu(&self.service);
        let outcome = self.load(case, duration)?;
        let after = cpu(&self.service);
        self.rounds.push(Round {
            events: match case.load {
                Load::Requests { .. } => None,
                Load::Streams { .. } => Some(outcome.answered() * case.upstream.events as u64),
            },
            outcome,
            cpu: before.zip(after).map(|(before, after)| after - before),
        });
        Ok(())
    }

    fn load(&self, case: &Case, duration: Duration) -> Result<Outcome> {
        match case.load {
            Load::Requests {
                connections,
                prompt_bytes,
            } => {
                let body = load::request_body(prompt_bytes);
                load::requests(&self.target, connections, duration, &body)
            }
            Load::Streams { count, ramp } => {
                load::streams(&self.target, count, case.upstream.events, ramp)
            }
        }
    }

    fn finish(self) -> Result<Measured> {
        let peak_memory = self
            .service
            .as_ref()
            .and_then(|it| it.process.peak_memory());
        let record = match self.service {
            Some(service) => service.stop()?,
            None => Record::default(),
        };
        let rounds = self.rounds.iter().map(|round| &round.outcome);
        let outcomes: Vec<&Outcome> = rounds.chain([&self.warm_up]).collect();
        Ok(Measured {
            label: self.label,
            peak_memory,
            rows: record.rows,
            faults: faults(&outcomes, &record),
            rounds: self.rounds,
        })
    }
}

/// Requests that failed, answers without a row in the log, and what the service complained about.
fn faults(outcomes: &[&Outcome], record: &Record) -> Vec<String> {
    let failures = outcomes.iter().flat_map(|outcome| &outcome.failures);
    let mut faults: Vec<String> = failures.take(REPORTED_FAULTS).cloned().collect();
    let answered: u64 = outcomes.iter().map(|outcome| outcome.answered()).sum();
    if answered == 0 {
        faults.push("no request was answered".to_owned());
    }
    if let Some(rows) = record.rows
        && rows != answered
    {
        faults.push(format!("{answered} answers, but {rows} rows in the log"));
    }
    let complaints = record.complaints.iter().take(REPORTED_FAULTS);
    faults.extend(complaints.cloned());
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rows_and_failed_requests_are_faults() {
        let outcome = Outcome {
            latencies: vec![Duration::ZERO; 3],
            ..Outcome::default()
        };
        let with_rows = |rows| Record {
            rows,
            complaints: Vec::new(),
        };
        assert!(faults(&[&outcome], &with_rows(Some(3))).is_empty());
        assert!(faults(&[&outcome], &with_rows(None)).is_empty());
        assert_eq!(
            faults(&[&outcome], &with_rows(Some(2))),
            ["3 answers, but 2 rows in the log"]
        );
        let failed = Outcome {
            failures: vec!["answered with 502".to_owned()],
            ..Outcome::default()
        };
        assert_eq!(
            faults(&[&failed], &with_rows(None)),
            ["answered with 502", "no request was answered"]
        );
    }
}
