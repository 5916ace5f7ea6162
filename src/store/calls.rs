//! The log of calls, for operators.
//!
//! A list is read by time, for which there is an index; for the other filters there is none, as it
//! would cost every call. So a page examines at most [`MAX_EXAMINED`] rows, and may contain fewer
//! calls than were asked for, or none, while more follow.

use super::page::{Cursor, Page, PageOf};
use super::{Database, Result, Row, Value, number, read, text, values};
use crate::pool::UnixMillis;

/// The most rows that a page examines: about 50 ms.
const MAX_EXAMINED: u64 = 100_000;
/// The most attempts of a request that are read.
const MAX_ATTEMPTS: u32 = 100;
/// How long after its arrival a request may still make attempts, in milliseconds: 1 day.
const LONGEST_REQUEST_MS: i64 = 24 * 3_600_000;

/// Which calls a list or a statistic is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Calls that began at this time or later; in statistics, those whose hour did.
    pub from: Option<UnixMillis>,
    /// Calls that began before this time; in statistics, those whose hour did.
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

/// Which calls a list contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// What statistics can tell apart, too.
    pub calls: CallFilter,
    /// Calls that Google answered with this status.
    pub status: Option<i64>,
    /// Successful calls, with 1, or failed ones, with 0.
    pub success: Option<i64>,
    /// Calls that a fault drill ended, with 1, or the others, with 0.
    pub drill: Option<i64>,
    /// Calls that took at least so many milliseconds.
    pub min_duration_ms: Option<i64>,
}

impl LogFilter {
    /// The comparisons of columns without an index, and the value of each.
    fn comparisons(&self) -> [(&'static str, Option<Value>); 8] {
        [
            ("api_key_id =", self.calls.key.map(Value::from)),
            ("coalesce(token_id, 0) =", self.calls.token.map(Value::from)),
            ("model =", self.calls.model.as_deref().map(Value::from)),
            ("outcome =", self.calls.outcome.as_deref().map(Value::from)),
            ("response_status =", self.status.map(Value::from)),
            ("success =", self.success.map(Value::from)),
            ("coalesce(drill, 0) =", self.drill.map(Value::from)),
            ("response_time_ms >=", self.min_duration_ms.map(Value::from)),
        ]
    }
}

/// Calls are listed by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByStart;

/// A row of the log: one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCall {
    /// The id of the row.
    pub id: i64,
    /// When it began.
    pub called_at: Option<String>,
    /// The id of its request.
    pub request_id: Option<String>,
    /// 1 for the request's first attempt, 2 for the next.
    pub attempt: Option<i64>,
    /// The key.
    pub key: i64,
    /// The client token; `None` for the built-in one.
    pub token: Option<i64>,
    /// The model.
    pub model: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Whether it succeeded.
    pub success: bool,
    /// Google's status.
    pub response_status: Option<i64>,
    /// What the log says of an error.
    pub error_message: Option<String>,
    /// How long it took, in milliseconds.
    pub response_time_ms: Option<i64>,
    /// Until the first byte of the answer, in milliseconds.
    pub first_byte_ms: Option<i64>,
    /// Tokens of the request.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Tokens of thoughts.
    pub thinking_tokens: Option<i64>,
    /// Tokens from Google's cache.
    pub cached_tokens: Option<i64>,
    /// Whether a fault drill ended it.
    pub drill: bool,
}

const TEXTS: [&str; 5] = [
    "called_at",
    "request_id",
    "model",
    "outcome",
    "error_message",
];
const NUMBERS: [&str; 12] = [
    "attempt",
    "api_key_id",
    "success",
    "response_status",
    "response_time_ms",
    "first_byte_ms",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cached_tokens",
    "token_id",
    "drill",
];

/// The columns that [`logged`] reads, after the id and the value that orders the list.
fn columns() -> String {
    let texts = TEXTS.map(text).join(", ");
    format!("{texts}, {}", NUMBERS.map(number).join(", "))
}

fn logged(row: &Row) -> LoggedCall {
    let text = |column: usize| row.lossy_text(2 + column);
    let number = |column: usize| row.integer(2 + TEXTS.len() + column);
    LoggedCall {
        id: row.integer(0).unwrap_or(0),
        called_at: text(0),
        request_id: text(1),
        model: text(2),
        outcome: text(3),
        error_message: text(4),
        attempt: number(0),
        key: number(1).unwrap_or(0),
        success: number(2) == Some(1),
        response_status: number(3),
        response_time_ms: number(4),
        first_byte_ms: number(5),
        input_tokens: number(6),
        output_tokens: number(7),
        thinking_tokens: number(8),
        cached_tokens: number(9),
        token: number(10),
        drill: number(11) == Some(1),
    }
}

/// A page of the calls that a filter selects.
///
/// # Errors
/// The table cannot be read.
pub async fn list_calls(
    database: &impl Database,
    filter: &LogFilter,
    page: &PageOf<ByStart>,
) -> Result<Page<LoggedCall>> {
    let clause = page.clause("called_at", 0);
    // The page before must be the first bound: SQLite begins the search there, however far it is
    // from the second.
    let mut times = vec![clause.condition];
    let mut parameters = clause.parameters;
    for (comparison, time) in [(">=", filter.calls.from), ("<", filter.calls.until)] {
        if let Some(time) = time {
            parameters.push(time.into());
            times.push(format!("called_at {comparison} ?{}", parameters.len()));
        }
    }
    let times = times.join(" AND ");
    let mut others = vec!["true".to_owned()];
    let mut all_parameters = parameters.clone();
    for (comparison, value) in filter.comparisons() {
        if let Some(value) = value {
            all_parameters.push(value);
            others.push(format!("{comparison} ?{}", all_parameters.len()));
        }
    }
    let order = clause.order;
    let select = format!(
        "SELECT id, called_at, {columns} FROM
    (SELECT * FROM api_call_logs WHERE {times} {order} LIMIT {MAX_EXAMINED})
WHERE {others} LIMIT {limit}",
        columns = columns(),
        others = others.join(" AND "),
        limit = page.limit + 1
    );
    let rows = read(database, &select, all_parameters).await?;
    let mut found = page.of_rows(&rows, logged);
    if found.next.is_none() {
        // Where the examined rows end, if more follow.
        let last = format!(
            "SELECT id, called_at FROM api_call_logs WHERE {times} {order} LIMIT 1 OFFSET {}",
            MAX_EXAMINED - 1
        );
        let rows = read(database, &last, parameters).await?;
        found.next = rows.first().and_then(Cursor::of_row);
    }
    Ok(found)
}

/// The attempts of a request that arrived about then, in order.
///
/// # Errors
/// The table cannot be read.
pub async fn attempts_of(
    database: &impl Database,
    request_id: &str,
    arrived: UnixMillis,
) -> Result<Vec<LoggedCall>> {
    let select = format!(
        "SELECT id, id, {} FROM api_call_logs
WHERE called_at >= ?1 AND called_at < ?2 AND request_id = ?3 ORDER BY attempt LIMIT {MAX_ATTEMPTS}",
        columns()
    );
    let until = arrived.plus(LONGEST_REQUEST_MS);
    let rows = read(database, &select, values![arrived, until, request_id]).await?;
    Ok(rows.iter().map(logged).collect())
}

#[cfg(test)]
mod tests {
    use super::super::page::Order;
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    /// A log of calls 1 to `count`, one a second, of which each fifth fails.
    fn log(count: u64) -> NativeDatabase {
        let database = NativeDatabase::migrated();
        database.run(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             INSERT INTO api_call_logs (api_key_id, success, response_status, called_at, request_id, attempt, model, outcome, token_id, response_time_ms)
             SELECT n % 3, n % 5 <> 0, iif(n % 5, 200, 429), strftime('%Y-%m-%dT%H:%M:%fZ', 1800000000 + n, 'unixepoch'),
                 'req_' || (n / 2), n % 2, 'm', iif(n % 5, 'success', 'quota_per_minute'), nullif(n % 10, 0), n * 100 FROM n"
        ));
        database
    }

    fn first_page(limit: u64) -> PageOf<ByStart> {
        PageOf {
            sort: ByStart,
            order: Order::Descending,
            after: None,
            limit,
        }
    }

    fn of(calls: CallFilter) -> LogFilter {
        LogFilter {
            calls,
            ..LogFilter::default()
        }
    }

    /// The ids of all pages, and their number.
    fn ids(database: &NativeDatabase, filter: &LogFilter, limit: u64) -> (Vec<i64>, usize) {
        let mut page = first_page(limit);
        let (mut ids, mut pages) = (Vec::new(), 0);
        loop {
            let listed = block_on(list_calls(database, filter, &page)).unwrap();
            pages += 1;
            ids.extend(listed.items.iter().map(|call| call.id));
            match listed.next {
                None => return (ids, pages),
                next => page.after = next,
            }
        }
    }

    #[test]
    fn pages_contain_each_call_once() {
        let database = log(30);
        let all: Vec<i64> = (1..=30).rev().collect();
        for limit in [1, 7, 30, 100] {
            assert_eq!(
                ids(&database, &LogFilter::default(), limit).0,
                all,
                "{limit}"
            );
        }
        let at = |second: i64| Some(UnixMillis((1_800_000_000 + second) * 1000));
        let filter = LogFilter {
            status: Some(429),
            ..of(CallFilter {
                from: at(10),
                until: at(20),
                ..CallFilter::default()
            })
        };
        assert_eq!(ids(&database, &filter, 1).0, [15, 10]);
        let filter = LogFilter {
            success: Some(0),
            ..of(CallFilter {
                key: Some(2),
                model: Some("m".to_owned()),
                outcome: Some("quota_per_minute".to_owned()),
                ..CallFilter::default()
            })
        };
        assert_eq!(ids(&database, &filter, 10).0, [20, 5]);
        let filter = LogFilter {
            min_duration_ms: Some(2900),
            ..LogFilter::default()
        };
        assert_eq!(ids(&database, &filter, 10).0, [30, 29]);
        for (token, expected) in [(0, [30, 20, 10]), (1, [21, 11, 1])] {
            let filter = of(CallFilter {
                token: Some(token),
                ..CallFilter::default()
            });
            assert_eq!(ids(&database, &filter, 10).0, expected, "{token}");
        }
    }

    #[test]
    fn a_page_examines_a_bounded_number_of_rows() {
        let database = log(MAX_EXAMINED * 2 + 1);
        let filter = of(CallFilter {
            outcome: Some("no such outcome".to_owned()),
            ..CallFilter::default()
        });
        let (found, pages) = ids(&database, &filter, 10);
        assert_eq!((found, pages), (vec![], 3));
        let plan = database.query(
            "EXPLAIN QUERY PLAN SELECT id FROM (SELECT * FROM api_call_logs
             WHERE (called_at, id) < ('2027', 7) ORDER BY called_at DESC, id DESC LIMIT 9) WHERE model = 'm'",
        );
        let plan = plan.join("\n");
        assert!(plan.contains("USING INDEX idx_logs_called_at"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn a_page_costs_the_same_wherever_it_is() {
        let database = log(3000);
        let at = |second: i64| Some(UnixMillis((1_800_000_000 + second) * 1000));
        let filter = of(CallFilter {
            from: at(1),
            until: at(3001),
            ..CallFilter::default()
        });
        for order in [Order::Ascending, Order::Descending] {
            let mut page = PageOf {
                order,
                ..first_page(10)
            };
            let mut costs = Vec::new();
            loop {
                let before = database.steps();
                let listed = block_on(list_calls(&database, &filter, &page)).unwrap();
                costs.push(database.steps() - before);
                match listed.next {
                    None => break,
                    next => page.after = next,
                }
            }
            assert_eq!(costs.len(), 300);
            let (first, most) = (costs[0], costs.iter().max().unwrap());
            assert!(*most < 2 * first, "{most} steps, not {first}");
        }
    }

    #[test]
    fn a_request_has_its_attempts_in_order() {
        let database = log(30);
        let arrived = UnixMillis(1_800_000_004_000);
        let attempts = block_on(attempts_of(&database, "req_2", arrived)).unwrap();
        let attempts: Vec<_> = attempts
            .iter()
            .map(|call| (call.attempt, call.id))
            .collect();
        assert_eq!(attempts, [(Some(0), 4), (Some(1), 5)]);
        let later = arrived.plus(60_000);
        assert_eq!(block_on(attempts_of(&database, "req_2", later)), Ok(vec![]));
    }
}
