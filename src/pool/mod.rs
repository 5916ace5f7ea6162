//! The pool's decisions: which key serves a call, and what an outcome does to the key.
//!
//! This module is pure: no async, no clock, no entropy, no SQL, no HTTP. Callers pass in time and
//! randomness, and decisions are returned as values, so every rule can be unit-tested.
//!
//! # How a key's state changes
//!
//! ```text
//!         1st failure in a row      2nd to 4th failure in a row
//!       ┌─────────────────────┐ ┌─────────────────────────────────┐
//!       ▼                     │ │                                 ▼
//!   ┌────────┐────────────────┴─┘                           ┌──────────┐
//!   │ active │                                              │ cooling  │  30 min, then a trial
//!   └────────┘◀─────────────────────────────────────────────└──────────┘
//!       │                       success                           │
//!       │ key rejected by the upstream, or 5th failure in a row   │
//!       ▼                                                         ▼
//!   ┌──────────────────────────────────────────────────────────────────┐
//!   │ disabled                 (only an operator can reactivate it)    │
//!   └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Outcome`] decides what counts as a failure of the *key*, and [`transition()`] what such a
//! failure does to it. Most failures are not the key's fault: they cool its project for one model
//! ([`CoolDown`]), or nothing. [`Snapshot`] combines all of this and draws a key; [`Failover`]
//! guides one request through its attempts.

mod alert;
mod budget;
mod client_token;
mod cool_down;
mod draw;
mod failover;
mod forecast;
mod key;
mod limit;
mod model_rules;
mod moment;
mod network;
mod outcome;
pub mod pattern;
mod resource_owner;
mod retry_budget;
mod scope;
mod snapshot;
pub mod suspicion;
mod time;
mod transition;
mod usage;

#[cfg(test)]
pub(crate) mod testing;

pub use alert::{
    Alert, AlertRules, AlertStep, DISABLED_LATELY_MS, DisabledKey, KEYS_LOW, MAX_TRIES, Pending,
    RaisedAlert, alert_steps, alerts, next_try,
};
pub use budget::{Balance, Budget, Used, before_minute, estimate_tokens, slot_start};
pub use client_token::{ClientToken, TokenId, TokenLimit, TokenState};
pub use cool_down::{CoolDown, Incident, LONGEST_TRIAL_LEASE_MS, quota_scope_of};
pub use draw::weight;
pub use failover::{
    After, AnswerShape, Deadlines, Demand, Failover, GiveUp, Policy, Step, Timeouts,
};
pub use forecast::{Forecast, ModelForecast, forecasts_by_model, pace_start};
pub use key::{ApiKey, CredentialHeader, InvalidApiKey, KeyState, KeyStatus, PoolKey, mask};
pub(crate) use key::{MASK, SHORT_SECRET};
pub use limit::{Limit, RequestSize, Unit, Window};
pub use model_rules::ModelRules;
pub use moment::Moment;
pub use network::Network;
pub use outcome::{
    Blame, CallerError, Cooling, CoolingScope, Cure, Extent, Length, Outcome, Rule, Verdict,
};
pub use resource_owner::Owner;
pub use retry_budget::{RetryBudget, RetryMinute};
pub use scope::{BETWEEN_TOOLS, KeyId, QuotaScope, Scope, with_tool};
pub use snapshot::{Change, Claim, Pick, Reason, Snapshot, Standing, Survey};
pub use time::{CLOCK_TOLERANCE_MS, HOUR_MS, MINUTE_MS, UnixMillis};
pub use transition::{FAILURES_UNTIL_DISABLED, FAILURES_UNTIL_PAUSE, PAUSE_MS, Record, transition};
pub use usage::Usage;
