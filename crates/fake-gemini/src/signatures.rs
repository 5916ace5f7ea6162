//! Thought signatures: which were given out, and whether those that have to come back do.
//!
//! Gemini 3 and newer models refuse a turn with tools whose calls have lost their signature, and one that was changed
//! on its way. Whether a signature is good for another project's key is documented nowhere; here it is, unless
//! [`Builder::signatures_by_project`](crate::Builder::signatures_by_project) says otherwise.
//!
//! Source: <https://ai.google.dev/gemini-api/docs/thought-signatures>, and errors that users published.

use crate::errors::{self, ApiError};
use crate::models;
use crate::surface::Request;
use std::collections::{HashMap, VecDeque};

/// What Google takes in place of a signature, for calls that no model of its own has made.
const PLACEHOLDERS: [&str; 2] = [
    "skip_thought_signature_validator",
    "context_engineering_is_the_way_to_go",
];

/// So many are remembered, for fakes that run for long.
const REMEMBERED: usize = 1 << 16;

/// All that were given out.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    /// The project of each.
    issued: HashMap<String, String>,
    /// From the oldest on.
    order: VecDeque<String>,
    pub(crate) by_project: bool,
}

impl Signatures {
    /// Remembers what is given to a project.
    pub(crate) fn issue(&mut self, project: &str, signature: &str) {
        let signature = normal(signature);
        let known = self.issued.insert(signature.clone(), project.to_owned());
        if known.is_none() {
            self.order.push_back(signature);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.issued.remove(&oldest);
        }
    }

    /// Whether the turn carries every signature that the model requires.
    pub(crate) fn check(&self, request: &Request, project: &str) -> Result<(), ApiError> {
        if !models::wants_signatures(request.bare_model()) {
            return Ok(());
        }
        for call in &request.turn.calls {
            let Some(signature) = call.signature.as_deref().filter(|it| !it.is_empty()) else {
                let function = format!("default_api:{}", call.function);
                return Err(errors::missing_thought_signature(&function, call.position));
            };
            if !is_placeholder(signature) && !self.knows(signature, project) {
                return Err(errors::corrupted_thought_signature());
            }
        }
        Ok(())
    }

    fn knows(&self, signature: &str, project: &str) -> bool {
        let owner = self.issued.get(&normal(signature));
        owner.is_some_and(|owner| !self.by_project || owner == project)
    }
}

/// Signatures are bytes, and clients write them back in either alphabet of base64, with or without padding.
fn normal(signature: &str) -> String {
    let signature = signature.trim_end_matches('=');
    signature.replace('-', "+").replace('_', "/")
}

/// The text itself, or its bytes in base64, which is what clients make of it that know the field to be bytes.
fn is_placeholder(signature: &str) -> bool {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    PLACEHOLDERS
        .iter()
        .any(|text| signature == *text || normal(signature) == normal(&STANDARD.encode(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_known_in_either_alphabet() {
        let mut signatures = Signatures::default();
        signatures.issue("p", "Ab+/cQ==");
        for same in ["Ab+/cQ==", "Ab-_cQ==", "Ab-_cQ"] {
            assert!(signatures.knows(same, "p"), "{same}");
            assert!(signatures.knows(same, "q"), "{same}");
        }
        for other in ["Ab+/cQ==Ab+/cQ==", "Ab+/", ""] {
            assert!(!signatures.knows(other, "p"), "{other}");
        }
        signatures.by_project = true;
        assert!(signatures.knows("Ab+/cQ==", "p") && !signatures.knows("Ab+/cQ==", "q"));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut signatures = Signatures::default();
        for number in 0..=REMEMBERED {
            signatures.issue("p", &number.to_string());
            signatures.issue("p", &number.to_string());
        }
        assert_eq!(signatures.issued.len(), REMEMBERED);
        assert!(!signatures.knows("0", "p") && signatures.knows("1", "p"));
    }

    #[test]
    fn placeholders_are_taken_as_text_and_as_bytes() {
        for placeholder in [
            "skip_thought_signature_validator",
            "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
            "context_engineering_is_the_way_to_go",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
        }
        assert!(!is_placeholder("skip"));
    }
}
