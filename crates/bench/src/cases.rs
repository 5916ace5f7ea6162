//! What is measured. Each case sets up what it compares side by side, and lets them take turns.

use crate::load::Load;
use crate::peers::Peer;
use crate::service::Pool;
use crate::upstream::Upstream;
use std::time::Duration;

/// What answers in a setup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The upstream itself.
    Direct,
    /// The component that only forwards.
    Bare,
    /// The pool.
    Pool(Pool),
    /// Another gateway.
    Peer(Peer),
}

/// One of the things that a case compares.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) label: &'static str,
    pub(crate) subject: Subject,
    pub(crate) upstream: Upstream,
}

/// What is asked of each setup.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Plain chat completions, with a prompt of so many bytes.
    Requests { load: Load, prompt_bytes: usize },
    /// Streams that begin within `ramp`.
    Streams { count: usize, ramp: Duration },
}

/// One comparison.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// For `--only`.
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) setups: Vec<Setup>,
    pub(crate) work: Work,
    /// How long one turn takes; streams take what they take.
    pub(crate) turn: Duration,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Of a turn that is neither longer nor shorter than others.
    pub(crate) turn: Duration,
    pub(crate) streams: usize,
    pub(crate) events: usize,
    pub(crate) log_rows: u64,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        turn: Duration::from_millis(1500),
        streams: 1000,
        events: 60,
        log_rows: 10_000_000,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        turn: Duration::from_millis(400),
        streams: 100,
        events: 20,
        log_rows: 20_000,
    };
}

pub(crate) const DIRECT: &str = "direct";
pub(crate) const BARE: &str = "bare component";
pub(crate) const POOL: &str = "pool";
pub(crate) const POOL_AFTER: &str = "pool, log after";

fn direct(upstream: &Upstream) -> Setup {
    Setup {
        label: DIRECT,
        subject: Subject::Direct,
        upstream: upstream.clone(),
    }
}

fn bare(upstream: &Upstream) -> Setup {
    Setup {
        label: BARE,
        subject: Subject::Bare,
        upstream: upstream.clone(),
    }
}

fn pool(upstream: &Upstream) -> Setup {
    pool_with(POOL, upstream, Pool::default())
}

fn pool_after(upstream: &Upstream) -> Setup {
    let variables = vec![("log_commit", "after")];
    pool_with(
        POOL_AFTER,
        upstream,
        Pool {
            variables,
            ..Pool::default()
        },
    )
}

fn pool_with(label: &'static str, upstream: &Upstream, pool: Pool) -> Setup {
    Setup {
        label,
        subject: Subject::Pool(Pool {
            keys: upstream.keys,
            ..pool
        }),
        upstream: upstream.clone(),
    }
}

fn closed(connections: usize) -> Work {
    Work::Requests {
        load: Load {
            connections,
            rate: None,
        },
        prompt_bytes: 10,
    }
}

/// All cases, in the order in which they run.
pub(crate) fn all(scale: Scale) -> Vec<Case> {
    let usual = Upstream::default();
    let slow = Upstream {
        delay_ms: 60,
        ..Upstream::default()
    };
    let turn = scale.turn;
    let mut cases = vec![
        Case {
            name: "sequential",
            what: "one request after the other".to_owned(),
            setups: vec![
                direct(&usual),
                bare(&usual),
                pool(&usual),
                pool_after(&usual),
            ],
            work: closed(1),
            turn,
        },
        Case {
            name: "32",
            what: "32 connections, as fast as they are answered".to_owned(),
            setups: vec![
                direct(&usual),
                bare(&usual),
                pool(&usual),
                pool_after(&usual),
            ],
            work: closed(32),
            turn,
        },
    ];
    for (name, connections) in [("256", 256), ("1000", 1000)] {
        cases.push(Case {
            name,
            what: format!("{connections} connections"),
            setups: vec![bare(&usual), pool(&usual)],
            work: closed(connections),
            turn,
        });
    }
    let keys = [
        ("10 keys", 10),
        ("100 keys", 100),
        ("1000 keys", 1000),
        ("10000 keys", 10_000),
    ];
    cases.push(Case {
        name: "keys",
        what: "32 connections, by keys".to_owned(),
        setups: keys
            .iter()
            .map(|(label, keys)| {
                let upstream = Upstream {
                    keys: *keys,
                    ..Upstream::default()
                };
                pool_with(label, &upstream, Pool::default())
            })
            .collect(),
        work: closed(32),
        turn,
    });
    cases.push(Case {
        name: "rate",
        what: "an upstream of 60 ms at 500 requests a second".to_owned(),
        setups: vec![direct(&slow), bare(&slow), pool(&slow)],
        work: Work::Requests {
            load: Load {
                connections: 100,
                rate: Some(500),
            },
            prompt_bytes: 10,
        },
        turn: turn * 2,
    });
    let talking = Upstream {
        events: scale.events,
        ..Upstream::default()
    };
    cases.push(Case {
        name: "streams",
        what: format!("{} streams of 20 events a second", scale.streams),
        setups: vec![direct(&talking), bare(&talking), pool(&talking)],
        work: Work::Streams {
            count: scale.streams,
            ramp: Duration::from_secs(1),
        },
        turn,
    });
    let half = Upstream {
        half_exhausted: true,
        ..Upstream::default()
    };
    cases.push(Case {
        name: "storm",
        what: "32 connections; half of the keys answer 429, to be asked again after a second"
            .to_owned(),
        setups: vec![
            pool_with("none exhausted", &usual, Pool::default()),
            pool_with("half exhausted", &half, Pool::default()),
        ],
        work: closed(32),
        turn: turn * 2,
    });
    let large = Upstream {
        answer_bytes: 5 << 20,
        ..Upstream::default()
    };
    cases.push(Case {
        name: "large",
        what: "8 connections, a request of 1 MiB, an answer of 5 MiB".to_owned(),
        setups: vec![bare(&large), pool(&large)],
        work: Work::Requests {
            load: Load {
                connections: 8,
                rate: None,
            },
            prompt_bytes: 1 << 20,
        },
        turn,
    });
    let nagle = |label| {
        let pool = Pool {
            host_arguments: vec!["--nagle"],
            ..Pool::default()
        };
        pool_with(label, &usual, pool)
    };
    cases.push(Case {
        name: "nagle",
        what: "one request after the other, with Nagle's algorithm on in the host".to_owned(),
        setups: vec![direct(&usual), nagle(POOL)],
        work: closed(1),
        turn,
    });
    cases.push(Case {
        name: "cold",
        what: "one request after the other, each to a new instance".to_owned(),
        setups: vec![
            pool_with("warm", &usual, Pool::default()),
            pool_with(
                "cold",
                &usual,
                Pool {
                    host_arguments: vec!["--max-instance-reuse-count=1"],
                    ..Pool::default()
                },
            ),
        ],
        work: closed(1),
        turn,
    });
    let many = Upstream {
        keys: 1000,
        ..Upstream::default()
    };
    cases.push(Case {
        name: "log",
        what: format!(
            "32 connections, 1,000 keys, a log of {} rows",
            scale.log_rows
        ),
        setups: vec![
            pool_with("empty log", &many, Pool::default()),
            pool_with(
                "long log",
                &many,
                Pool {
                    log_rows: scale.log_rows,
                    ..Pool::default()
                },
            ),
        ],
        work: closed(32),
        turn,
    });
    cases
}

/// The pool beside other gateways.
pub(crate) fn peers(scale: Scale) -> Case {
    let usual = Upstream::default();
    let peer = |peer: Peer| Setup {
        label: peer.label(),
        subject: Subject::Peer(peer),
        upstream: usual.clone(),
    };
    Case {
        name: "peers",
        what: "32 connections, beside other gateways with one key and no log".to_owned(),
        setups: vec![
            bare(&usual),
            pool(&usual),
            peer(Peer::LiteLlm),
            peer(Peer::Portkey),
        ],
        work: closed(32),
        turn: scale.turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_tell_cases_and_labels_tell_setups_apart() {
        let cases = all(Scale::FULL);
        let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        for case in cases {
            let labels: HashSet<_> = case.setups.iter().map(|setup| setup.label).collect();
            assert_eq!(labels.len(), case.setups.len(), "{}", case.name);
        }
    }
}
