//! Checks the examples for Prometheus and Grafana: Prometheus's own `promtool` accepts them, each
//! alert has a test, and what they query is in the table of `docs/metrics.md`.

#![cfg(test)]

use gemini_keypool::pool::Outcome;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Labels that Prometheus adds.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];
/// Words of PromQL before a list of labels.
const GROUPINGS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
/// Variables of Grafana in the dashboard, each with a value.
const VARIABLES: [(&str, &str); 3] = [
    ("$__rate_interval", "5m"),
    ("$instance", "a"),
    ("$model", "m"),
];

#[test]
fn promtool_accepts_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["prometheus.yml", "alerts.yml"] {
        fs::write(folder.path().join(file), example(file)).unwrap();
    }
    fs::write(folder.path().join("keypool.token"), "fake-token").unwrap();
    promtool(&["check", "config"], &folder.path().join("prometheus.yml"));
}

#[test]
fn promtool_finds_nothing_to_complain_about_in_the_alerts() {
    let lint = ["check", "rules", "--lint=all", "--lint-fatal"];
    promtool(&lint, &path("alerts.yml"));
}

#[test]
fn alerts_pass_their_tests() {
    promtool(&["test", "rules"], &path("alerts_test.yml"));
}

#[test]
fn promtool_understands_the_queries_of_the_dashboard() {
    let rules: Vec<Value> = dashboard_queries()
        .iter()
        .enumerate()
        .map(|(number, query)| {
            let set =
                |expression: String, (name, value): &(&str, &str)| expression.replace(name, value);
            let expression = VARIABLES.iter().fold(query.expression.clone(), set);
            serde_json::json!({ "record": format!("query:{number}"), "expr": expression })
        })
        .collect();
    assert!(rules.len() > 10, "{}", rules.len());
    // YAML includes JSON.
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules"], file.path());
}

#[test]
fn each_alert_is_described_and_tested() {
    let rules = example("alerts.yml");
    let alerts = || rules.split("- alert: ").skip(1);
    assert!(alerts().count() > 5);
    let severity = |alert: &str| {
        alert
            .split_once("severity: ")?
            .1
            .lines()
            .next()
            .map(str::to_owned)
    };
    let described: BTreeSet<(String, String)> = table_rows(&example("README.md"))
        .filter_map(|row| Some((code_spans(&row[0]).next()?.to_owned(), row[1].clone())))
        .filter(|(name, _)| name.starts_with("Keypool"))
        .collect();
    let expected = alerts().map(|alert| (first_line(alert), severity(alert).unwrap()));
    assert_eq!(described, expected.collect());

    let tests = example("alerts_test.yml");
    let fire = tests.split("alertname: ").skip(1);
    let fire: BTreeSet<String> = fire
        .filter(|test| test.contains("exp_labels"))
        .map(first_line)
        .collect();
    assert_eq!(fire, alerts().map(first_line).collect());
}

#[test]
fn alerts_use_documented_metrics_and_labels() {
    let queries = alert_queries();
    assert!(queries.len() > 10, "{}", queries.len());
    assert_documented(&queries);
}

#[test]
fn the_dashboard_uses_documented_metrics_and_labels() {
    assert_documented(&dashboard_queries());
}

#[test]
fn the_dashboard_takes_its_data_source_from_a_variable() {
    let dashboard: Value = serde_json::from_str(&example("grafana-dashboard.json")).unwrap();
    let mut sources = Vec::new();
    visit(&dashboard, &mut |object| {
        sources.extend(object.get("datasource").cloned())
    });
    assert!(sources.len() > 10, "{sources:?}");
    for source in sources {
        assert_eq!(source["uid"], "${datasource}");
    }
}

#[test]
fn undocumented_names_are_found() {
    for (expression, text, expected) in [
        (
            "rate(keypool_keys{state=\"active\"}[5m])",
            "{{ state }}",
            None,
        ),
        ("keypool_nothing", "", Some("keypool_nothing")),
        ("keypool_keys_bucket", "", Some("keypool_keys_bucket")),
        ("keypool_keys{model=\"m\"}", "", Some("model")),
        ("keypool_keys{state=~\"active|gone\"}", "", Some("gone")),
        (
            "keypool_attempts_total{outcome!=\"failed\"}",
            "",
            Some("failed"),
        ),
        ("sum by (key, job) (keypool_keys)", "", Some("key")),
        ("keypool_keys == 0 or on (le) up", "", Some("le")),
        ("keypool_keys", "{{ $labels.token }}", Some("token")),
        ("other:keypool_keys:sum", "", Some("other:keypool_keys:sum")),
    ] {
        let query = Query {
            expression: expression.to_owned(),
            text: text.to_owned(),
        };
        let unknown = Metrics::documented().unknown(&query);
        assert_eq!(
            unknown.first().map(String::as_str),
            expected,
            "{expression}"
        );
    }
}

fn assert_documented(queries: &[Query]) {
    let metrics = Metrics::documented();
    for query in queries {
        let unknown = metrics.unknown(query);
        assert!(unknown.is_empty(), "{unknown:?} in {}", query.expression);
    }
}

/// Runs the `promtool` that `cargo xtask test` prepares.
fn promtool(arguments: &[&str], file: &Path) {
    let prepared = Path::new(ROOT).join("target/promtool/usr/bin/promtool");
    let promtool = std::env::var_os("KEYPOOL_TEST_PROMTOOL").map_or(prepared, PathBuf::from);
    let output = Command::new(&promtool)
        .args(arguments)
        .arg(file)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo xtask test --only clients` installs it",
                promtool.display()
            )
        });
    let [told, complained] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{told}{complained}");
}

/// A query, and the text in which its labels are shown.
struct Query {
    expression: String,
    text: String,
}

/// The expressions of the rules, with all that is said of them.
fn alert_queries() -> Vec<Query> {
    let text = example("alerts.yml");
    let lines: Vec<&str> = text
        .lines()
        .filter(|it| !it.trim().starts_with('#'))
        .collect();
    let rules = lines.join("\n");
    let rules = rules
        .split("- alert: ")
        .flat_map(|it| it.split("- record: "));
    rules
        .filter_map(|rule| {
            let (_, rest) = rule.split_once("expr: ")?;
            let mut lines = rest.lines();
            let first = lines.next()?;
            let block = lines.take_while(|line| line.starts_with("          "));
            let lines = block.filter(|_| first == ">-");
            let lines: Vec<&str> = [first.trim_start_matches(">-")]
                .into_iter()
                .chain(lines)
                .collect();
            Some(Query {
                expression: lines.join(" "),
                text: rule.to_owned(),
            })
        })
        .collect()
}

/// The queries of panels and of variables.
fn dashboard_queries() -> Vec<Query> {
    let dashboard = serde_json::from_str(&example("grafana-dashboard.json")).unwrap();
    let mut queries = Vec::new();
    visit(&dashboard, &mut |object| {
        if let (Some(expression), Some(text)) =
            (object["expr"].as_str(), object["legendFormat"].as_str())
        {
            queries.push(Query {
                expression: expression.to_owned(),
                text: text.to_owned(),
            });
        }
        let values = object["query"]
            .as_str()
            .and_then(|it| it.strip_prefix("label_values("));
        if let Some((expression, label)) = values.and_then(|it| it.rsplit_once(", ")) {
            queries.push(Query {
                expression: expression.to_owned(),
                text: format!("{{{{{}}}}}", label.trim_end_matches(')')),
            });
        }
    });
    queries
}

/// Calls `f` with each object within a value.
fn visit(value: &Value, f: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            f(value);
            fields.values().for_each(|field| visit(field, f));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, f)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What may be queried.
struct Metrics {
    /// The labels of each metric and of each part of a histogram.
    labels: BTreeMap<String, BTreeSet<String>>,
    /// The values of labels that have only certain ones.
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Metrics {
    /// Those of `docs/metrics.md`, those that rules record, and Prometheus's `up`.
    fn documented() -> Self {
        let mut metrics = Self {
            labels: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        metrics.add("up", []);
        for rule in example("alerts.yml").split("- record: ").skip(1) {
            let name = first_line(rule);
            // By convention, the labels come first: `instance_model:metric:operation`.
            let level = name.split(':').next().unwrap_or_default();
            metrics.add(&name, level.split('_'));
        }
        let outcomes = Outcome::ALL.map(|outcome| outcome.name().to_owned());
        metrics.values.insert("outcome".to_owned(), outcomes.into());
        let page = read(&Path::new(ROOT).join("docs/metrics.md"));
        for row in table_rows(&page) {
            let [name, kind, labels, meaning] = &row[..] else {
                panic!("{row:?}")
            };
            let name = code_spans(name).next().unwrap();
            let labels: Vec<&str> = code_spans(labels).collect();
            match kind.as_str() {
                "histogram" => {
                    let bucket = labels.iter().copied().chain(["le"]);
                    metrics.add(&format!("{name}_bucket"), bucket);
                    for part in ["sum", "count"] {
                        metrics.add(&format!("{name}_{part}"), labels.iter().copied());
                    }
                }
                _ => metrics.add(name, labels.iter().copied()),
            }
            metrics.add_values(&labels, meaning);
        }
        metrics
    }

    fn add<'a>(&mut self, name: &str, labels: impl IntoIterator<Item = &'a str>) {
        let labels = labels.into_iter().chain(TARGET_LABELS);
        self.labels
            .insert(name.to_owned(), labels.map(str::to_owned).collect());
    }

    /// Adds the values that the text names after a label.
    fn add_values(&mut self, labels: &[&str], text: &str) {
        let mut label = None;
        for word in code_spans(text) {
            if labels.contains(&word) {
                label = Some(word);
            } else if let Some(label) = label {
                let values = self.values.entry(label.to_owned()).or_default();
                values.insert(word.to_owned());
            }
        }
    }

    /// The metrics, labels and values in a query that do not exist.
    fn unknown(&self, query: &Query) -> Vec<String> {
        let tokens = tokens(&query.expression);
        let mut unknown = Vec::new();
        let mut of_metrics = BTreeSet::new();
        let mut grouped = Vec::new();
        let mut rest = &tokens[..];
        while let [first, after @ ..] = rest {
            rest = after;
            let Token::Word(word) = first else { continue };
            match after {
                [Token::Mark('('), list @ ..] if GROUPINGS.contains(word) => {
                    let end = list.iter().position(|it| *it == Token::Mark(')')).unwrap();
                    grouped.extend(list[..end].iter().filter_map(Token::word));
                    rest = &list[end..];
                }
                [Token::Mark('(') | Token::Word("by" | "without"), ..] => {}
                _ if OPERATORS.contains(word) => {}
                _ => {
                    let Some(labels) = self.labels.get(*word) else {
                        unknown.push((*word).to_owned());
                        continue;
                    };
                    of_metrics.extend(labels.iter().map(String::as_str));
                    if let [Token::Mark('{'), matchers @ ..] = after {
                        let end = matchers
                            .iter()
                            .position(|it| *it == Token::Mark('}'))
                            .unwrap();
                        unknown.extend(self.unknown_in_matchers(labels, &matchers[..end]));
                        rest = &matchers[end..];
                    }
                }
            }
        }
        let shown = template_labels(&query.text);
        let used = grouped.into_iter().chain(shown.iter().map(String::as_str));
        unknown.extend(
            used.filter(|it| !of_metrics.contains(it))
                .map(str::to_owned),
        );
        unknown
    }

    /// The same in the matchers of a metric with these labels.
    fn unknown_in_matchers(&self, labels: &BTreeSet<String>, matchers: &[Token]) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut values = None;
        for token in matchers {
            match token {
                Token::Word(label) => {
                    values = self.values.get(*label);
                    unknown.extend((!labels.contains(*label)).then(|| (*label).to_owned()));
                }
                Token::Text(text) => {
                    let named = text.split('|').filter(|_| values.is_some());
                    let named = named.filter(|it| !values.is_some_and(|all| all.contains(*it)));
                    unknown.extend(named.map(str::to_owned));
                }
                Token::Mark(_) => {}
            }
        }
        unknown
    }
}

/// A token of PromQL. Numbers and durations are left out.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Mark(char),
}

impl<'a> Token<'a> {
    fn word(&self) -> Option<&'a str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Text(_) | Self::Mark(_) => None,
        }
    }
}

fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_in_word = |c: char| c.is_ascii_alphanumeric() || "_:.$".contains(c);
        let length = match first {
            '"' => 2 + rest[1..].find('"').unwrap(),
            first if is_in_word(first) => rest.find(|c| !is_in_word(c)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            '"' => tokens.push(Token::Text(&token[1..length - 1])),
            '0'..='9' | '$' | ' ' => {}
            first if is_in_word(first) => tokens.push(Token::Word(token)),
            first => tokens.push(Token::Mark(first)),
        }
    }
    tokens
}

/// The labels in a template: `{{label}}` of Grafana, `{{ $labels.label }}` of Prometheus.
fn template_labels(text: &str) -> Vec<String> {
    let actions = text
        .split("{{")
        .skip(1)
        .filter_map(|it| it.split_once("}}"));
    actions
        .filter_map(|(action, _)| match action.split_once("$labels.") {
            Some((_, rest)) => rest.split_whitespace().next(),
            None => Some(action.trim()).filter(|it| !it.contains('$')),
        })
        .map(str::to_owned)
        .collect()
}

fn path(example: &str) -> PathBuf {
    Path::new(ROOT).join("examples").join(example)
}

fn example(name: &str) -> String {
    read(&path(name))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The cells of the rows of all tables, without their heads.
fn table_rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    lines.map(cells).collect::<Vec<_>>().into_iter()
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
