//! Google's two APIs, and the kinds of answers.

use crate::pool::CredentialHeader;

/// One of Google's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The one for OpenAI's clients.
    OpenAi,
    /// Google's own.
    Gemini,
}

impl Surface {
    /// The header that carries keys there, unless the upstream wants a key in the other one.
    pub fn credential_header(self) -> CredentialHeader {
        match self {
            Self::OpenAi => CredentialHeader::Authorization,
            Self::Gemini => CredentialHeader::GoogleApiKey,
        }
    }
}

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OpenAI chat completion.
    Chat,
    /// What a model says, in Google's own form.
    Generate,
    /// Anything else.
    Other,
}
