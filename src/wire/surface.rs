//! Google's two APIs, those of clients, and the kinds of answers.

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

/// The API that a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientApi {
    /// OpenAI's.
    OpenAi,
    /// Google's own.
    Gemini,
    /// Anthropic's.
    Anthropic,
    /// The pool's own, for operators.
    Admin,
}

impl From<Surface> for ClientApi {
    fn from(surface: Surface) -> Self {
        match surface {
            Surface::OpenAi => Self::OpenAi,
            Surface::Gemini => Self::Gemini,
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
