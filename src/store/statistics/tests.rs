use super::super::delete_expired;
use super::super::testing::{NOW, NativeDatabase};
use super::*;
use crate::pool::HOUR_MS;
use futures::executor::block_on;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A call of hour `hour` of a day, and its durations.
#[derive(Debug, Clone)]
struct Call {
    hour: i64,
    key: i64,
    token: Option<i64>,
    model: &'static str,
    outcome: &'static str,
    duration_ms: i64,
    first_byte_ms: Option<i64>,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Of any magnitude.
    let ms = (0u32..24, 0i64..1 << 24).prop_map(|(shift, ms)| ms >> shift);
    let call = (
        0i64..3,
        1i64..3,
        prop::option::of(1i64..3),
        prop::sample::select(vec!["a", "b"]),
        prop::sample::select(vec!["success", "quota_per_day"]),
        ms.clone(),
        prop::option::of(ms),
    );
    let call = call.prop_map(
        |(hour, key, token, model, outcome, duration_ms, first_byte_ms)| Call {
            hour,
            key,
            token,
            model,
            outcome,
            duration_ms,
            first_byte_ms,
        },
    );
    prop::collection::vec(call, 1..60)
}

fn database_with(calls: &[Call]) -> NativeDatabase {
    let database = NativeDatabase::migrated();
    for call in calls {
        let insert = "INSERT INTO api_call_logs (api_key_id, success, called_at, model, outcome, token_id, response_time_ms, first_byte_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let row = (
            call.key,
            call.outcome == "success",
            NOW.plus(call.hour * HOUR_MS).to_iso(),
            call.model,
            call.outcome,
            call.token,
            call.duration_ms,
            call.first_byte_ms,
        );
        database.connection.execute(insert, row).unwrap();
    }
    database
}

fn groups(
    database: &NativeDatabase,
    filter: &CallFilter,
    by: &[Dimension],
    limit: u64,
) -> Vec<CallGroup> {
    groups_at(database, NOW, filter, by, limit)
}

/// All groups, read in pages.
fn groups_at(
    database: &NativeDatabase,
    now: UnixMillis,
    filter: &CallFilter,
    by: &[Dimension],
    limit: u64,
) -> Vec<CallGroup> {
    let mut grouping = Grouping {
        by: by.to_vec(),
        after: None,
        limit,
    };
    let mut groups = Vec::new();
    loop {
        let page = block_on(call_statistics(database, filter, &grouping, now)).unwrap();
        groups.extend(page.items);
        let Some(next) = page.next else {
            return groups;
        };
        grouping.after = Cursor::parse(&next.to_text(), by.len());
        assert_eq!(grouping.after, Some(next));
    }
}

fn all() -> CallFilter {
    CallFilter::default()
}

/// The least of these values that a share of them does not exceed.
fn percentile(values: &[i64], share: f64) -> Option<i64> {
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

fn assert_distribution(durations: &Durations, mut values: Vec<i64>) {
    values.sort_unstable();
    assert_eq!(durations.count, values.len() as i64);
    assert_eq!(durations.total_ms, values.iter().sum::<i64>());
    let reported = [durations.p50_ms, durations.p95_ms, durations.p99_ms];
    for (reported, share) in reported.into_iter().zip([0.5, 0.95, 0.99]) {
        let exact = percentile(&values, share);
        assert_eq!(reported.is_some(), exact.is_some());
        if let Some((reported, exact)) = reported.zip(exact) {
            let error = (reported - exact).abs() as f64;
            assert!(error <= 0.07 * exact as f64, "{reported} for {exact}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn groups_have_the_sums_and_percentiles_of_their_calls(
        calls in calls(),
        by in prop::sample::subsequence(vec![Dimension::Hour, Dimension::Key, Dimension::Model, Dimension::Token], 0..=4).prop_shuffle(),
        limit in 1u64..5,
    ) {
        let database = database_with(&calls);
        let value = |call: &Call, by: Dimension| match by {
            Dimension::Hour => Value::from(NOW.plus(call.hour * HOUR_MS)),
            Dimension::Day => Value::from("2027-01-15"),
            Dimension::Key => call.key.into(),
            Dimension::Model => call.model.into(),
            Dimension::Token => call.token.unwrap_or(0).into(),
        };
        let found = groups(&database, &all(), &by, limit);
        let mut counted = 0;
        for group in &found {
            let members: Vec<&Call> = calls
                .iter()
                .filter(|call| by.iter().zip(&group.values).all(|(by, of)| value(call, *by) == *of))
                .collect();
            counted += members.len();
            assert_distribution(&group.durations, members.iter().map(|call| call.duration_ms).collect());
            assert_distribution(&group.first_bytes, members.iter().filter_map(|call| call.first_byte_ms).collect());
            prop_assert_eq!(group.longest_ms, members.iter().map(|call| call.duration_ms).max().unwrap());
            let mut outcomes = BTreeMap::new();
            for call in members {
                *outcomes.entry(call.outcome.to_owned()).or_insert(0) += 1;
            }
            prop_assert_eq!(group.successes, outcomes.get("success").copied().unwrap_or(0));
            prop_assert!(group.outcomes.iter().cloned().eq(outcomes));
        }
        prop_assert_eq!(counted, calls.len(), "each call is in one group");
        block_on(delete_expired(&database, NOW.plus(90 * 24 * HOUR_MS), Some(1))).unwrap();
        prop_assert_eq!(database.count("api_call_logs"), 0);
        prop_assert_eq!(groups(&database, &all(), &by, 1000), found);
    }
}

#[test]
fn filters_select_calls() {
    let call = |hour, key, model, outcome, token| Call {
        hour,
        key,
        token,
        model,
        outcome,
        duration_ms: 100,
        first_byte_ms: None,
    };
    let database = database_with(&[
        call(0, 1, "a", "success", None),
        call(1, 1, "b", "quota_per_day", Some(7)),
        call(1, 2, "b", "success", Some(7)),
        call(2, 2, "b", "success", None),
    ]);
    let at = |hour: i64| Some(NOW.plus(hour * HOUR_MS));
    let count = |filter: CallFilter| {
        let groups = groups(&database, &filter, &[], 1);
        groups
            .iter()
            .map(|group| group.durations.count)
            .sum::<i64>()
    };
    assert_eq!(count(all()), 4);
    assert_eq!(
        count(CallFilter {
            from: at(1),
            ..all()
        }),
        3
    );
    assert_eq!(
        count(CallFilter {
            until: at(1),
            ..all()
        }),
        1
    );
    assert_eq!(
        count(CallFilter {
            from: at(3),
            ..all()
        }),
        0
    );
    assert_eq!(
        count(CallFilter {
            key: Some(2),
            ..all()
        }),
        2
    );
    assert_eq!(
        count(CallFilter {
            token: Some(0),
            ..all()
        }),
        2
    );
    assert_eq!(
        count(CallFilter {
            token: Some(7),
            ..all()
        }),
        2
    );
    let model = Some("b".to_owned());
    assert_eq!(count(CallFilter { model, ..all() }), 3);
    let outcome = Some("quota_per_day".to_owned());
    assert_eq!(count(CallFilter { outcome, ..all() }), 1);
}

#[test]
fn unusual_rows_do_not_prevent_statistics() {
    let database = NativeDatabase::migrated();
    database.run(
        "INSERT INTO api_call_logs (api_key_id, success, called_at, model, input_tokens, response_time_ms, first_byte_ms) VALUES
         (1, 1, '2027-01-15T08:00:00.000Z', CAST(x'ff' AS TEXT), 9223372036854775807, 9223372036854775807, -5),
         (1, 1, '2027-01-15T08:00:00.000Z', 'm', 9223372036854775807, 'x', 3),
         (1, 1, 'yesterday', 'm', 1, 1, 1)",
    );
    let found = groups(&database, &all(), &[Dimension::Day], 10);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].values, [Value::from("2027-01-15")]);
    assert_eq!(found[0].durations.count, 2);
    let models = groups(&database, &all(), &[Dimension::Model], 10);
    assert_eq!(models.len(), 2);
}
