//! Instances of the component: their state, the host functions they call, and their lifetime.
//!
//! Instances are reused as with Spin: for up to 128 requests, 16 at a time, until they are idle for
//! a second. A task that a request spawned keeps its instance alive. When the host stops, instances
//! are dropped as soon as they are idle.

use crate::bindings;
use crate::clock::FileClock;
use crate::log::{guest_stderr, guest_stdout, log};
use crate::outbound;
use crate::sqlite::{Databases, SqliteHost, SqliteView};
use crate::variables::VariablesHost;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Everything outside of the component that it can reach.
pub(crate) struct World {
    /// Spin variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Databases that it may open.
    pub(crate) databases: Databases,
    /// The HTTP client.
    pub(crate) outbound: outbound::Client,
    /// Environment variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// The wall clock of a test, or `None` for the machine's.
    pub(crate) clock: Option<FileClock>,
    /// Whether its output is discarded.
    pub(crate) quiet: bool,
}

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

/// Dispatches requests to instances, which it creates as needed.
#[derive(Clone)]
pub(crate) struct Handler(ProxyHandler<State>);

/// Links a component, ready for requests.
///
/// # Errors
/// It imports something that this host lacks, or exports no HTTP handler.
pub(crate) fn handler(component: Component, world: World, reuse: Reuse) -> Result<Handler> {
    let mut linker = Linker::new(component.engine());
    link(&mut linker)?;
    let service = linker
        .instantiate_pre(&component)
        .and_then(ServicePre::new)
        .map_err(anyhow::Error::from)
        .context(
            "the component does not fit this host, which offers WASI and the other imports of \
             wit/world.wit",
        )?;
    Ok(Handler(ProxyHandler::new(State {
        service,
        world: Arc::new(world),
        reuse,
        stopping: CancellationToken::new(),
        instances: TaskTracker::new(),
    })))
}

fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    bindings::sqlite::add_to_linker::<_, SqliteHost>(linker, |guest| SqliteView {
        table: &mut guest.table,
        databases: &guest.world.databases,
    })?;
    bindings::variables::add_to_linker::<_, VariablesHost>(linker, |guest| &guest.world.variables)
}

impl Handler {
    /// Lets an instance handle the request.
    ///
    /// # Errors
    /// The instance trapped or could not be created.
    pub(crate) async fn handle(
        &self,
        request: wasmtime_wasi_http::handler::Request,
    ) -> wasmtime::Result<wasmtime_wasi_http::handler::Response> {
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

/// The state of one instance.
struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: outbound::Hooks,
    incoming: Incoming,
    table: ResourceTable,
    world: Arc<World>,
}

impl Guest {
    /// The view for incoming requests.
    fn incoming(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.incoming,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Passes all headers of a request on. By default, wasmtime drops some that Spin keeps, such as
/// `host`.
struct Incoming;

impl WasiHttpHooks for Incoming {
    fn is_forbidden_header(&mut self, _: &http::HeaderName) -> bool {
        false
    }

    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<outbound::Sent, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

struct State {
    service: ServicePre<Guest>,
    world: Arc<World>,
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
        let mut wasi = WasiCtx::builder();
        if !self.world.quiet {
            wasi.stdout(guest_stdout()).stderr(guest_stderr());
        }
        for (name, value) in &self.world.environment {
            wasi.env(name, value);
        }
        if let Some(clock) = &self.world.clock {
            wasi.wall_clock(clock.clone());
        }
        let guest = Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: self.world.outbound.hooks(),
            incoming: Incoming,
            table: ResourceTable::new(),
            world: Arc::clone(&self.world),
        };
        let mut store = Store::new(self.service.engine(), guest);
        let proxy = Proxy::P3(self.service.instantiate_async(&mut store).await?);
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
