//! wasmtime's own handler with Spin's limits, as Spin has it: instances are reused for up to 128
//! requests, 16 at a time, until they are idle for a second. A task that a request spawned keeps
//! its instance alive.

use crate::guest::{Guest, Guests, Memory};
use crate::log::log;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, Request, Response, ShouldAccept, WorkerExpiration,
    WorkerState, WorkerStatus,
};

/// Limits for the reuse of instances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reuse {
    /// Requests per instance.
    pub(crate) requests: usize,
    /// Concurrent requests per instance.
    pub(crate) concurrent_requests: usize,
    /// How long an idle instance is kept.
    pub(crate) idle: Duration,
}

/// Starts an instance whenever none is ready.
#[derive(Clone)]
pub(crate) struct Spin(ProxyHandler<State>);

impl Spin {
    pub(crate) fn new(guests: Guests, reuse: Reuse) -> Self {
        Self(ProxyHandler::new(State {
            guests,
            reuse,
            stopping: CancellationToken::new(),
            instances: TaskTracker::new(),
        }))
    }

    /// Lets an instance handle the request.
    ///
    /// # Errors
    /// The instance trapped or could not be created.
    pub(crate) async fn handle(&self, request: Request) -> wasmtime::Result<Response> {
        self.0.handle((), request).await
    }

    /// Waits until all instances are idle. No request may arrive any more.
    pub(crate) async fn finish(&self) {
        let state = self.0.state();
        state.stopping.cancel();
        state.instances.close();
        state.instances.wait().await;
    }

    /// Announces that instances will be dropped while they work.
    pub(crate) fn abort(&self) {
        self.0.state().stopping.cancel();
    }
}

struct State {
    guests: Guests,
    reuse: Reuse,
    /// Cancelled when the host stops.
    stopping: CancellationToken,
    /// Counts instances.
    instances: TaskTracker,
}

impl HandlerState for State {
    type StoreData = Guest;
    type WorkerExpiration = Idleness;
    type WorkerState = Life;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Idleness, Life>> {
        let counted = self.instances.token();
        let (store, proxy) = self.guests.instantiate(Memory::default(), None).await?;
        Ok(Instance {
            store,
            proxy,
            view: Guest::incoming,
            expiration: Idleness {
                timeout: self.reuse.idle,
                sleep: Box::pin(tokio::time::sleep(self.reuse.idle)),
                stopping: Box::pin(self.stopping.clone().cancelled_owned()),
            },
            state: Life {
                reuse: self.reuse,
                stopping: self.stopping.clone(),
                _counted: counted,
            },
        })
    }
}

/// Drops an instance once it has been idle for a while.
struct Idleness {
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl WorkerExpiration for Idleness {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        let stopping = self.stopping.as_mut().poll(context).is_ready();
        match status {
            WorkerStatus::Idle if stopping => Poll::Ready(()),
            WorkerStatus::Idle => {
                let deadline = (since + self.timeout).into();
                if deadline != self.sleep.deadline() {
                    self.sleep.as_mut().reset(deadline);
                }
                self.sleep.as_mut().poll(context)
            }
            // A stream may last for hours, so no request is ever too old.
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
        }
    }
}

/// Limits the requests of an instance.
struct Life {
    reuse: Reuse,
    stopping: CancellationToken,
    _counted: TaskTrackerToken,
}

impl WorkerState for Life {
    type StoreData = Guest;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.requests {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.concurrent_requests {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Guest>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            // When the host aborts, it has logged that; it is not a failure.
            let is_aborted = self.stopping.is_cancelled() && error.to_string() == "worker panicked";
            if !is_aborted {
                log(format_args!(
                    "an instance of the component failed, and its requests with it: {}",
                    error.root_cause()
                ));
            }
        }
        drop(store);
    }
}
