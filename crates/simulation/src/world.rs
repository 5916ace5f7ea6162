//! The upstream: projects with quotas as Google counts them, keys that die, and outages.

use gemini_keypool::pool::{Limit, Moment, Outcome, Unit, UnixMillis, Window};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use std::collections::VecDeque;

const MINUTE_MS: i64 = 60_000;

/// A Google project: its limits and usage.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) per_minute: u64,
    pub(crate) per_day: u64,
    recent: VecDeque<UnixMillis>,
    day: UnixMillis,
    today: u64,
}

/// A key of a project.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) project: usize,
    /// When the upstream stops accepting it.
    pub(crate) dies_at: Option<UnixMillis>,
}

/// What happens to every call during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The answer is 503.
    Overloaded,
    /// Every key is rejected, although none is dead.
    RejectsAll,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) projects: Vec<Project>,
    pub(crate) keys: Vec<Key>,
    pub(crate) outages: Vec<(UnixMillis, UnixMillis, Outage)>,
}

/// The upstream's reply to a call.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) takes_ms: i64,
}

/// Calls per minute and per day of Google's free tiers, and each tier's share in percent.
const PLANS: [(u64, u64, usize); 3] = [(5, 20, 70), (10, 250, 25), (15, 1000, 5)];

impl World {
    /// Creates keys, every tenth of which shares its project with the one before.
    pub(crate) fn new(keys: usize) -> Self {
        let mut world = Self {
            projects: Vec::new(),
            keys: Vec::new(),
            outages: Vec::new(),
        };
        for index in 0..keys {
            if index % 10 != 9 {
                let mut place = world.projects.len() * 37 % 100;
                let plan = PLANS.iter().find(|(_, _, share)| {
                    let found = place < *share;
                    place = place.saturating_sub(*share);
                    found
                });
                let (per_minute, per_day, _) = plan.copied().unwrap_or(PLANS[0]);
                world.projects.push(Project {
                    per_minute,
                    per_day,
                    recent: VecDeque::new(),
                    day: UnixMillis(0),
                    today: 0,
                });
            }
            world.keys.push(Key {
                project: world.projects.len() - 1,
                dies_at: None,
            });
        }
        world
    }

    /// Calls that the upstream answers per day.
    pub(crate) fn quota_per_day(&self) -> u64 {
        self.projects.iter().map(|project| project.per_day).sum()
    }

    pub(crate) fn is_dead(&self, key: usize, now: UnixMillis) -> bool {
        self.keys[key].dies_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn outage(&self, now: UnixMillis) -> Option<Outage> {
        let during = |(from, to, _): &&(UnixMillis, UnixMillis, Outage)| *from <= now && now < *to;
        self.outages
            .iter()
            .find(during)
            .map(|(_, _, outage)| *outage)
    }

    /// Answers a call, and counts it if it succeeds.
    pub(crate) fn call(&mut self, key: usize, now: &Moment, rng: &mut SmallRng) -> Reply {
        let refusal = |outcome| Reply {
            outcome,
            retry_after_ms: None,
            limits: Vec::new(),
            takes_ms: 80,
        };
        match self.outage(now.at()) {
            Some(Outage::Overloaded) => return refusal(Outcome::ModelOverloaded),
            Some(Outage::RejectsAll) => return refusal(Outcome::KeyRejected),
            None if self.is_dead(key, now.at()) => return refusal(Outcome::KeyRejected),
            None => {}
        }
        let project = &mut self.projects[self.keys[key].project];
        project.tick(now);
        let limit = |window, value| {
            vec![Limit {
                unit: Unit::Requests,
                window,
                value,
            }]
        };
        if project.today >= project.per_day {
            return Reply {
                // Like Google's, a delay that has nothing to do with the day.
                retry_after_ms: Some(22_000),
                limits: limit(Window::Day, project.per_day),
                ..refusal(Outcome::QuotaPerDay)
            };
        }
        if project.recent.len() as u64 >= project.per_minute {
            let oldest = project.recent.front().copied().unwrap_or(now.at());
            let wait = oldest.plus(MINUTE_MS).since(now.at());
            return Reply {
                retry_after_ms: u64::try_from(wait).ok(),
                limits: limit(Window::Minute, project.per_minute),
                ..refusal(Outcome::QuotaPerMinute)
            };
        }
        project.recent.push_back(now.at());
        project.today += 1;
        Reply {
            takes_ms: rng.random_range(400..4_000),
            ..refusal(Outcome::Success)
        }
    }

    /// Chooses keys, each the only one of its project, to die at random times within a span.
    pub(crate) fn schedule_deaths(
        &mut self,
        count: usize,
        from: UnixMillis,
        span_ms: i64,
        rng: &mut impl Rng,
    ) {
        let all = self.keys.len();
        for index in 0..count {
            let key = &mut self.keys[(index * 20 + 4) % all];
            key.dies_at = Some(from.plus(rng.random_range(0..span_ms)));
        }
    }
}

impl Project {
    fn tick(&mut self, now: &Moment) {
        while self
            .recent
            .front()
            .is_some_and(|at| at.plus(MINUTE_MS) <= now.at())
        {
            self.recent.pop_front();
        }
        if self.day != now.day_start() {
            self.day = now.day_start();
            self.today = 0;
        }
    }
}
