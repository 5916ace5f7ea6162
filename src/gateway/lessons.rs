//! What the pool learns from a request that succeeded after failures: which keys were at fault,
//! which header a key needs, and which fields a model does not support.

use super::ports::System;
use super::view::PoolView;
use crate::pool::{Change, CredentialHeader, Incident, KeyId, QuotaScope};
use crate::store::{self, Database};
use std::collections::BTreeSet;

/// The most unsupported fields that are remembered for a model.
const MAX_UNSUPPORTED: usize = 32;

/// Collected while a request fails over, and remembered once it has worked.
#[derive(Default)]
pub(super) struct Lessons {
    /// Where keys refused the request. They are at fault if another key serves it.
    pub(super) refused: Vec<(QuotaScope, Incident)>,
    /// Whether keys that refused the request are not to be blamed at all.
    pub(super) spares_refusers: bool,
    /// Fields without which the request succeeded.
    pub(super) left_out: Vec<String>,
    /// Whether the model refused a tool call without its thought signature.
    pub(super) lacked_signatures: bool,
    /// The header in which the upstream accepted a key after it refused the other header.
    pub(super) header: Option<(KeyId, CredentialHeader)>,
}

impl Lessons {
    /// Applies the lessons to the view and writes them to the database. Failed writes are logged.
    pub(super) async fn remember<D: Database, S: System>(
        self,
        view: &PoolView<D>,
        system: &S,
        request_id: &str,
        model: &str,
    ) {
        let log = |what: &str, error: &store::DatabaseError| {
            system.log(&format!("request={request_id} {what}: {error}"));
        };
        let database = &*view.database;
        let now = system.now();
        for (scope, incident) in self.refused.iter().filter(|_| !self.spares_refusers) {
            if let Err(error) = view.cool(scope, incident).await {
                log(&format!("cannot cool {}", scope.scope), &error);
            }
        }
        if let Some((key, header)) = self.header {
            view.change(Change::CredentialHeader(key, header));
            let learned = store::learn_credential_header(database, key, header).await;
            if let Err(error) = learned {
                log(
                    &format!("cannot store the credential header of key {key}"),
                    &error,
                );
            }
        }
        let fields = self.new_fields(view, model);
        if !fields.is_empty() {
            for field in &fields {
                view.change(Change::Unsupported(model.to_owned(), field.clone()));
            }
            let learned = store::learn_unsupported(database, model, &fields, now).await;
            if let Err(error) = learned {
                log("cannot store the unsupported fields", &error);
            }
        }
        if self.lacked_signatures {
            view.change(Change::SignedModel(model.to_owned()));
            let learned = store::learn_signed_model(database, model, now).await;
            if let Err(error) = learned {
                let what = "cannot store that the model requires thought signatures";
                log(what, &error);
            }
        }
    }

    /// The fields that were left out, up to the model's limit of [`MAX_UNSUPPORTED`].
    fn new_fields<D: Database>(&self, view: &PoolView<D>, model: &str) -> Vec<String> {
        let known = view.snapshot().unsupported(model).map_or(0, BTreeSet::len);
        let mut fields = self.left_out.clone();
        fields.truncate(MAX_UNSUPPORTED.saturating_sub(known));
        fields
    }
}
