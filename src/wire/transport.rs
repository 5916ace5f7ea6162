//! A call that got no response, or not all of it.

use std::fmt;

/// Why no response came, or why it broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// The host does not let the component call this address.
    Denied,
    /// The upstream took too long.
    TimedOut,
    /// The request never left: no connection could be had, or the upstream took no further request on it.
    NotSent(String),
    /// The connection failed before the response began; whether the upstream has read the request is open.
    Unanswered(String),
    /// The host ends.
    Stopping,
    /// Anything else, in the host's words: refused, reset, unresolved, TLS trouble.
    Failed(String),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the host does not allow calls to the upstream's address"),
            Self::TimedOut => f.write_str("the upstream took too long"),
            Self::Stopping => f.write_str("the pool's host is stopping"),
            Self::NotSent(reason) => write!(f, "no request reached the upstream: {reason}"),
            Self::Unanswered(reason) | Self::Failed(reason) => {
                write!(f, "connection to the upstream failed: {reason}")
            }
        }
    }
}

impl std::error::Error for TransportError {}
