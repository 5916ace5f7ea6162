//! What an instance knows of the pool while the database is slow, or refuses.

use super::*;
use crate::gateway::kept::{Kept, MAX_AGE_AFTER_FAILURE_MS};
use crate::pool::{Change, CoolDown, KeyId, Outcome, Place, Scope};
use futures::future::{join, join_all};

fn kept(pool: &Pool) -> &Kept<NativeDatabase> {
    pool.gateway.kept.as_ref().unwrap()
}

#[test]
fn a_slow_reading_is_shared_by_all_who_wait_for_it() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let world = Rc::clone(&pool.outside.0);
    pool.database
        .before_each(move || world.now.set(world.now.get() + 400));
    let before = pool.database.statements();
    let all = (0..50).map(|_| kept(&pool).refresh(&pool.outside, MAX_AGE_AFTER_FAILURE_MS));
    assert!(block_on(join_all(all)).iter().all(Result::is_ok));
    assert_eq!(pool.database.statements() - before, 2);
    let late = kept(&pool).refresh(&pool.outside, MAX_AGE_AFTER_FAILURE_MS);
    block_on(late).unwrap();
    assert_eq!(pool.database.statements() - before, 4, "it was out of date");
}

#[test]
fn what_happens_while_the_view_is_read_is_not_forgotten() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let place = Place {
        scope: Scope::Key(KeyId(1)),
        model: None,
    };
    let cool_down = CoolDown {
        reason: Outcome::BillingExhausted,
        began_at: NOON,
        until: NOON.plus(1000),
        strikes: 1,
        trial_until: None,
    };
    let kept = kept(&pool);
    let reading = kept.refresh(&pool.outside, 0);
    let change = async { kept.change(Change::CoolDown(place.clone(), cool_down)) };
    block_on(join(reading, change)).0.unwrap();
    assert_eq!(kept.view().keys().len(), 1);
    assert_eq!(kept.view().cool_down(&place), Some(&cool_down));
    let before = pool.database.statements();
    block_on(kept.refresh(&pool.outside, MAX_AGE_AFTER_FAILURE_MS)).unwrap();
    assert_eq!(pool.database.statements(), before, "and the view is new");
}

#[test]
fn what_is_known_to_be_out_of_date_while_it_is_read_is_read_again() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let kept = kept(&pool);
    let reading = kept.refresh(&pool.outside, 0);
    block_on(join(reading, async { kept.outdate() })).0.unwrap();
    let before = pool.database.statements();
    block_on(kept.refresh(&pool.outside, 500)).unwrap();
    assert_eq!(pool.database.statements() - before, 2);
}

#[test]
fn a_pool_that_cannot_be_read_again_goes_on_with_what_it_knows() {
    let pool = Pool::new();
    pool.script(200, "application/json", &[ANSWER]);
    assert_eq!(pool.chat(CHAT).status, 200);
    pool.later(500);
    pool.database
        .fail("last_success_began_at, last_outcome", "disk I/O error", 10);
    for _ in 0..3 {
        pool.script(200, "application/json", &[ANSWER]);
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    let lines = pool.outside.0.log.borrow();
    let told = lines.iter().filter(|line| line.contains("disk I/O error"));
    assert_eq!(
        told.count(),
        1,
        "a reading that failed is not tried at once"
    );
}
