//! The last 60 seconds of a project and a model: what was used when, and the sum.

use super::Cost;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) const MINUTE_MS: i64 = 60_000;

/// Looking at it costs nothing for each call of the minute: the sum runs along, and what is over is at the front.
#[derive(Debug, Default)]
pub(super) struct Minute {
    /// Oldest first.
    recent: VecDeque<(i64, Cost)>,
    sum: Cost,
}

impl Minute {
    pub(super) fn add(&mut self, cost: Cost, now_ms: i64) {
        self.recent.push_back((now_ms, cost));
        self.sum = self.sum.plus(cost);
    }

    /// Drops what is over. Where the clock was set back, what was used later than now counts as used now: it is over
    /// after a minute, however far the clock went.
    pub(super) fn forget(&mut self, now_ms: i64) {
        let later = self.recent.iter_mut().rev();
        for (at, _) in later.take_while(|(at, _)| *at > now_ms) {
            *at = now_ms;
        }
        while let Some((at, cost)) = self.recent.front()
            && at.saturating_add(MINUTE_MS) <= now_ms
        {
            self.sum = self.sum.minus(*cost);
            self.recent.pop_front();
        }
    }

    /// How long `cost` has to wait until it fits into `limit`; `None` when it fits now. A cost that never fits waits
    /// for a minute.
    pub(super) fn delay(
        &self,
        limit: u64,
        part: fn(&Cost) -> u64,
        cost: &Cost,
        now_ms: i64,
    ) -> Option<Duration> {
        let mut sum = part(&self.sum).saturating_add(part(cost));
        if sum <= limit {
            return None;
        }
        for (at, cost) in &self.recent {
            sum = sum.saturating_sub(part(cost));
            if sum <= limit {
                let left = at.saturating_add(MINUTE_MS).saturating_sub(now_ms);
                return Some(milliseconds(left));
            }
        }
        Some(milliseconds(MINUTE_MS))
    }
}

pub(super) fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn cost(input_tokens: u64) -> Cost {
        Cost {
            requests: 1,
            input_tokens,
        }
    }

    fn delay(minute: &Minute, limit: u64, now_ms: i64) -> Option<Duration> {
        minute.delay(limit, |cost| cost.requests, &cost(0), now_ms)
    }

    #[test]
    fn what_is_over_is_dropped_and_no_longer_summed() {
        let mut minute = Minute::default();
        for second in 0..120 {
            minute.forget(second * 1000);
            minute.add(cost(2), second * 1000);
        }
        assert_eq!(minute.recent.len(), 60);
        let expected = Cost {
            requests: 60,
            input_tokens: 120,
        };
        assert_eq!(minute.sum, expected);
    }

    #[test]
    fn a_clock_set_back_keeps_nothing_for_longer_than_a_minute() {
        const HOUR: i64 = 3_600_000;
        let mut minute = Minute::default();
        minute.add(cost(1), HOUR - 1000);
        minute.add(cost(1), HOUR);
        minute.forget(0);
        assert_eq!(delay(&minute, 2, 0), Some(Duration::from_secs(60)));
        minute.add(cost(1), 1000);
        minute.forget(59_999);
        assert_eq!(
            delay(&minute, 3, 59_999),
            Some(Duration::from_millis(1)),
            "it is not lost either"
        );
        minute.forget(60_000);
        assert_eq!(minute.recent.len(), 1);
    }

    proptest! {
        #[test]
        fn it_says_the_same_as_counting_all_over_again(
            steps in prop::collection::vec((-90_000i64..90_000, 0u64..9), 1..40),
            limit in 0u64..30,
        ) {
            let mut minute = Minute::default();
            let mut all: Vec<(i64, u64)> = Vec::new();
            let mut now = 0;
            for (step, tokens) in steps {
                now += step;
                for (at, _) in &mut all {
                    *at = now.min(*at);
                }
                all.retain(|(at, _)| at + MINUTE_MS > now);
                minute.forget(now);
                let fits = all.iter().map(|(_, tokens)| tokens).sum::<u64>() + tokens <= limit;
                let delay = minute.delay(limit, |cost| cost.input_tokens, &cost(tokens), now);
                prop_assert_eq!(delay.is_none(), fits);
                minute.add(cost(tokens), now);
                all.push((now, tokens));
            }
        }
    }
}
