use super::*;
use crate::pool::testing::{USED as NOW, key, key_of};
use crate::pool::{KeyId, QuotaScope, Scope, Unit, Used, Window};
use crate::store::{AttemptTotal, DurationTotal};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn attempts(key: i64, model: &str, outcome: &str, attempts: u64) -> AttemptTotal {
    AttemptTotal {
        key,
        model: model.to_owned(),
        outcome: outcome.to_owned(),
        attempts,
    }
}

fn usage(first_call: i64, model: &str, token: i64, requests: u64) -> UsageTotal {
    UsageTotal {
        model: model.to_owned(),
        token,
        first_call,
        requests,
        ..UsageTotal::default()
    }
}

fn duration(model: &str, bucket_ms: u64, attempts: u64, first_bytes: u64) -> DurationTotal {
    DurationTotal {
        model: model.to_owned(),
        bucket_ms,
        attempts,
        first_bytes,
    }
}

fn metrics_of(totals: Totals, snapshot: &Snapshot) -> String {
    let text = open_metrics(&totals, snapshot, &Moment::new(NOW));
    assert_is_open_metrics(&text);
    text
}

/// The samples of a metric, without its name.
fn samples<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
    samples.collect()
}

/// Checks what every reader relies on: each metric is described once, before its samples, and none
/// of them is there twice.
#[track_caller]
fn assert_is_open_metrics(text: &str) {
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let mut seen = BTreeSet::new();
    let mut family = "";
    for line in text.lines().take_while(|line| *line != "# EOF") {
        let (series, value) = line.rsplit_once(' ').unwrap();
        match line.strip_prefix("# TYPE ") {
            Some(described) => family = described.split(' ').next().unwrap(),
            None if line.starts_with("# ") => {
                assert_eq!(line.split(' ').nth(2), Some(family), "{line}");
            }
            None => {
                assert!(line.starts_with(family), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(seen.insert(series), "{line} is there twice");
    }
}

#[test]
fn calls_are_counted_by_their_labels() {
    let all = UsageTotal {
        successes: 4,
        input_tokens: 10,
        output_tokens: 20,
        thinking_tokens: 30,
        cached_tokens: 5,
        ..usage(2, "m", 0, 6)
    };
    let totals = Totals {
        attempts: vec![
            attempts(2, "m", "success", 4),
            attempts(2, "m", "quota_per_day", 3),
            attempts(1, "n", "success", 1),
        ],
        usage: vec![all, usage(2, "m", 3, 1)],
        calls_this_minute: 100,
        retries_this_minute: 12,
        database_errors: 2,
        ..Totals::default()
    };
    let text = metrics_of(totals, &Snapshot::default());
    for (name, expected) in [
        (
            "keypool_attempts_total",
            vec![
                r#"{key="1",model="other",outcome="success"} 1"#,
                r#"{key="2",model="m",outcome="quota_per_day"} 3"#,
                r#"{key="2",model="m",outcome="success"} 4"#,
            ],
        ),
        (
            "keypool_requests_total",
            vec![r#"{model="m",token="0"} 6"#, r#"{model="m",token="3"} 1"#],
        ),
        (
            "keypool_answers_total",
            vec![r#"{model="m",token="0"} 4"#, r#"{model="m",token="3"} 0"#],
        ),
        ("keypool_retry_budget_remaining", vec![" 18"]),
        ("keypool_database_errors_total", vec![" 2"]),
        ("keypool_build_info", vec![r#"{version="0.1.0"} 1"#]),
    ] {
        assert_eq!(samples(&text, name), expected, "{name}");
    }
    let tokens = samples(&text, "keypool_tokens_total");
    for (kind, count) in [
        ("input", 10),
        ("output", 20),
        ("thinking", 30),
        ("cached", 5),
    ] {
        let sample = format!(r#"{{model="m",token="0",kind="{kind}"}} {count}"#);
        assert!(tokens.contains(&&*sample), "{sample} is not in {tokens:?}");
    }
}

#[test]
fn the_first_100_models_have_series_of_their_own() {
    let model = |number: usize| format!("m{number:03}");
    // The later the number, the earlier the call.
    let all = (0..102)
        .zip((0..102).rev())
        .map(|(number, call)| usage(call, &model(number), 0, 1));
    let later = usage(999, &model(101), 7, 1);
    let totals = Totals {
        attempts: (0..102)
            .map(|number| attempts(1, &model(number), "success", 1))
            .collect(),
        usage: all.chain([later]).collect(),
        durations: (0..102)
            .map(|number| duration(&model(number), 1, 1, 1))
            .collect(),
        ..Totals::default()
    };
    let text = metrics_of(totals, &Snapshot::default());
    for (name, other) in [
        (
            "keypool_attempts_total",
            r#"{key="1",model="other",outcome="success"} 2"#,
        ),
        ("keypool_requests_total", r#"{model="other",token="0"} 2"#),
        ("keypool_first_byte_seconds_count", r#"{model="other"} 2"#),
    ] {
        let samples = samples(&text, name);
        let models = samples.iter().map(|sample| {
            let (_, model) = sample.split_once("model=\"").unwrap();
            model.split_once('"').unwrap().0
        });
        let models: BTreeSet<&str> = models.collect();
        assert_eq!(models.len(), MOST_MODELS + 1, "{name}");
        assert!(samples.contains(&other), "{samples:?}");
        assert!(
            !models.contains("m000") && !models.contains("m001"),
            "{name}"
        );
    }
}

#[test]
fn a_model_has_a_histogram_once_its_calls_are_summed() {
    let totals = Totals {
        usage: vec![usage(1, "m", 0, 1)],
        durations: vec![duration("m", 1, 1, 1), duration("new", 1, 1, 1)],
        ..Totals::default()
    };
    let text = metrics_of(totals, &Snapshot::default());
    let counts = samples(&text, "keypool_attempt_duration_seconds_count");
    assert_eq!(counts, [r#"{model="m"} 1"#]);
}

#[test]
fn a_model_with_the_name_of_the_others_is_one_of_them() {
    let mut models: Vec<_> = (0..102)
        .map(|number| usage(2, &format!("m{number:03}"), 0, 1))
        .collect();
    models.push(usage(1, "other", 0, 5));
    let totals = Totals {
        usage: models,
        ..Totals::default()
    };
    let text = metrics_of(totals, &Snapshot::default());
    let requests = samples(&text, "keypool_requests_total");
    assert!(
        requests.contains(&r#"{model="other",token="0"} 7"#),
        "{requests:?}"
    );
}

#[test]
fn buckets_are_cumulative_and_end_at_powers_of_two() {
    let total = UsageTotal {
        total_ms: 262_214,
        total_first_byte_ms: 1_007,
        ..usage(2, "m", 0, 1)
    };
    let buckets = [
        (0, 1),
        (60, 2),
        (64, 4),
        (120, 8),
        (245_760, 16),
        (262_144, 32),
        (33_554_432, 64),
    ];
    let totals = Totals {
        usage: vec![total],
        durations: buckets
            .map(|(ms, count)| duration("m", ms, count, count % 2))
            .into(),
        ..Totals::default()
    };
    let text = metrics_of(totals, &Snapshot::default());
    let buckets = samples(&text, "keypool_attempt_duration_seconds_bucket");
    let expected = [
        ("0.064", 3),
        ("0.128", 15),
        ("0.256", 15),
        ("0.512", 15),
        ("1.024", 15),
        ("2.048", 15),
        ("4.096", 15),
        ("8.192", 15),
        ("16.384", 15),
        ("32.768", 15),
        ("65.536", 15),
        ("131.072", 15),
        ("262.144", 31),
        ("+Inf", 127),
    ];
    let expected = expected.map(|(le, count)| format!(r#"{{model="m",le="{le}"}} {count}"#));
    assert_eq!(buckets, expected);
    for (part, expected) in [
        ("attempt_duration_seconds_count", r#"{model="m"} 127"#),
        ("attempt_duration_seconds_sum", r#"{model="m"} 262.214"#),
        ("first_byte_seconds_count", r#"{model="m"} 1"#),
        ("first_byte_seconds_sum", r#"{model="m"} 1.007"#),
    ] {
        let name = format!("keypool_{part}");
        assert_eq!(samples(&text, &name), [expected], "{part}");
    }
    assert!(text.contains("# UNIT keypool_first_byte_seconds seconds\n"));
}

#[test]
fn keys_are_counted_by_what_they_are_now() {
    let states = [
        (KeyStatus::Active, None, 1),
        (KeyStatus::Active, Some(1), 1),
        (KeyStatus::Cooling, Some(0), 1),
        (KeyStatus::Cooling, Some(1), 0),
        (KeyStatus::Cooling, None, 0),
        (KeyStatus::Disabled, None, 0),
        (KeyStatus::Disabled, Some(-1), 0),
    ];
    let keys = (1..).zip(states).map(|(id, (status, until, _))| {
        let mut key = key(id);
        key.state.status = status;
        key.state.disabled_until = until.map(|ms| NOW.plus(ms));
        key
    });
    let text = metrics_of(Totals::default(), &Snapshot::new(keys.collect()));
    let expected = [
        r#"{state="active"} 3"#,
        r#"{state="cooling"} 1"#,
        r#"{state="disabled"} 3"#,
    ];
    assert_eq!(samples(&text, "keypool_keys"), expected);
    let expected = (1..)
        .zip(states)
        .map(|(id, (.., usable))| format!(r#"{{key="{id}"}} {usable}"#));
    let usable = samples(&text, "keypool_key_usable");
    assert_eq!(usable, expected.collect::<Vec<_>>());
}

#[test]
fn a_pool_without_keys_has_none_in_any_state() {
    let text = metrics_of(Totals::default(), &Snapshot::default());
    let expected = [
        r#"{state="active"} 0"#,
        r#"{state="cooling"} 0"#,
        r#"{state="disabled"} 0"#,
    ];
    assert_eq!(samples(&text, "keypool_keys"), expected);
}

#[test]
fn budgets_have_their_limit_and_what_is_left() {
    let mut snapshot = Snapshot::new(vec![
        key(1),
        key_of(2, "projects/7"),
        key_of(3, "projects/7"),
    ]);
    let project = Scope::Project("projects/7".to_owned());
    for (scope, model, unit, window, value) in [
        (Scope::Key(KeyId(1)), None, Unit::Requests, Window::Day, 20),
        (
            project.clone(),
            Some("m"),
            Unit::InputTokens,
            Window::Minute,
            100,
        ),
        (project.clone(), Some("m"), Unit::Requests, Window::Day, 4),
        // Those of keys that are gone.
        (Scope::Key(KeyId(9)), None, Unit::Requests, Window::Day, 20),
        (
            Scope::Project("projects/8".to_owned()),
            None,
            Unit::Requests,
            Window::Day,
            20,
        ),
    ] {
        let model = model.map(str::to_owned);
        let limit = Limit {
            unit,
            window,
            value,
        };
        snapshot.add_limit(&QuotaScope { scope, model }, limit);
    }
    let used = Used {
        requests: 5,
        input_tokens: 40,
    };
    let scope = QuotaScope {
        scope: project,
        model: Some("m".to_owned()),
    };
    let now = Moment::new(NOW);
    for (window, began_at) in [(Window::Minute, NOW), (Window::Day, now.day_start())] {
        snapshot.add_used(&scope, window, began_at, used);
    }
    let text = metrics_of(Totals::default(), &snapshot);
    for (name, values) in [("limit", [20, 100, 4]), ("remaining", [20, 60, 0])] {
        let labels = [
            r#"scope="key:1",model="",unit="requests",per="day""#,
            r#"scope="project:projects/7",model="m",unit="input_tokens",per="minute""#,
            r#"scope="project:projects/7",model="m",unit="requests",per="day""#,
        ];
        let samples = samples(&text, &format!("keypool_budget_{name}"));
        let expected = labels
            .iter()
            .zip(values)
            .map(|(labels, value)| format!("{{{labels}}} {value}"));
        assert_eq!(samples, expected.collect::<Vec<_>>(), "{name}");
    }
}

/// Reads the value of a label back.
fn unescaped(escaped: &str) -> String {
    let mut text = String::new();
    let mut rest = escaped.chars();
    while let Some(char) = rest.next() {
        match (char, char == '\\') {
            (_, true) => match rest.next().unwrap() {
                'n' => text.push('\n'),
                char @ ('\\' | '"') => text.push(char),
                char => panic!("\\{char} in {escaped}"),
            },
            ('"' | '\n', _) => panic!("unescaped in {escaped}"),
            (char, _) => text.push(char),
        }
    }
    text
}

proptest! {
    #[test]
    fn any_text_can_be_a_label(value in r#"[a"\\\n,{}=é]{0,8}"#) {
        let labels = labels(&[("first", &1), ("second", &value)]);
        let rest = labels.strip_prefix(r#"first="1",second=""#).unwrap();
        let escaped = rest.strip_suffix('"').unwrap();
        prop_assert_eq!(unescaped(escaped), value);
    }
}
