//! Statistics of calls, from their hourly sums and counts of durations, which stay when the rows of
//! the log are gone.

use super::call_durations::{Level, count_durations, durations, middle};
use super::call_totals::SUMS;
use super::calls::CallFilter;
use super::page::{Cursor, Page};
use super::{Database, Result, Row, Value, number, placeholders, read, text};
use crate::pool::UnixMillis;

/// What calls are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The hour in which they began.
    Hour,
    /// The day, in UTC.
    Day,
    /// The key.
    Key,
    /// The model.
    Model,
    /// The client token; 0 for the built-in one.
    Token,
}

/// Groups of calls, and which page of them is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouping {
    /// What the calls are grouped and ordered by. Without any, all are one group.
    pub by: Vec<Dimension>,
    /// The last group of the page before, which has a value for each dimension.
    pub after: Option<Cursor>,
    /// The size of the page, in groups.
    pub limit: u64,
}

/// The sums of a group of calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallGroup {
    /// Its value of each dimension.
    pub values: Vec<Value>,
    /// How many of them were the first of their request.
    pub requests: i64,
    /// How many succeeded.
    pub successes: i64,
    /// How many ended in which way, by the name of the outcome.
    pub outcomes: Vec<(String, i64)>,
    /// Tokens of the requests.
    pub input_tokens: i64,
    /// Tokens of the answers.
    pub output_tokens: i64,
    /// Tokens of thoughts.
    pub thinking_tokens: i64,
    /// Tokens from Google's cache.
    pub cached_tokens: i64,
    /// The longest call, in milliseconds.
    pub longest_ms: i64,
    /// How long the calls took.
    pub durations: Durations,
    /// How long the first bytes of answers took.
    pub first_bytes: Durations,
}

/// The distribution of durations, in milliseconds. The percentiles are within 7 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many there are.
    pub count: i64,
    /// Their sum.
    pub total_ms: i64,
    /// The median; `None` without any.
    pub p50_ms: Option<i64>,
    /// What 95 % do not exceed.
    pub p95_ms: Option<i64>,
    /// What 99 % do not exceed.
    pub p99_ms: Option<i64>,
}

/// More outcomes than there are, with those that operators may have written.
const MAX_OUTCOMES: u64 = 100;
/// How long durations of past hours may be counted before statistics are read. Usually only one hour
/// is to be counted, if any.
const MAX_COUNTING_MS: u64 = 100;
/// The shares of calls whose percentiles are reported.
const SHARES: [&str; 3] = ["0.5", "0.95", "0.99"];

impl Dimension {
    /// The expression for its value.
    fn expression(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "substr(hour, 1, 10)",
            Self::Key => "api_key_id",
            Self::Model => "model",
            Self::Token => "token_id",
        }
    }

    /// The column in which a subquery has its value.
    fn column(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Key => "api_key_id",
            Self::Model => "model",
            Self::Token => "token_id",
        }
    }

    /// An expression that reads the column.
    fn read(self) -> String {
        match self {
            Self::Hour | Self::Day | Self::Model => text(self.column()),
            Self::Key | Self::Token => number(self.column()),
        }
    }

    fn value(self, row: &Row, column: usize) -> Value {
        match self {
            Self::Hour | Self::Day | Self::Model => row.lossy_text(column).into(),
            Self::Key | Self::Token => row.integer(column).into(),
        }
    }
}

/// The parts of a statement that depend on the dimensions. Each ends with a comma, unless it is
/// empty.
struct Columns {
    /// The expressions, with the names of their columns.
    defined: String,
    /// The names alone.
    named: String,
    /// The columns as they are read.
    read: String,
}

impl Columns {
    fn of(by: &[Dimension]) -> Self {
        let each = |part: &dyn Fn(&Dimension) -> String| by.iter().map(part).collect();
        Self {
            defined: each(&|by| format!("{} AS {}, ", by.expression(), by.column())),
            named: each(&|by| format!("{}, ", by.column())),
            read: each(&|by| by.read() + ", "),
        }
    }

    /// Groups by the columns, and orders by them.
    fn grouped(&self) -> String {
        match self.named.trim_end_matches(", ") {
            "" => String::new(),
            names => format!("GROUP BY {names} ORDER BY {names}"),
        }
    }
}

/// Conditions, and their parameters.
#[derive(Default)]
struct Conditions {
    all: Vec<String>,
    /// Those for the time of a call in the log.
    times: Vec<String>,
    parameters: Vec<Value>,
}

impl Conditions {
    fn of(filter: &CallFilter) -> Self {
        let comparisons = [
            // Rows whose time cannot be read are of the hour ''. Without a second lower bound, since
            // SQLite might search by that one.
            ("hour >=", Some(filter.from.map_or("0".into(), Value::from))),
            ("hour <", filter.until.map(Value::from)),
            ("api_key_id =", filter.key.map(Value::from)),
            ("token_id =", filter.token.map(Value::from)),
            ("model =", filter.model.as_deref().map(Value::from)),
            ("outcome =", filter.outcome.as_deref().map(Value::from)),
        ];
        let mut conditions = Self::default();
        for (comparison, value) in comparisons {
            if let Some(value) = value {
                conditions.parameters.push(value);
                let place = conditions.parameters.len();
                let condition = format!("{comparison} ?{place}");
                if let Some(of_hour) = condition.strip_prefix("hour") {
                    conditions.times.push(format!("called_at{of_hour}"));
                }
                conditions.all.push(condition);
            }
        }
        conditions
    }

    /// Compares the dimensions with those of a group.
    fn compare(&mut self, by: &[Dimension], comparison: &str, values: &[Value]) {
        if by.is_empty() {
            return;
        }
        let expressions: Vec<&str> = by.iter().map(|by| by.expression()).collect();
        let marks = placeholders(self.parameters.len(), values.len());
        let condition = format!("({}) {comparison} {marks}", expressions.join(", "));
        // Before the hours: SQLite begins the search at the first bound.
        self.all.insert(0, condition);
        self.parameters.extend_from_slice(values);
    }
}

/// A page of groups of calls.
///
/// # Errors
/// The tables cannot be read, or the durations of past hours cannot be written.
pub async fn call_statistics(
    database: &impl Database,
    filter: &CallFilter,
    grouping: &Grouping,
    now: UnixMillis,
) -> Result<Page<CallGroup>> {
    count_durations(database, now, MAX_COUNTING_MS).await?;
    let by = &grouping.by;
    let mut conditions = Conditions::of(filter);
    if let Some(after) = &grouping.after {
        conditions.compare(by, ">", after.values());
    }
    let columns = Columns::of(by);
    let select = sums(&columns, &conditions, grouping.limit);
    let rows = read(database, &select, conditions.parameters).await?;
    let mut groups: Vec<CallGroup> = Vec::new();
    for row in &rows {
        let values = values_of(by, row);
        if groups.last().is_none_or(|group| group.values != values) {
            groups.push(CallGroup::of(values));
        }
        if let Some(group) = groups.last_mut() {
            group.add(row);
        }
    }
    let limit = usize::try_from(grouping.limit).unwrap_or(usize::MAX);
    let has_more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| has_more);
    let next = next.map(|group| Cursor::at(group.values.clone()));
    add_percentiles(database, filter, by, &mut groups).await?;
    Ok(Page {
        items: groups,
        next,
    })
}

/// Sums the calls of each group and outcome, of one group more than a page has.
fn sums(columns: &Columns, conditions: &Conditions, limit: u64) -> String {
    let Columns {
        defined,
        named,
        read,
    } = columns;
    let names = [&SUMS[..], &["first_bytes"]].concat();
    // total() rather than sum(), which fails where integers overflow.
    let sums = names.iter().map(|sum| format!("total({sum}) AS {sum}"));
    let sums: Vec<String> = sums.collect();
    format!(
        "SELECT {read}{outcome}, longest, {names} FROM (
    SELECT {defined}outcome, max(max_response_time_ms) AS longest, {sums}
    FROM api_call_hours WHERE {conditions} GROUP BY {named}outcome
) WHERE calls > 0 ORDER BY {named}outcome LIMIT {limit}",
        outcome = text("outcome"),
        sums = sums.join(", "),
        names = names.join(", "),
        conditions = conditions.all.join(" AND "),
        limit = (limit + 1) * MAX_OUTCOMES
    )
}

/// Adds the percentiles to a page of groups.
async fn add_percentiles(
    database: &impl Database,
    filter: &CallFilter,
    by: &[Dimension],
    groups: &mut [CallGroup],
) -> Result<()> {
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return Ok(());
    };
    let mut conditions = Conditions::of(filter);
    conditions.compare(by, ">=", &first.values);
    conditions.compare(by, "<=", &last.values);
    let select = percentiles(&Columns::of(by), &conditions, level(filter, by));
    let rows = read(database, &select, conditions.parameters).await?;
    // Both are in the same order.
    let mut rows = rows.iter().peekable();
    for group in groups {
        while let Some(row) = rows.next_if(|row| values_of(by, row) == group.values) {
            group.durations.set_percentiles(row, by.len());
            let first = by.len() + SHARES.len();
            group.first_bytes.set_percentiles(row, first);
        }
    }
    Ok(())
}

/// Finds the buckets of the percentiles, after counting the calls up to each bucket.
fn percentiles(columns: &Columns, conditions: &Conditions, level: Level) -> String {
    let Columns {
        defined,
        named,
        read,
    } = columns;
    let partition = match named.trim_end_matches(", ") {
        "" => String::new(),
        names => format!("PARTITION BY {names}"),
    };
    let least = |of: &str| {
        let least = SHARES.map(|share| {
            format!("min(iif({of} > 0 AND {of}_so_far >= {share} * all_{of}, bucket_ms, NULL))")
        });
        least.join(", ")
    };
    format!(
        "SELECT {read}{calls}, {first_bytes} FROM (
    SELECT *,
        sum(calls) OVER up_to AS calls_so_far, sum(calls) OVER whole AS all_calls,
        sum(first_bytes) OVER up_to AS first_bytes_so_far, sum(first_bytes) OVER whole AS all_first_bytes
    FROM (SELECT {defined}bucket_ms, total(calls) AS calls, total(first_bytes) AS first_bytes
        FROM ({durations}) GROUP BY {named}bucket_ms)
    WINDOW whole AS ({partition}), up_to AS ({partition} ORDER BY bucket_ms)
) {group}",
        calls = least("calls"),
        first_bytes = least("first_bytes"),
        durations = durations(
            level,
            &conditions.all.join(" AND "),
            &conditions.times.join(" AND ")
        ),
        group = columns.grouped(),
    )
}

/// The level of detail that these statistics need.
fn level(filter: &CallFilter, by: &[Dimension]) -> Level {
    let needs = |dimension, is_filtered: bool| is_filtered || by.contains(&dimension);
    let details = [
        (needs(Dimension::Key, filter.key.is_some()), Level::Key),
        (
            needs(Dimension::Model, filter.model.is_some()),
            Level::Model,
        ),
        (
            needs(Dimension::Token, filter.token.is_some()),
            Level::Token,
        ),
        (filter.outcome.is_some(), Level::Call),
    ];
    let mut needed = details.iter().filter(|(is_needed, _)| *is_needed);
    match (needed.next(), needed.next()) {
        (None, _) => Level::Pool,
        (Some((_, level)), None) => *level,
        (Some(_), Some(_)) => Level::Call,
    }
}

impl CallGroup {
    fn of(values: Vec<Value>) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }

    /// Adds the sums of an outcome.
    fn add(&mut self, row: &Row) {
        let outcome = self.values.len();
        let sum = |column: usize| row.integer(outcome + 1 + column).unwrap_or(0);
        self.longest_ms = self.longest_ms.max(sum(0));
        let sums = [
            &mut self.durations.count,
            &mut self.requests,
            &mut self.successes,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.thinking_tokens,
            &mut self.cached_tokens,
            &mut self.durations.total_ms,
            &mut self.first_bytes.total_ms,
            &mut self.first_bytes.count,
        ];
        for (column, total) in (1..).zip(sums) {
            *total = total.saturating_add(sum(column));
        }
        let outcome = row.lossy_text(outcome).unwrap_or_default();
        self.outcomes.push((outcome, sum(1)));
    }
}

impl Durations {
    /// Reads the percentiles from a column and those after it.
    fn set_percentiles(&mut self, row: &Row, column: usize) {
        let percentile = |number: usize| row.integer(column + number).map(middle);
        (self.p50_ms, self.p95_ms, self.p99_ms) = (percentile(0), percentile(1), percentile(2));
    }
}

fn values_of(by: &[Dimension], row: &Row) -> Vec<Value> {
    let values = by.iter().enumerate();
    let values = values.map(|(column, by)| by.value(row, column));
    values.collect()
}

#[cfg(test)]
mod tests;
