//! A client's request to the upstream, as it arrived.

use crate::wire::target::Target;
use http::request::Parts;

/// A request whose body has not been read yet.
pub(super) struct Incoming<'a> {
    /// The `x-request-id` of its response.
    pub(super) id: &'a str,
    pub(super) head: &'a Parts,
    pub(super) target: Target,
}
