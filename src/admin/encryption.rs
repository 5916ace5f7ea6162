//! `GET encryption`: how the keys are stored, and the progress of sealing them.

use super::request::{Refusal, Request, Response};
use crate::store::{self, Database, KeysAtRest};
use serde::Serialize;

#[derive(Serialize)]
struct EncryptionReport {
    /// Whether there is an `encryption_key`.
    is_enabled: bool,
    /// Sealed with `encryption_key`.
    sealed: u64,
    /// Sealed with `encryption_key_previous`, and not resealed yet.
    sealed_with_previous: u64,
    /// In clear text. With an `encryption_key`, they are not sealed yet.
    in_clear_text: u64,
    /// Sealed with an encryption key that the pool does not have.
    unreadable: u64,
}

/// `GET encryption`
pub(super) async fn show(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    request.query()?.finish()?;
    let KeysAtRest {
        plain,
        current,
        previous,
        unreadable,
    } = store::keys_at_rest(database, request.vault).await?;
    Response::ok(&EncryptionReport {
        is_enabled: request.vault.can_seal(),
        sealed: current,
        sealed_with_previous: previous,
        in_clear_text: plain,
        unreadable,
    })
}
