//! One instance of the component: what it holds, what it may call, and how long it lives.
//!
//! An instance is reused as with Spin: up to 128 requests, 16 at a time, dropped after a second without work. Work that
//! a request leaves behind (a spawned task) keeps its instance alive. When the host ends, instances without work go at
//! once, and the others as soon as they have none.

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
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Everything outside that the component may reach.
pub(crate) struct World {
    /// Its variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// The databases that it may open.
    pub(crate) databases: Databases,
    /// The way out.
    pub(crate) outbound: outbound::Client,
    /// Its environment variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// Its wall clock, where a test sets it; otherwise the machine's.
    pub(crate) clock: Option<FileClock>,
    /// Whether its output is kept from the terminal.
    pub(crate) quiet: bool,
}

/// How long instances are reused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reuse {
    /// Requests in an instance's life.
    pub(crate) requests: usize,
    /// Requests at the same time.
    pub(crate) concurrent_requests: usize,
    /// How long an instance is kept without work.
    pub(crate) idle: Duration,
}

/// What is behind the server: it gives each request to an instance, and makes instances as they are needed.
#[derive(Clone)]
pub(crate) struct Handler(ProxyHandler<State>);

/// Prepares a component for requests.
///
/// # Errors
/// It imports what this host does not have, or exports no HTTP handler.
pub(crate) fn handler(component: Component, world: World, reuse: Reuse) -> Result<Handler> {
    let mut linker = Linker::new(component.engine());
    link(&mut linker)?;
    let service = linker
        .instantiate_pre(&component)
        .and_then(ServicePre::new)
        .map_err(anyhow::Error::from)
        .context("the component does not fit this host, which offers WASI and what else wit/world.wit says")?;
    Ok(Handler(ProxyHandler::new(State {
        service,
        world: Arc::new(world),
        reuse,
        stopping: CancellationToken::new(),
        instances: TaskTracker::new(),
        requests: AtomicU64::new(0),
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
    /// Gives the request to an instance.
    ///
    /// # Errors
    /// The instance trapped, or none could be made.
    pub(crate) async fn handle(
        &self,
        request: wasmtime_wasi_http::handler::Request,
    ) -> wasmtime::Result<wasmtime_wasi_http::handler::Response> {
        self.0.state().requests.fetch_add(1, Ordering::Relaxed);
        self.0.handle((), request).await
    }

    /// What there was so far, as JSON.
    pub(crate) fn statistics(&self) -> String {
        let state = self.0.state();
        format!(
            r#"{{"requests":{},"statements":{}}}"#,
            state.requests.load(Ordering::Relaxed),
            state.world.databases.statements()
        )
    }

    /// Waits until no instance has anything left to do. No request may come in any more.
    pub(crate) async fn finish(&self) {
        let state = self.0.state();
        state.stopping.cancel();
        state.instances.close();
        state.instances.wait().await;
    }

    /// Expects instances to be dropped in the middle of their work from now on.
    pub(crate) fn cut_off(&self) {
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
    /// For requests on their way in.
    fn incoming(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.incoming,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Lets a request's headers through as they are: wasmtime, newer here than in Spin, would leave some out, such as `host`.
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
    /// Set when the host ends.
    stopping: CancellationToken,
    /// Counts the instances that there are.
    instances: TaskTracker,
    /// Given to instances so far.
    requests: AtomicU64,
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

/// Ends an instance that has had no work for a while.
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
            // A model may think for minutes, and a stream may last for hours: no request is ever too old.
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
        }
    }
}

/// How an instance is used up.
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
            // At the very end of the host, what has not finished is dropped; that is told once, and is no failure.
            let dropped = self.stopping.is_cancelled() && error.to_string() == "worker panicked";
            if !dropped {
                log(format_args!(
                    "an instance of the component failed and is gone, with the requests that it had: {}",
                    error.root_cause()
                ));
            }
        }
        drop(store);
    }
}
