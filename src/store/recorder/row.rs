//! A row of the log.

use crate::pool::{KeyId, Outcome, TokenId, UnixMillis, Usage, Verdict};
use crate::store::Value;
use crate::wire::gemini::Fault;

/// How much later than a call's end a time in the database may be, in milliseconds: 60 s. A row is
/// written some seconds after its call has ended, and what other calls wrote by then counts; later
/// times were written by a fast clock.
pub(super) const HORIZON_MS: i64 = 60_000;

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// The id of its request.
    pub request_id: String,
    /// The number of the attempt within the request, from 1.
    pub number: u32,
    /// The key that was used.
    pub key: KeyId,
    /// [`PoolKey::edits`](crate::pool::PoolKey::edits) when the key was chosen.
    pub key_edits: i64,
    /// The client token of the request; `None` for the built-in one.
    pub token: Option<TokenId>,
    /// The model that the client requested.
    pub model: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The upstream's status; `None` without a response.
    pub response_status: Option<u16>,
    /// What went wrong, redacted; `None` on success.
    pub error_message: Option<String>,
    /// When it was sent.
    pub started_at: UnixMillis,
    /// When the first byte of the answer arrived, if one did.
    pub first_byte_at: Option<UnixMillis>,
    /// When the answer ended or the attempt was abandoned.
    pub ended_at: UnixMillis,
    /// The answer's token counts, if it states them.
    pub usage: Option<Usage>,
    /// The fault of the drill that ended it; `None` if it was a call to the upstream.
    pub drill: Option<Fault>,
}

/// The values of a row, in the order of `recorded_calls`.
pub(super) fn values_of(attempt: &AttemptRow) -> [Value; 19] {
    let verdict = attempt.outcome.verdict();
    let tokens = |count: fn(&Usage) -> u64| Value::from(attempt.usage.as_ref().map(count));
    let after = |at: UnixMillis| at.since(attempt.started_at);
    [
        Value::from(attempt.key.0),
        Value::from(i64::from(verdict == Verdict::Works)),
        Value::from(attempt.response_status.map(i64::from)),
        Value::from(attempt.error_message.as_deref()),
        Value::from(after(attempt.ended_at)),
        Value::from(attempt.started_at.to_iso()),
        Value::from(attempt.request_id.as_str()),
        Value::from(attempt.model.as_str()),
        Value::from(i64::from(attempt.number)),
        Value::from(attempt.outcome.name()),
        Value::from(attempt.first_byte_at.map(after)),
        tokens(|usage| usage.input),
        tokens(|usage| usage.output),
        tokens(|usage| usage.thinking),
        tokens(|usage| usage.cached),
        Value::from(attempt.token.map(|token| token.0)),
        Value::from(attempt.ended_at.to_iso()),
        Value::from(attempt.ended_at.plus(HORIZON_MS).to_iso()),
        Value::from(attempt.drill.map(|_| 1_i64)),
    ]
}
