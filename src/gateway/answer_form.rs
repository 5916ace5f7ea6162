//! What form an answer has, and which form the client requested.

use crate::wire::openai::repair::{self, Requested};
use crate::wire::translate;
use crate::wire::{ClientApi, Kind, Surface};

/// A plain answer up to this size is held until its row is in the log: 1 MiB. A larger one streams
/// through, all but its last chunk, so that memory stays bounded.
pub(super) const MAX_HELD_ANSWER: usize = 1024 * 1024;

/// An answer up to this size is held to be converted: 16 MiB, more than Google's largest list of
/// embeddings.
const MAX_CONVERTED_ANSWER: usize = 16 * 1024 * 1024;

/// An answer up to this size is held to be translated: 64 MiB, more than Google's largest images.
/// A larger one is refused.
const MAX_TRANSLATED_ANSWER: usize = 64 * 1024 * 1024;

/// The form of the answer, and the one that the client requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerForm {
    /// The API of the client.
    pub(super) api: ClientApi,
    /// The API of the upstream.
    pub(super) surface: Surface,
    pub(super) kind: Kind,
    /// Whether it may arrive incrementally, with pauses.
    pub(super) may_pause: bool,
    /// Whether it is a streamed JSON array.
    pub(super) is_array: bool,
    /// What repair needs to know; `None` if the answer is not repaired.
    pub(super) repair: Option<repair::Context>,
    /// The form that the client requested, if the answer is translated.
    pub(super) translation: Option<translate::Form>,
}

impl AnswerForm {
    /// Whether a response with this status is the answer.
    pub(super) fn is_answer(&self, status: u16) -> bool {
        match self.kind {
            Kind::Chat | Kind::Generate => status == 200,
            // 304: the client has it already. 308: an upload continues.
            Kind::Other => (200..300).contains(&status) || [304, 308].contains(&status),
        }
    }

    /// Up to which size a plain answer is held.
    pub(super) fn max_held(&self) -> usize {
        if self.translation.is_some() {
            return MAX_TRANSLATED_ANSWER;
        }
        match self.repair.as_ref().map(|context| context.requested) {
            Some(Requested::Base64Embeddings | Requested::Stream { .. }) => MAX_CONVERTED_ANSWER,
            Some(_) | None => MAX_HELD_ANSWER,
        }
    }
}
