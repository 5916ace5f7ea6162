//! The cases: what each compares, and the load it applies.

use crate::load::Api;
use crate::upstream::Upstream;
use std::time::Duration;

/// What is compared with the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The upstream itself and the component that only forwards.
    Baselines,
    /// Another build of the pool.
    Builds,
}

/// What answers the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The upstream itself.
    Direct,
    /// The component that only forwards.
    Bare,
    /// This build of the pool.
    Pool,
    /// This build of the pool, with `log_commit=after`.
    PoolLogAfter,
    /// The build of `--against`.
    OtherPool,
    /// The build of `--against`, with `log_commit=after`.
    OtherPoolLogAfter,
}

impl Subject {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bare => "bare component",
            Self::Pool => "pool",
            Self::PoolLogAfter => "pool, log_commit=after",
            Self::OtherPool => "other build",
            Self::OtherPoolLogAfter => "other build, log_commit=after",
        }
    }

    /// The subject in the build of `--against`, if it is the pool.
    fn other(self) -> Option<Self> {
        match self {
            Self::Pool => Some(Self::OtherPool),
            Self::PoolLogAfter => Some(Self::OtherPoolLogAfter),
            Self::Direct | Self::Bare | Self::OtherPool | Self::OtherPoolLogAfter => None,
        }
    }
}

/// The requests of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// Plain chat completions on so many connections, each as fast as it is answered.
    Requests {
        connections: usize,
        prompt_bytes: usize,
    },
    /// Streams that start within `ramp`, each on its own connection.
    Streams { count: usize, ramp: Duration },
}

/// One comparison: of subjects, or of the APIs of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) subjects: Vec<Subject>,
    /// The first one is what the others are compared with.
    pub(crate) apis: Vec<Api>,
    pub(crate) upstream: Upstream,
    pub(crate) load: Load,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// The length of a turn; streams take as long as they take.
    pub(crate) turn: Duration,
    streams: usize,
    events: usize,
    translated_streams: usize,
    translated_events: usize,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        turn: Duration::from_millis(1500),
        streams: 1000,
        events: 60,
        translated_streams: 100,
        translated_events: 200,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        turn: Duration::from_millis(400),
        streams: 100,
        events: 20,
        translated_streams: 20,
        translated_events: 20,
    };
}

/// The names of all cases.
pub(crate) const NAMES: [&str; 9] = [
    "sequential",
    "32",
    "after",
    "256",
    "1000",
    "keys",
    "large",
    "streams",
    "translation",
];

/// All cases, in the order in which they run.
pub(crate) fn all(comparison: Comparison, scale: Scale) -> Vec<Case> {
    let case = |name| case(name, scale);
    let mut cases: Vec<Case> = NAMES.into_iter().map(case).collect();
    if comparison == Comparison::Builds {
        for case in &mut cases {
            let pools = case.subjects.iter();
            let pools = pools.filter_map(|subject| Some([*subject, subject.other()?]));
            case.subjects = pools.flatten().collect();
            case.apis = case.apis.pop().into_iter().collect();
        }
    }
    cases
}

/// The case of a name, compared with baselines.
fn case(name: &'static str, scale: Scale) -> Case {
    let requests = |connections, prompt_bytes| Load::Requests {
        connections,
        prompt_bytes,
    };
    let mut subjects = vec![Subject::Direct, Subject::Bare, Subject::Pool];
    let mut apis = vec![Api::Chat];
    let mut upstream = Upstream::default();
    let (what, load) = match name {
        "sequential" => ("one request at a time".to_owned(), requests(1, 10)),
        "32" => ("32 connections".to_owned(), requests(32, 10)),
        "after" => {
            subjects = vec![Subject::Direct, Subject::Bare, Subject::PoolLogAfter];
            (
                "32 connections, log_commit=after".to_owned(),
                requests(32, 10),
            )
        }
        "256" => ("256 connections".to_owned(), requests(256, 10)),
        "1000" => {
            let connections = scale.streams;
            (
                format!("{connections} connections"),
                requests(connections, 10),
            )
        }
        "keys" => {
            upstream.keys = 10_000;
            ("32 connections, 10,000 keys".to_owned(), requests(32, 10))
        }
        "large" => {
            upstream.answer_bytes = 5 << 20;
            let what = "8 connections, requests of 1 MiB, answers of 5 MiB";
            (what.to_owned(), requests(8, 1 << 20))
        }
        "streams" => {
            upstream.events = scale.events;
            streams(scale.streams, &upstream)
        }
        _ => {
            subjects = vec![Subject::Pool];
            apis = vec![Api::Gemini, Api::Messages, Api::Responses];
            upstream.events = scale.translated_events;
            upstream.gap_ms = 20;
            streams(scale.translated_streams, &upstream)
        }
    };
    Case {
        name,
        what,
        subjects,
        apis,
        upstream,
        load,
    }
}

fn streams(count: usize, upstream: &Upstream) -> (String, Load) {
    let load = Load::Streams {
        count,
        ramp: Duration::from_secs(1),
    };
    let rate = 1000 / upstream.gap_ms;
    (format!("{count} streams of {rate} events a second"), load)
}
