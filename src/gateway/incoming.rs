//! A client's request to the upstream, as it arrived.

use crate::wire::target::Target;
use http::request::Parts;

/// See the module's documentation. Its body is read when it is needed.
pub(super) struct Incoming<'a> {
    /// The `x-request-id` of its response.
    pub(super) id: &'a str,
    pub(super) head: &'a Parts,
    pub(super) target: Target,
}
