//! What operators see: the keys' state, and whether the pool can serve.

use crate::gateway::{Failure, Reply};
use crate::pool::{self, UnixMillis};
use crate::store::{self, Database, DatabaseError, KeyReport};
use http::StatusCode;
use serde::Serialize;

#[derive(Serialize)]
struct KeysStatus {
    success: bool,
    data: Vec<KeyReport>,
}

/// `GET /api/keys/status`: every key's counters and state, never a key.
pub(crate) async fn keys_status<D: Database, B, S>(
    database: &D,
) -> Result<Reply<D, B, S>, Failure> {
    let data = store::key_report(database).await?;
    let json = serde_json::to_string(&KeysStatus {
        success: true,
        data,
    })
    .map_err(|error| Failure::Database(DatabaseError(error.to_string())))?;
    Ok(Reply::json(StatusCode::OK, json))
}

/// `GET /readyz`: the database takes writes, and at least one key could serve a call now.
pub(crate) async fn readiness<D: Database, B, S>(
    database: &D,
    now: UnixMillis,
) -> Result<Reply<D, B, S>, Failure> {
    store::check_writable(database)
        .await
        .map_err(Failure::DatabaseNotWritable)?;
    let (keys, _) = store::pool_keys(database).await?;
    let usable = keys.iter().filter(|key| pool::is_usable(key, now)).count();
    if usable == 0 {
        return Err(Failure::NoUsableKey);
    }
    Ok(Reply::json(
        StatusCode::OK,
        format!(r#"{{"status":"ready","usable_keys":{usable}}}"#),
    ))
}
