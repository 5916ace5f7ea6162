//! The upstream: projects with quotas as Google counts them, keys that die, and outages.

use gemini_keypool::pool::{Limit, Moment, Outcome, Unit, UnixMillis, Window};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use std::collections::VecDeque;

const MINUTE_MS: i64 = 60_000;

/// A Google project: its limits, and what was used of them.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) per_minute: u64,
    pub(crate) per_day: u64,
    recent: VecDeque<UnixMillis>,
    day: UnixMillis,
    today: u64,
    /// Answers since the start.
    pub(crate) answered: u64,
}

/// A key of a project.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) project: usize,
    /// When the upstream stops accepting it.
    pub(crate) dies_at: Option<UnixMillis>,
}

/// What the upstream does to every call for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 503 for all.
    Overloaded,
    /// Every key is rejected, though none is dead.
    RejectsAll,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) projects: Vec<Project>,
    pub(crate) keys: Vec<Key>,
    pub(crate) troubles: Vec<(UnixMillis, UnixMillis, Trouble)>,
}

/// What the upstream says to a call, and after how long.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) takes_ms: i64,
}

/// Plans of projects: calls per minute and day, and their share in percent. What Google's free tiers of several models
/// allow.
const PLANS: [(u64, u64, usize); 3] = [(5, 20, 70), (10, 250, 25), (15, 1000, 5)];

impl World {
    /// So many keys, every tenth of which shares its project with the one before.
    pub(crate) fn new(keys: usize) -> Self {
        let mut world = Self {
            projects: Vec::new(),
            keys: Vec::new(),
            troubles: Vec::new(),
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
                    answered: 0,
                });
            }
            world.keys.push(Key {
                project: world.projects.len() - 1,
                dies_at: None,
            });
        }
        world
    }

    /// Calls that the upstream would answer in a day.
    pub(crate) fn quota_per_day(&self) -> u64 {
        self.projects.iter().map(|project| project.per_day).sum()
    }

    pub(crate) fn is_dead(&self, key: usize, now: UnixMillis) -> bool {
        self.keys[key].dies_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn trouble(&self, now: UnixMillis) -> Option<Trouble> {
        let during = |(from, to, _): &&(UnixMillis, UnixMillis, Trouble)| *from <= now && now < *to;
        self.troubles
            .iter()
            .find(during)
            .map(|(_, _, trouble)| *trouble)
    }

    /// Answers a call with a key, and counts it where it is answered.
    pub(crate) fn call(&mut self, key: usize, now: &Moment, rng: &mut SmallRng) -> Reply {
        let refusal = |outcome| Reply {
            outcome,
            retry_after_ms: None,
            limits: Vec::new(),
            takes_ms: 80,
        };
        match self.trouble(now.at()) {
            Some(Trouble::Overloaded) => return refusal(Outcome::ModelOverloaded),
            Some(Trouble::RejectsAll) => return refusal(Outcome::KeyRejected),
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
                // As Google does: a delay that has nothing to do with the day.
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
        project.answered += 1;
        Reply {
            takes_ms: rng.random_range(400..4_000),
            ..refusal(Outcome::Success)
        }
    }

    /// Lets so many keys, each the only one of its project, die at times within a span.
    pub(crate) fn let_die(
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
