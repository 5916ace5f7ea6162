//! One case, measured: everything started, in turns, everything stopped and checked.

use crate::cases::{Case, Scale, Setup, Subject, Work};
use crate::load::{self, Answers, Target};
use crate::process::{Process, Sampled, Sampler, Watch};
use crate::service::{POOL_PATH, Places, Record, Service, TOKEN, UPSTREAM_PATH, count_successes};
use crate::streams::{self, Streams};
use crate::upstream::{self, Upstream};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What a setup has shown.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) label: &'static str,
    pub(crate) rounds: Vec<Round>,
    pub(crate) record: Record,
    /// What the checks found wrong: nothing, where all is well.
    pub(crate) faults: Vec<String>,
}

/// One turn of a setup.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    /// Of the host; nothing for the upstream.
    pub(crate) used: Sampled,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Answers(Answers),
    Streams(Streams),
}

impl Round {
    pub(crate) fn answered(&self) -> u64 {
        match &self.outcome {
            Outcome::Answers(answers) => answers.answered,
            Outcome::Streams(streams) => streams.complete,
        }
    }

    /// Of requests that come as fast as they are answered, or at a rate.
    pub(crate) fn per_second(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Answers(answers) => Some(answers.per_second),
            Outcome::Streams(_) => None,
        }
    }

    fn failures(&self) -> &[String] {
        match &self.outcome {
            Outcome::Answers(answers) => &answers.failures,
            Outcome::Streams(streams) => &streams.failures,
        }
    }
}

/// A setup that runs.
struct Running<'a> {
    setup: &'a Setup,
    target: Target,
    service: Option<Service>,
    rows_before: Option<u64>,
    _upstream: Process,
}

impl<'a> Running<'a> {
    fn start(places: &Places, setup: &'a Setup) -> Result<Self> {
        let upstream = start_upstream(&setup.upstream)?;
        let at = upstream.address();
        let key = upstream::key(1);
        let mut headers = Vec::new();
        let (service, path, token) = match &setup.subject {
            Subject::Direct => (None, UPSTREAM_PATH, key),
            Subject::Peer(peer) => {
                let token;
                (token, headers) = peer.credentials(at);
                (Some(Service::peer(places, at, *peer)?), POOL_PATH, token)
            }
            Subject::Bare => (Some(Service::bare(places, at)?), UPSTREAM_PATH, key),
            Subject::Pool(pool) => {
                let service = Service::pool(places, at, pool)?;
                (Some(service), POOL_PATH, TOKEN.to_owned())
            }
        };
        let rows_before = match (&setup.subject, &service) {
            (Subject::Pool(_), Some(service)) => Some(count_successes(&service.database())?),
            _ => None,
        };
        Ok(Self {
            setup,
            target: Target {
                address: service
                    .as_ref()
                    .map_or(at, |service| service.process.address()),
                path,
                token,
                headers,
            },
            service,
            rows_before,
            _upstream: upstream,
        })
    }

    fn turn(&self, places: &Places, case: &Case, duration: Duration) -> Result<Round> {
        let watch = self
            .service
            .as_ref()
            .map(|service| service.process.watch())
            .transpose()?;
        let watch = watch.map(Watch::sample);
        let outcome = match &case.work {
            Work::Requests { load, prompt_bytes } => {
                let body = write_request(places, *prompt_bytes)?;
                Outcome::Answers(load::run(&places.oha, load, duration, &self.target, &body)?)
            }
            Work::Streams { count, ramp } => Outcome::Streams(streams::run(
                &self.target,
                *count,
                self.setup.upstream.events,
                *ramp,
            )?),
        };
        let used = watch.map(Sampler::finish).transpose()?;
        Ok(Round {
            outcome,
            used: used.unwrap_or_default(),
        })
    }

    fn stop(self) -> Result<Record> {
        match self.service {
            Some(service) => service.stop(self.rows_before),
            None => Ok(Record::default()),
        }
    }
}

/// Writes a request with a prompt of so many bytes to a file, for the load generator.
pub(crate) fn write_request(places: &Places, prompt_bytes: usize) -> Result<PathBuf> {
    let body = places.scratch().join("request.json");
    let prompt = "Say hello. ".repeat(prompt_bytes / 11 + 1);
    let request = serde_json::json!({
        "model": "gemini-flash-latest",
        "messages": [{"role": "user", "content": prompt}],
    });
    std::fs::write(&body, request.to_string())?;
    Ok(body)
}

pub(crate) fn start_upstream(upstream: &Upstream) -> Result<Process> {
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new(program);
    command.arg("upstream").args(upstream.arguments());
    Process::start("the upstream", &mut command)
}

/// Measures a case: each setup once for warmth, then all in turns.
pub(crate) fn case(places: &Places, case: &Case, scale: Scale) -> Result<Vec<Measured>> {
    let running = case
        .setups
        .iter()
        .map(|setup| {
            Running::start(places, setup).with_context(|| format!("{}: {}", case.name, setup.label))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut answered = vec![0; running.len()];
    for (index, one) in running.iter().enumerate() {
        if let Work::Requests { .. } = case.work {
            answered[index] += one.turn(places, case, scale.turn / 4)?.answered();
        }
    }
    let mut rounds: Vec<Vec<Round>> = running.iter().map(|_| Vec::new()).collect();
    for _ in 0..scale.rounds {
        for (index, one) in running.iter().enumerate() {
            let round = one.turn(places, case, case.turn)?;
            answered[index] += round.answered();
            rounds[index].push(round);
        }
    }
    let parts = running.into_iter().zip(rounds).zip(answered);
    parts
        .map(|((running, rounds), answered)| {
            let label = running.setup.label;
            // What another gateway loses is no fault of this project's.
            let is_peer = matches!(running.setup.subject, Subject::Peer(_));
            let record = running.stop()?;
            let faults = if is_peer && answered > 0 {
                Vec::new()
            } else {
                faults(&rounds, &record, answered)
            };
            Ok(Measured {
                label,
                rounds,
                record,
                faults,
            })
        })
        .collect()
}

/// Whether each request was answered, and each answer is in the log.
fn faults(rounds: &[Round], record: &Record, answered: u64) -> Vec<String> {
    let mut faults: Vec<String> = rounds
        .iter()
        .flat_map(|round| round.failures().iter().cloned())
        .collect();
    if answered == 0 {
        faults.push("nothing was answered".to_owned());
    }
    if let Some(rows) = record.rows
        && rows != answered
    {
        faults.push(format!("{answered} answers, but {rows} rows in the log"));
    }
    faults.extend(record.complaints.iter().take(3).cloned());
    faults
}
