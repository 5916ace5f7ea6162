//! Totals of all calls so far. The table `api_call_totals` (migration 0007) covers the calls up to some
//! id; later calls are summed from the log.
//!
//! Calls are added to the table in batches, since updating it for each call would slow down every
//! request. Ids increase in commit order, so no call is missed or counted twice.

use super::{Database, Progress, Result, read, write};

/// How many calls are added by one statement, which blocks other writers for some tens of
/// milliseconds.
const BATCH: u32 = 10_000;

/// Selects the next calls to add, with the columns of the table.
fn next_calls() -> String {
    let count = |column: &str| format!("CAST(coalesce({column}, 0) AS INTEGER)");
    format!(
        "SELECT {key} AS api_key_id, coalesce(model, '') AS model, coalesce(outcome, '') AS outcome,
    {token} AS token_id, id AS first_call_id, 1 AS calls, coalesce(attempt, 1) = 1 AS requests, coalesce(success, 0) <> 0 AS successes,
    {input} AS input_tokens, {output} AS output_tokens, {thinking} AS thinking_tokens,
    {cached} AS cached_tokens, {duration} AS total_response_time_ms,
    {first_byte} AS total_first_byte_ms, id AS last_call_id
FROM api_call_logs WHERE id > {ADDED} ORDER BY id LIMIT {BATCH}",
        key = count("api_key_id"),
        token = count("token_id"),
        input = count("input_tokens"),
        output = count("output_tokens"),
        thinking = count("thinking_tokens"),
        cached = count("cached_tokens"),
        duration = count("response_time_ms"),
        first_byte = count("first_byte_ms"),
    )
}

/// The latest call that was added.
const ADDED: &str = "(SELECT coalesce(max(last_call_id), 0) FROM api_call_totals)";

/// The columns that are added up, here and per hour.
pub(super) const SUMS: [&str; 9] = [
    "calls",
    "requests",
    "successes",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cached_tokens",
    "total_response_time_ms",
    "total_first_byte_ms",
];

/// Selects the sums of all calls, with the columns of the table. A group may have two rows.
///
/// While more than one batch of calls is to be added, only the first of them count.
pub(super) fn totals() -> String {
    let columns = format!(
        "api_key_id, model, outcome, token_id, first_call_id, {}",
        SUMS.join(", ")
    );
    format!(
        "SELECT {columns} FROM api_call_totals UNION ALL SELECT {columns} FROM ({})",
        next_calls()
    )
}

/// Adds calls of the log to the table.
fn add() -> String {
    // total() rather than sum(), which fails where integers overflow.
    let sums = SUMS.map(|sum| format!("total({sum})")).join(", ");
    let added = SUMS.map(|sum| format!("{sum} = {sum} + excluded.{sum}"));
    format!(
        "INSERT INTO api_call_totals (api_key_id, model, outcome, token_id, first_call_id, {columns}, last_call_id)
SELECT api_key_id, model, outcome, token_id, min(first_call_id), {sums}, max(last_call_id)
FROM ({next_calls}) GROUP BY api_key_id, model, outcome, token_id
ON CONFLICT (api_key_id, model, outcome, token_id) DO UPDATE SET
    last_call_id = excluded.last_call_id, {added}",
        columns = SUMS.join(", "),
        next_calls = next_calls(),
        added = added.join(", "),
    )
}

/// Adds calls of the log to the table, until so many milliseconds have passed. Instances may do this
/// concurrently.
///
/// # Errors
/// The database refused.
pub(super) async fn add_to_totals(database: &impl Database, limit_ms: u64) -> Result<Progress> {
    let has_batch =
        format!("SELECT 1 FROM api_call_logs WHERE id > {ADDED} LIMIT 1 OFFSET {BATCH}");
    let add = add();
    let began = database.clock_ms();
    while database.clock_ms().saturating_sub(began) <= limit_ms {
        write(database, &add, Vec::new()).await?;
        if read(database, &has_batch, Vec::new()).await?.is_empty() {
            return Ok(Progress::Done);
        }
    }
    Ok(Progress::MoreToCount)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DatabaseFile, NativeDatabase};
    use super::*;
    use futures::executor::block_on;

    const ADDED_CALLS: &str = "SELECT coalesce(sum(calls), 0) FROM api_call_totals";

    fn log(database: &NativeDatabase, calls: u32) {
        database.run(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {calls})
             INSERT INTO api_call_logs (api_key_id, success) SELECT n % 7, 1 FROM n"
        ));
    }

    fn add(database: &NativeDatabase, limit_ms: u64) -> Progress {
        block_on(add_to_totals(database, limit_ms)).unwrap()
    }

    fn all_calls(database: &NativeDatabase) -> Vec<String> {
        database.query(&format!("SELECT sum(calls) FROM ({})", totals()))
    }

    #[test]
    fn each_call_is_added_once() {
        let database = NativeDatabase::migrated();
        for calls in 1..=3 {
            log(&database, 10);
            let expected = [(calls * 10).to_string()];
            for _ in 0..2 {
                assert_eq!(all_calls(&database), expected);
                assert_eq!(add(&database, 1_000), Progress::Done);
                assert_eq!(database.query(ADDED_CALLS), expected);
            }
        }
    }

    #[test]
    fn many_calls_are_added_in_batches() {
        let database = NativeDatabase::migrated();
        log(&database, 2 * BATCH + 1);
        assert_eq!(all_calls(&database), ["10000"]);
        database.each_try_takes(1);
        assert_eq!(add(&database, 0), Progress::MoreToCount);
        assert_eq!(database.query(ADDED_CALLS), ["10000"]);
        assert_eq!(all_calls(&database), ["20000"]);
        assert_eq!(add(&database, 1_000), Progress::Done);
        assert_eq!(all_calls(&database), ["20001"]);
    }

    #[test]
    fn parallel_instances_add_each_call_once() {
        let file = DatabaseFile::migrated();
        file.in_parallel(4, |_, database| {
            for _ in 0..20 {
                log(&database, 5);
                add(&database, 1_000);
            }
        });
        assert_eq!(file.open().query(ADDED_CALLS), ["400"]);
    }
}
