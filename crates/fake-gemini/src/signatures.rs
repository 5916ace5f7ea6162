//! Thought signatures: which were issued, and whether those that must come back do.
//!
//! Gemini 3 and newer models refuse a turn with tools whose calls have lost their signature or
//! carry a changed one. Whether a signature is valid for another project is not documented; here
//! it is.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/thought-signatures>, and published errors.

use crate::errors::{self, ApiError};
use crate::turn::Turn;
use std::collections::HashSet;

/// What Google accepts instead of a signature, for calls that none of its models made. Clients that
/// know the field to be bytes send it in base64.
const PLACEHOLDERS: [&str; 4] = [
    "skip_thought_signature_validator",
    "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I",
    "context_engineering_is_the_way_to_go",
    "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
];

/// All issued signatures.
#[derive(Debug, Default)]
pub(crate) struct Signatures(HashSet<String>);

impl Signatures {
    pub(crate) fn issue(&mut self, signature: &str) {
        self.0.insert(normalize(signature));
    }

    /// Checks that the turn carries all signatures that a model requires.
    pub(crate) fn check(&self, turn: &Turn) -> Result<(), ApiError> {
        for call in &turn.calls {
            let signature = call.signature.as_deref().unwrap_or_default();
            if signature.is_empty() {
                let function = format!("default_api:{}", call.function);
                return Err(errors::missing_thought_signature(&function, call.position));
            }
            let is_placeholder = PLACEHOLDERS.contains(&signature.trim_end_matches('='));
            if !is_placeholder && !self.0.contains(&normalize(signature)) {
                return Err(errors::corrupted_thought_signature());
            }
        }
        Ok(())
    }
}

/// Signatures are bytes, and clients write them in either alphabet of base64, with or without
/// padding.
fn normalize(signature: &str) -> String {
    let signature = signature.trim_end_matches('=');
    signature.replace('-', "+").replace('_', "/")
}
