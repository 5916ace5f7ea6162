//! Which instance gets a request: decisions without side effects.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Limits of the instances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Instances that are kept when there is nothing to do.
    pub(crate) warm: usize,
    /// Instances that accept requests at the same time.
    pub(crate) max: usize,
    /// Concurrent requests of an instance.
    pub(crate) concurrent: usize,
    /// Requests after which an instance is replaced.
    pub(crate) requests: usize,
    /// The age at which an instance is replaced.
    pub(crate) age: Duration,
    /// How long an idle instance is kept that is not one of the warm ones.
    pub(crate) idle: Duration,
    /// Requests that may wait for an instance.
    pub(crate) queue: usize,
    /// How long an instance may compute without a pause, if that is limited.
    pub(crate) busy: Option<Duration>,
}

/// An instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An instance that exists.
    On(Id),
    /// An instance that must be started.
    OnNew(Id),
    /// It waits, because all instances are full.
    Waits,
}

/// An instance that accepts requests.
#[derive(Debug)]
struct Instance {
    id: Id,
    /// Requests under way.
    running: usize,
    /// Requests that it may still take.
    left: usize,
    /// When it is replaced.
    ends_at: Instant,
    /// Since when it has had no request, if it has none.
    idle_since: Instant,
}

/// The instances that accept requests, and the requests that wait for one.
#[derive(Debug)]
pub(crate) struct Instances<R> {
    limits: Limits,
    /// Oldest first.
    accepting: Vec<Instance>,
    waiting: VecDeque<R>,
    started: u64,
}

/// How instances end at different times: the shortest life is half of the longest.
const STAGGER: u32 = 8;

impl<R> Instances<R> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            accepting: Vec::new(),
            waiting: VecDeque::new(),
            started: 0,
        }
    }

    /// Chooses the instance for a request, which counts as running there until `release`.
    ///
    /// The warm instances share the load evenly. The others fill up one after the other, so that
    /// they become idle once the load is less.
    pub(crate) fn place(&mut self, now: Instant) -> Place {
        match self.choose() {
            Choice::On(index) => {
                let instance = &mut self.accepting[index];
                instance.running += 1;
                instance.left -= 1;
                let id = instance.id;
                if instance.left == 0 || instance.ends_at <= now {
                    self.accepting.remove(index);
                }
                Place::On(id)
            }
            Choice::New => Place::OnNew(self.start(now)),
            Choice::None => Place::Waits,
        }
    }

    fn choose(&self) -> Choice {
        let Limits {
            warm,
            max,
            concurrent,
            ..
        } = self.limits;
        let running = |index: &usize| self.accepting[*index].running;
        let shared = 0..warm.min(self.accepting.len());
        let further = shared.end..self.accepting.len();
        match shared.min_by_key(running) {
            Some(least) if running(&least) == 0 => Choice::On(least),
            _ if self.accepting.len() < warm => Choice::New,
            Some(least) if running(&least) < concurrent => Choice::On(least),
            _ => match further
                .into_iter()
                .find(|index| running(index) < concurrent)
            {
                Some(index) => Choice::On(index),
                None if self.accepting.len() < max => Choice::New,
                None => Choice::None,
            },
        }
    }

    /// Starts an instance with a request.
    fn start(&mut self, now: Instant) -> Id {
        let Limits { requests, age, .. } = self.limits;
        let id = Id(self.started);
        let step = u32::try_from(self.started % u64::from(STAGGER)).unwrap_or(0);
        self.started += 1;
        let left = requests - requests / (2 * STAGGER as usize) * step as usize;
        if left > 1 {
            self.accepting.push(Instance {
                id,
                running: 1,
                left: left - 1,
                ends_at: now + age - age / (2 * STAGGER) * step,
                idle_since: now,
            });
        }
        id
    }

    /// Whether an instance accepts requests.
    pub(crate) fn accepts(&self, id: Id) -> bool {
        self.accepting.iter().any(|instance| instance.id == id)
    }

    /// Ends a request on an instance.
    pub(crate) fn release(&mut self, id: Id, now: Instant) {
        if let Some(instance) = self.accepting.iter_mut().find(|instance| instance.id == id) {
            instance.running -= 1;
            instance.idle_since = now;
        }
    }

    /// Forgets an instance, such as one that has failed.
    pub(crate) fn forget(&mut self, id: Id) {
        self.accepting.retain(|instance| instance.id != id);
    }

    /// Forgets instances that have been idle for long enough and are not needed as warm ones.
    /// Returns whether there are more instances than warm ones.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let Limits { warm, idle, .. } = self.limits;
        let mut index = 0;
        self.accepting.retain(|instance| {
            index += 1;
            index <= warm || instance.running > 0 || now < instance.idle_since + idle
        });
        self.accepting.len() > warm
    }

    /// Whether there are more instances than warm ones.
    pub(crate) fn has_surplus(&self) -> bool {
        self.accepting.len() > self.limits.warm
    }

    /// Lets a request wait.
    ///
    /// # Errors
    /// The queue is full; the request is returned.
    pub(crate) fn wait(&mut self, request: R) -> Result<(), R> {
        if self.waiting.len() >= self.limits.queue {
            return Err(request);
        }
        self.waiting.push_back(request);
        Ok(())
    }

    /// The request that has waited longest.
    pub(crate) fn next_waiting(&mut self) -> Option<R> {
        self.waiting.pop_front()
    }

    /// Puts a request back to where `next_waiting` took it from.
    pub(crate) fn wait_again(&mut self, request: R) {
        self.waiting.push_front(request);
    }
}

enum Choice {
    /// The instance at this index.
    On(usize),
    New,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        warm: 2,
        max: 4,
        concurrent: 3,
        requests: 1000,
        age: Duration::from_secs(3600),
        idle: Duration::from_secs(1),
        queue: 2,
        busy: None,
    };

    fn instances(limits: Limits) -> (Instances<u32>, Instant) {
        (Instances::new(limits), Instant::now())
    }

    /// Places so many requests and returns the numbers of their instances.
    fn place(instances: &mut Instances<u32>, requests: usize, now: Instant) -> Vec<Option<u64>> {
        let mut place = || match instances.place(now) {
            Place::On(Id(id)) | Place::OnNew(Id(id)) => Some(id),
            Place::Waits => None,
        };
        (0..requests).map(|_| place()).collect()
    }

    #[test]
    fn an_idle_instance_is_reused_before_another_is_started() {
        let (mut instances, now) = instances(LIMITS);
        assert_eq!(instances.place(now), Place::OnNew(Id(0)));
        instances.release(Id(0), now);
        assert_eq!(instances.place(now), Place::On(Id(0)));
        assert_eq!(instances.place(now), Place::OnNew(Id(1)));
    }

    #[test]
    fn warm_instances_share_the_load_and_others_fill_up_in_turn() {
        let (mut instances, now) = instances(LIMITS);
        let placed = place(&mut instances, 13, now);
        let expected = [0, 1, 0, 1, 0, 1, 2, 2, 2, 3, 3, 3].map(Some);
        assert_eq!(placed[..12], expected);
        assert_eq!(placed[12], None, "all are full");
        instances.release(Id(3), now);
        instances.release(Id(2), now);
        assert_eq!(instances.place(now), Place::On(Id(2)));
    }

    #[test]
    fn the_queue_is_in_order_and_bounded() {
        let (mut instances, _) = instances(LIMITS);
        assert_eq!(instances.wait(1), Ok(()));
        assert_eq!(instances.wait(2), Ok(()));
        assert_eq!(instances.wait(3), Err(3));
        assert_eq!(instances.next_waiting(), Some(1));
        instances.wait_again(1);
        assert_eq!(instances.next_waiting(), Some(1));
        assert_eq!(instances.next_waiting(), Some(2));
        assert_eq!(instances.next_waiting(), None);
    }

    #[test]
    fn an_instance_is_replaced_after_its_requests() {
        for (requests, expected) in [(1, vec![0, 1, 2, 3]), (2, vec![0, 0, 1, 1])] {
            let (mut instances, now) = instances(Limits { requests, ..LIMITS });
            let mut placed = Vec::new();
            for _ in 0..4 {
                let id = place(&mut instances, 1, now)[0].unwrap();
                instances.release(Id(id), now);
                placed.push(id);
            }
            assert_eq!(placed, expected);
        }
    }

    #[test]
    fn an_instance_is_replaced_at_its_age() {
        let (mut instances, now) = instances(LIMITS);
        let later = now + LIMITS.age;
        assert_eq!(place(&mut instances, 1, now), [Some(0)]);
        instances.release(Id(0), now);
        assert_eq!(place(&mut instances, 1, later), [Some(0)], "its last");
        instances.release(Id(0), later);
        assert_eq!(place(&mut instances, 1, later), [Some(1)]);
    }

    #[test]
    fn instances_end_at_different_times() {
        let (mut instances, now) = instances(Limits { warm: 8, ..LIMITS });
        place(&mut instances, 8, now);
        let lives: Vec<_> = instances
            .accepting
            .iter()
            .map(|instance| (instance.left, instance.ends_at))
            .collect();
        assert!(lives.is_sorted_by(|one, next| one.0 > next.0 && one.1 > next.1));
        assert_eq!(lives[0], (999, now + LIMITS.age));
        assert!(lives[7].0 > 500 && lives[7].1 > now + LIMITS.age / 2);
    }

    #[test]
    fn idle_instances_beyond_the_warm_ones_expire() {
        let (mut instances, now) = instances(LIMITS);
        place(&mut instances, 7, now);
        assert!(instances.has_surplus());
        let later = now + LIMITS.idle;
        assert!(instances.expire(later), "instance 2 is busy");
        instances.release(Id(2), later);
        assert!(instances.expire(later), "instance 2 has just become idle");
        assert!(!instances.expire(later + LIMITS.idle));
        assert!(instances.accepts(Id(1)) && !instances.accepts(Id(2)));
    }

    #[test]
    fn a_lost_instance_gets_no_request() {
        let (mut instances, now) = instances(LIMITS);
        place(&mut instances, 2, now);
        instances.forget(Id(0));
        instances.release(Id(0), now);
        assert_eq!(place(&mut instances, 1, now), [Some(2)]);
    }
}
