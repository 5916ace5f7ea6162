//! Errors of calls that got no response, or an incomplete one.

use std::fmt;

/// Why there was no response, or why it broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// The host does not allow the component to call this address.
    Denied,
    /// The upstream took too long.
    TimedOut,
    /// The request was not sent: connecting failed, or the upstream accepted no further request on
    /// the connection.
    NotSent(String),
    /// The connection failed before the response began. The upstream may or may not have processed
    /// the request.
    Unanswered(String),
    /// The host is shutting down.
    Stopping,
    /// Any other failure, as described by the host: refused, reset, unresolved or a TLS error.
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
