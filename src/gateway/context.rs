//! What serving a request for the upstream takes.

use super::authentication::Caller;
use super::request_line::RequestLine;
use super::view::PoolView;
use crate::config::Config;
use crate::sync::ByteSemaphore;
use std::rc::Rc;

/// What the stages of one request share.
pub(super) struct Context<'a, D, U, S> {
    pub(super) config: &'a Config,
    pub(super) caller: Caller,
    pub(super) line: RequestLine,
    pub(super) view: Rc<PoolView<D>>,
    /// Memory for the bodies of requests.
    pub(super) memory: &'a Rc<ByteSemaphore>,
    pub(super) upstream: &'a U,
    pub(super) system: &'a S,
}
