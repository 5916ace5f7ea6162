//! What a request teaches once it has worked: which keys were wrong to refuse it, which header a
//! key wants, and what a model does not take.

use super::ports::System;
use super::view::PoolView;
use crate::pool::{Change, CredentialHeader, Incident, KeyId, QuotaScope};
use crate::store::{self, Database};
use std::collections::BTreeSet;

/// Unsupported fields that are remembered for a model.
const MAX_UNSUPPORTED: usize = 32;

/// See the module's documentation.
pub(super) struct Lessons {
    /// Where keys have refused the request. Once another key serves it, the keys are at fault.
    pub(super) refused: Vec<(QuotaScope, Incident)>,
    /// Whether that may be concluded at all.
    pub(super) blames_refusers: bool,
    /// Fields without which the request has worked.
    pub(super) left_out: Vec<String>,
    /// Whether the model has refused a tool call without its thought signature.
    pub(super) lacked_signatures: bool,
    /// The header in which the upstream has accepted a key, after it refused the other one.
    pub(super) header: Option<(KeyId, CredentialHeader)>,
}

impl Default for Lessons {
    fn default() -> Self {
        Self {
            refused: Vec::new(),
            blames_refusers: true,
            left_out: Vec::new(),
            lacked_signatures: false,
            header: None,
        }
    }
}

impl Lessons {
    /// Applies them to the view and writes them, as far as the database takes them.
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
        for (scope, incident) in self.refused.iter().filter(|_| self.blames_refusers) {
            if let Err(error) = view.cool(scope, incident).await {
                log(&format!("{} cannot be left alone", scope.scope), &error);
            }
        }
        if let Some((key, header)) = self.header {
            view.change(Change::CredentialHeader(key, header));
            let learned = store::learn_credential_header(database, key, header).await;
            if let Err(error) = learned {
                log(
                    &format!("the header of key {key} is not remembered"),
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
                log("fields that were left out are not remembered", &error);
            }
        }
        if self.lacked_signatures {
            view.change(Change::SignedModel(model.to_owned()));
            let learned = store::learn_signed_model(database, model, now).await;
            if let Err(error) = learned {
                let what = "that the model wants thought signatures is not remembered";
                log(what, &error);
            }
        }
    }

    /// The fields that were left out, as many as are still remembered for the model.
    fn new_fields<D: Database>(&self, view: &PoolView<D>, model: &str) -> Vec<String> {
        let known = view.snapshot().unsupported(model).map_or(0, BTreeSet::len);
        let mut fields = self.left_out.clone();
        fields.truncate(MAX_UNSUPPORTED.saturating_sub(known));
        fields
    }
}
