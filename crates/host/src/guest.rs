//! Instances of the component: their state, and the host functions they call.

use crate::bindings;
use crate::clock::FileClock;
use crate::engine::EPOCH;
use crate::log::{guest_stderr, guest_stdout};
use crate::outbound;
use crate::sqlite::{Databases, SqliteHost, SqliteView};
use crate::variables::VariablesHost;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::yield_now;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline, format_err};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::Proxy;
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

/// The component, ready to be instantiated.
pub(crate) struct Guests {
    service: ServicePre<Guest>,
    world: Arc<World>,
}

impl Guests {
    /// Links a component.
    ///
    /// # Errors
    /// It imports something that this host lacks, or exports no HTTP handler.
    pub(crate) fn link(component: &Component, world: World) -> Result<Self> {
        let mut linker = Linker::new(component.engine());
        link(&mut linker)?;
        let service = linker
            .instantiate_pre(component)
            .and_then(ServicePre::new)
            .map_err(anyhow::Error::from)
            .context(
                "the component does not fit this host, which offers WASI and the other imports of \
                 wit/world.wit",
            )?;
        Ok(Self {
            service,
            world: Arc::new(world),
        })
    }

    /// Creates an instance, which may compute without a pause for `busy`, if that is limited.
    ///
    /// # Errors
    /// There is no memory for it, or it trapped.
    pub(crate) async fn instantiate(
        &self,
        memory: Memory,
        busy: Option<Duration>,
    ) -> wasmtime::Result<(Store<Guest>, Proxy)> {
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
            memory,
            busy_epochs: 0,
        };
        let mut store = Store::new(self.service.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        if let Some(limit) = busy {
            limit_busy_time(&mut store, limit);
        }
        let proxy = Proxy::P3(self.service.instantiate_async(&mut store).await?);
        Ok((store, proxy))
    }
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

/// The state of one instance.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: outbound::Hooks,
    incoming: Incoming,
    table: ResourceTable,
    world: Arc<World>,
    memory: Memory,
    /// For how many epochs the component has run without a pause.
    busy_epochs: u32,
}

/// The size of an instance's memory in bytes, which only grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

impl Memory {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.0.store(desired, Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// Stops an instance that computes for longer than `limit` without a pause, which [`Guest::pause`]
/// announces. Until then, other work gets its turn at each epoch.
fn limit_busy_time(store: &mut Store<Guest>, limit: Duration) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut store| {
        let guest = store.data_mut();
        guest.busy_epochs += 1;
        if EPOCH * guest.busy_epochs > limit {
            return Err(format_err!("it computed for {limit:?} without a pause"));
        }
        // Unlike a plain yield, it lets the runtime look for input.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now())))
    });
}

impl Guest {
    /// Announces that the component waits.
    pub(crate) fn pause(&mut self) {
        self.busy_epochs = 0;
    }

    /// The view for incoming requests.
    pub(crate) fn incoming(&mut self) -> WasiHttpCtxView<'_> {
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
