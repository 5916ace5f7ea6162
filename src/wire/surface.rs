//! Google's two APIs, and the kinds of answers.

use crate::pool::CredentialHeader;

/// One of Google's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The OpenAI-compatible API.
    OpenAi,
    /// Google's own API.
    Gemini,
}

impl Surface {
    /// The header that carries keys on this API, unless the upstream wants a key in the other one.
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
    /// Generated content in Google's format.
    Generate,
    /// Anything else.
    Other,
}
