//! Distributes requests over instances of the component.

mod placement;
mod spin;
mod warm;

pub(crate) use placement::Limits;
pub(crate) use spin::Reuse;

use crate::guest::Guests;
use spin::Spin;
use warm::{Ticket, Warm};
use wasmtime_wasi_http::handler::{Request, Response};

/// How requests are distributed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheduling {
    /// Over a few warm instances.
    Warm(Limits),
    /// As Spin does.
    Spin(Reuse),
}

/// Distributes requests over instances, which it starts as needed.
#[derive(Clone)]
pub(crate) enum Scheduler {
    Warm(Warm),
    Spin(Spin),
}

/// A response, and what must be kept until its end.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) ticket: Option<Ticket>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let ticket = None;
        Self { response, ticket }
    }
}

/// Why there is no response.
pub(crate) enum Failure {
    /// All instances and the queue are full.
    Busy,
    /// The instance trapped or could not be created.
    Instance(wasmtime::Error),
}

impl Scheduler {
    pub(crate) fn new(guests: Guests, scheduling: Scheduling) -> Self {
        match scheduling {
            Scheduling::Warm(limits) => Self::Warm(Warm::new(guests, limits)),
            Scheduling::Spin(reuse) => Self::Spin(Spin::new(guests, reuse)),
        }
    }

    /// Lets an instance handle the request.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn handle(&self, request: Request) -> Result<Answer, Failure> {
        match self {
            Self::Warm(warm) => warm.handle(request).await,
            Self::Spin(spin) => match spin.handle(request).await {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(Failure::Instance(error)),
            },
        }
    }

    /// Waits until all instances are idle. No request may arrive any more.
    pub(crate) async fn finish(&self) {
        match self {
            Self::Warm(warm) => warm.finish().await,
            Self::Spin(spin) => spin.finish().await,
        }
    }

    /// Announces that instances will be dropped while they work.
    pub(crate) fn abort(&self) {
        match self {
            Self::Warm(_) => {}
            Self::Spin(spin) => spin.abort(),
        }
    }
}
