//! Statistics of calls, from their hourly sums, which stay when the rows of the log are gone.

use super::page::{Cursor, Page};
use super::{Database, Result, Row, Value, number, placeholders, read, text};
use crate::pool::UnixMillis;

/// Which calls are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatisticsFilter {
    /// Calls of hours that began at this time or later.
    pub from: Option<UnixMillis>,
    /// Calls of hours that began before this time.
    pub until: Option<UnixMillis>,
    /// Calls with this key.
    pub key: Option<i64>,
    /// Calls with this client token; 0 for the built-in one.
    pub token: Option<i64>,
    /// Calls for this model.
    pub model: Option<String>,
    /// Calls that ended in this way.
    pub outcome: Option<String>,
}

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
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The columns of sums. total() rather than sum(), which fails where integers overflow.
const SUMS: [&str; 10] = [
    "calls",
    "requests",
    "successes",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cached_tokens",
    "total_response_time_ms",
    "total_first_byte_ms",
    "first_bytes",
];
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
}

/// Conditions, and their parameters.
struct Conditions {
    all: Vec<String>,
    parameters: Vec<Value>,
}

impl Conditions {
    fn of(filter: &StatisticsFilter) -> Self {
        let comparisons = [
            ("hour >=", filter.from.map(Value::from)),
            ("hour <", filter.until.map(Value::from)),
            ("api_key_id =", filter.key.map(Value::from)),
            ("token_id =", filter.token.map(Value::from)),
            ("model =", filter.model.as_deref().map(Value::from)),
            ("outcome =", filter.outcome.as_deref().map(Value::from)),
        ];
        let mut conditions = Self {
            // Rows whose time cannot be read are of no hour.
            all: vec!["hour > ''".to_owned()],
            parameters: Vec::new(),
        };
        for (comparison, value) in comparisons {
            if let Some(value) = value {
                conditions.parameters.push(value);
                let place = conditions.parameters.len();
                conditions.all.push(format!("{comparison} ?{place}"));
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
        self.all.push(condition);
        self.parameters.extend_from_slice(values);
    }
}

/// A page of groups of calls.
///
/// # Errors
/// The table cannot be read.
pub async fn call_statistics(
    database: &impl Database,
    filter: &StatisticsFilter,
    grouping: &Grouping,
) -> Result<Page<CallGroup>> {
    let by = &grouping.by;
    let mut conditions = Conditions::of(filter);
    if let Some(after) = &grouping.after {
        conditions.compare(by, ">", after.values());
    }
    let select = statement(&Columns::of(by), &conditions, grouping.limit);
    let rows = read(database, &select, conditions.parameters).await?;
    let limit = usize::try_from(grouping.limit).unwrap_or(usize::MAX);
    let mut groups: Vec<CallGroup> = rows.iter().map(|row| group(by, row)).collect();
    // Without dimensions, there is a row even if there is no call.
    groups.retain(|group| group.durations.count > 0);
    let has_more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| has_more);
    let next = next.map(|group| Cursor::at(group.values.clone()));
    count_outcomes(database, filter, by, &mut groups).await?;
    Ok(Page {
        items: groups,
        next,
    })
}

/// Sums the buckets of each group, after counting the calls up to each of them.
fn statement(columns: &Columns, conditions: &Conditions, limit: u64) -> String {
    let Columns {
        defined,
        named,
        read,
    } = columns;
    let names = named.trim_end_matches(", ");
    let (partition, group) = match names {
        "" => (String::new(), String::new()),
        names => (
            format!("PARTITION BY {names}"),
            format!("GROUP BY {names} ORDER BY {names}"),
        ),
    };
    let sums = SUMS.map(|sum| format!("total({sum})")).join(", ");
    let bucket_sums = SUMS.map(|sum| format!("total({sum}) AS {sum}")).join(", ");
    let percentiles = |of: &str| {
        let least = SHARES.map(|share| {
            format!("min(iif({of} > 0 AND {of}_so_far >= {share} * all_{of}, bucket_ms, NULL))")
        });
        least.join(", ")
    };
    let (durations, first_bytes) = (percentiles("calls"), percentiles("first_bytes"));
    let conditions = conditions.all.join(" AND ");
    format!(
        "SELECT {read}{sums}, max(longest), {durations}, {first_bytes} FROM (
    SELECT *,
        sum(calls) OVER up_to AS calls_so_far, sum(calls) OVER whole AS all_calls,
        sum(first_bytes) OVER up_to AS first_bytes_so_far, sum(first_bytes) OVER whole AS all_first_bytes
    FROM (SELECT {defined}bucket_ms, max(max_response_time_ms) AS longest, {bucket_sums}
        FROM api_call_hours WHERE {conditions} GROUP BY {named}bucket_ms)
    WINDOW whole AS ({partition}), up_to AS ({partition} ORDER BY bucket_ms)
) {group} LIMIT {}",
        limit + 1
    )
}

fn group(by: &[Dimension], row: &Row) -> CallGroup {
    let number = |column: usize| row.integer(by.len() + column);
    let sum = |column: usize| number(column).unwrap_or(0);
    let durations = |count: usize, total: usize, first: usize| Durations {
        count: sum(count),
        total_ms: sum(total),
        p50_ms: number(first).map(middle),
        p95_ms: number(first + 1).map(middle),
        p99_ms: number(first + 2).map(middle),
    };
    let longest = SUMS.len();
    CallGroup {
        values: values_of(by, row),
        requests: sum(1),
        successes: sum(2),
        outcomes: Vec::new(),
        input_tokens: sum(3),
        output_tokens: sum(4),
        thinking_tokens: sum(5),
        cached_tokens: sum(6),
        longest_ms: sum(longest),
        durations: durations(0, 7, longest + 1),
        first_bytes: durations(9, 8, longest + 1 + SHARES.len()),
    }
}

fn values_of(by: &[Dimension], row: &Row) -> Vec<Value> {
    let values = by.iter().enumerate();
    let values = values.map(|(column, by)| by.value(row, column));
    values.collect()
}

/// The middle of a bucket, which ends where the fourth significant bit is one more.
fn middle(bucket_ms: i64) -> i64 {
    let bits = i64::BITS - bucket_ms.leading_zeros();
    bucket_ms + (1 << bits.saturating_sub(4)) / 2
}

/// Counts the outcomes of a page of groups.
async fn count_outcomes(
    database: &impl Database,
    filter: &StatisticsFilter,
    by: &[Dimension],
    groups: &mut [CallGroup],
) -> Result<()> {
    let mut conditions = Conditions::of(filter);
    if let (Some(first), Some(last)) = (groups.first(), groups.last()) {
        conditions.compare(by, ">=", &first.values);
        conditions.compare(by, "<=", &last.values);
    }
    let Columns {
        defined,
        named,
        read: columns,
    } = Columns::of(by);
    let select = format!(
        "SELECT {columns}{outcome}, calls FROM (
    SELECT {defined}outcome, total(calls) AS calls FROM api_call_hours WHERE {conditions}
    GROUP BY {named}outcome HAVING total(calls) > 0
) ORDER BY {named}outcome",
        outcome = text("outcome"),
        conditions = conditions.all.join(" AND "),
    );
    let rows = read(database, &select, conditions.parameters).await?;
    // Both are in the same order.
    let mut rows = rows.iter().peekable();
    for group in groups {
        while let Some(row) = rows.next_if(|row| values_of(by, row) == group.values) {
            let outcome = row.lossy_text(by.len()).unwrap_or_default();
            let calls = row.integer(by.len() + 1).unwrap_or(0);
            group.outcomes.push((outcome, calls));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
