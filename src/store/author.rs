//! Who makes a change, as the triggers that write the audit log read it (migration 0003).

use super::Value;
use serde::Serialize;

/// Who makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// The operator's token: `admin_token`.
    pub actor: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
}

impl Author<'_> {
    /// The value of `changed_by`.
    pub(super) fn changes(&self, action: &str, extra: Extra) -> Value {
        #[derive(Serialize)]
        struct ChangedBy<'a> {
            by: &'a str,
            action: &'a str,
            request: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            dead: Option<String>,
        }
        let changed_by = ChangedBy {
            by: self.actor,
            action,
            request: self.request_id,
            dead: match extra {
                Extra::None => None,
                Extra::DeadKey(digest) => Some(digest),
            },
        };
        // Texts always serialize.
        serde_json::to_string(&changed_by)
            .unwrap_or_default()
            .into()
    }
}

/// What a trigger needs to know of a change besides its author.
pub(super) enum Extra {
    None,
    /// The key that is deleted was rejected by the upstream, and has this digest.
    DeadKey(String),
}
