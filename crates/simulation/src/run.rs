//! The virtual clock, which jumps from event to event, and the rules that every run must keep.

use crate::chooser::{Chooser, MODEL, Next, POLICY, Request, Strategy, is_429};
use crate::world::{Outage, Reply, World};
use gemini_keypool::pool::{KeyId, KeyStatus, Moment, Pick, RetryBudget, UnixMillis, Verdict};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
/// 12:00 in Los Angeles on a winter day.
pub(crate) const START: UnixMillis = UnixMillis(1_800_043_200_000);

/// Days before the measured one, in which the pool learns limits.
const DAYS_BEFORE: i64 = 2;

/// A simulated situation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) keys: usize,
    /// Demand in percent of the projects' daily quotas.
    pub(crate) demand_percent: u64,
    /// Keys that die at random times.
    pub(crate) dying: usize,
    /// Whether there are ten minutes of overload, and ten in which every key is rejected.
    pub(crate) outages: bool,
    pub(crate) seed: u64,
}

/// The figures of the measured day.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) succeeded: u64,
    pub(crate) calls: u64,
    pub(crate) quota_refusals: u64,
    pub(crate) max_attempts: usize,
    /// Broken rules, of all days.
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn success_percent(&self) -> f64 {
        100.0 * self.succeeded as f64 / self.requests.max(1) as f64
    }

    pub(crate) fn quota_percent(&self) -> f64 {
        100.0 * self.quota_refusals as f64 / self.calls.max(1) as f64
    }

    pub(crate) fn calls_per_request(&self) -> f64 {
        self.calls as f64 / self.requests.max(1) as f64
    }
}

enum Event {
    Arrival,
    Attempt(u64),
    Reply(u64, Box<Pick>, UnixMillis, Reply),
}

struct Simulation {
    world: World,
    chooser: Chooser,
    strategy: Strategy,
    rng: SmallRng,
    queue: BinaryHeap<Reverse<(UnixMillis, u64)>>,
    events: HashMap<u64, Event>,
    next_event: u64,
    requests: HashMap<u64, (Request, bool)>,
    measured_from: UnixMillis,
    end: UnixMillis,
    report: Report,
}

/// Runs a scenario.
pub(crate) fn run(scenario: Scenario, strategy: Strategy) -> Report {
    let mut rng = SmallRng::seed_from_u64(scenario.seed);
    let mut world = World::new(scenario.keys);
    let measured_from = START.plus(DAYS_BEFORE * DAY_MS);
    let end = measured_from.plus(DAY_MS);
    world.schedule_deaths(scenario.dying, START, end.since(START), &mut rng);
    if scenario.outages {
        let from = measured_from.plus(2 * HOUR_MS);
        let minutes = |minutes: i64| from.plus(minutes * 60_000);
        world
            .outages
            .push((minutes(0), minutes(10), Outage::Overloaded));
        world
            .outages
            .push((minutes(60), minutes(70), Outage::RejectsAll));
    }
    let chooser = Chooser::new(strategy, world.keys.iter().map(|key| key.project));
    let per_day = world.quota_per_day() * scenario.demand_percent / 100;
    let mut simulation = Simulation {
        world,
        chooser,
        strategy,
        rng,
        queue: BinaryHeap::new(),
        events: HashMap::new(),
        next_event: 0,
        requests: HashMap::new(),
        measured_from,
        end,
        report: Report::default(),
    };
    simulation.run(per_day);
    simulation.report
}

/// Demand relative to its average: more by day than by night, with a burst of eight times the
/// traffic for two minutes every three hours.
fn pace(since_start_ms: i64) -> f64 {
    let hour = (since_start_ms % DAY_MS) as f64 / HOUR_MS as f64;
    let tide = 0.93 + 0.5 * (hour * std::f64::consts::TAU / 24.0).sin();
    let is_burst = since_start_ms % (3 * HOUR_MS) < 120_000;
    if is_burst { tide * 8.0 } else { tide }
}

impl Simulation {
    fn schedule(&mut self, at: UnixMillis, event: Event) {
        self.events.insert(self.next_event, event);
        self.queue.push(Reverse((at, self.next_event)));
        self.next_event += 1;
    }

    fn run(&mut self, per_day: u64) {
        let gap_ms = DAY_MS as f64 / per_day as f64;
        self.schedule(START, Event::Arrival);
        while let Some(Reverse((at, id))) = self.queue.pop() {
            let now = Moment::new(at);
            match self.events.remove(&id) {
                None => {}
                Some(Event::Arrival) => {
                    let uniform: f64 = self.rng.random_range(f64::EPSILON..1.0);
                    let gap = -uniform.ln() * gap_ms / pace(at.since(START));
                    let next = at.plus(gap.round() as i64);
                    if next < self.end {
                        self.schedule(next, Event::Arrival);
                    }
                    let is_measured = at >= self.measured_from;
                    self.report.requests += u64::from(is_measured);
                    self.requests.insert(id, (Request::new(at), is_measured));
                    self.send(id, &now);
                }
                Some(Event::Attempt(request)) => self.send(request, &now),
                Some(Event::Reply(request, pick, began_at, reply)) => {
                    self.on_reply(request, &pick, began_at, &reply, at);
                }
            }
        }
        self.check_end();
    }

    fn send(&mut self, id: u64, now: &Moment) {
        let Some((mut request, is_measured)) = self.requests.remove(&id) else {
            return;
        };
        let tried = request.tried.clone();
        match self.chooser.next(&mut request, now, &mut self.rng) {
            Next::GiveUp => {}
            Next::Wait(ms) => {
                self.requests.insert(id, (request, is_measured));
                self.schedule(now.at().plus(ms), Event::Attempt(id));
            }
            Next::Send(pick) => {
                if self.strategy == Strategy::Keypool {
                    self.check_pick(&pick, &tried, request.all_eligible);
                }
                let key = usize::try_from(pick.key.id.0).unwrap_or_default();
                let reply = self.world.call(key, now, &mut self.rng);
                if is_measured {
                    self.report.calls += 1;
                    self.report.quota_refusals += u64::from(is_429(reply.outcome));
                    self.report.max_attempts = self.report.max_attempts.max(request.tried.len());
                }
                self.requests.insert(id, (request, is_measured));
                let ends_at = now.at().plus(reply.takes_ms);
                self.schedule(ends_at, Event::Reply(id, pick, now.at(), reply));
            }
        }
    }

    fn on_reply(
        &mut self,
        id: u64,
        pick: &Pick,
        began_at: UnixMillis,
        reply: &Reply,
        now: UnixMillis,
    ) {
        let Some((mut request, is_measured)) = self.requests.remove(&id) else {
            return;
        };
        let back_off =
            self.chooser
                .on_reply(&mut request, pick, began_at, reply, now, &mut self.rng);
        let answered = reply.outcome.verdict() == Verdict::Works;
        self.report.succeeded += u64::from(is_measured && answered);
        if self.strategy == Strategy::Keypool {
            self.check_state(pick, now);
        }
        if let Some(ms) = back_off {
            self.requests.insert(id, (request, is_measured));
            self.schedule(now.plus(ms), Event::Attempt(id));
        }
    }

    fn check_pick(&mut self, pick: &Pick, tried: &[KeyId], is_eligible: bool) {
        if tried.contains(&pick.key.id) {
            self.report
                .violations
                .push(format!("key {} was used twice for a request", pick.key.id));
        }
        if tried.len() >= POLICY.max_attempts as usize {
            self.report
                .violations
                .push(format!("{} attempts", tried.len() + 1));
        }
        if !is_eligible {
            self.report.violations.push(format!(
                "key {} was used while it was not eligible",
                pick.key.id
            ));
        }
    }

    /// No key may be disabled for a fault that is not its own.
    fn check_state(&mut self, pick: &Pick, now: UnixMillis) {
        let Some(key) = self.chooser.snapshot.key(pick.key.id) else {
            return;
        };
        let index = usize::try_from(key.id.0).unwrap_or_default();
        // In a wave, the first two may be disabled until the third shows that it is one.
        let is_wave =
            self.world.outage(now).is_some() || self.world.outage(now.plus(-1_000)).is_some();
        if key.state.status != KeyStatus::Active && !self.world.is_dead(index, now) && !is_wave {
            self.report.violations.push(format!(
                "key {} is disabled for a fault not its own",
                key.id
            ));
        }
    }

    fn check_end(&mut self) {
        if self.strategy != Strategy::Keypool {
            return;
        }
        let now = self.end.plus(HOUR_MS);
        for (index, key) in self.chooser.snapshot.keys().iter().enumerate() {
            if key.state.status == KeyStatus::Disabled && !self.world.is_dead(index, now) {
                self.report.violations.push(format!(
                    "key {} stays disabled for a fault not its own",
                    key.id
                ));
            }
            if key.last_success_began_at.is_none() && !self.world.is_dead(index, now) {
                self.report
                    .violations
                    .push(format!("key {} was never used for {MODEL}", key.id));
            }
        }
        let budget = RetryBudget::default();
        for (calls, retries) in self.chooser.minutes() {
            let allowed = budget.floor + calls * budget.percent / 100;
            if *retries > allowed {
                self.report
                    .violations
                    .push(format!("{retries} retries in a minute of {calls} calls"));
            }
        }
    }
}
