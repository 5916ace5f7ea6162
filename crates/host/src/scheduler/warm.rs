//! A few warm instances that share all requests.
//!
//! wasmtime's handler, which Spin uses, starts an instance whenever none is ready at that moment,
//! so that 1,000 connections start hundreds. Here, another instance is started only if all are
//! full. Few instances share more: the connection to the database, what they know of the pool, and
//! the statements that write the log.

use super::placement::{Id, Instances, Limits, Place};
use super::{Answer, Failure};
use crate::guest::{Guest, Guests, Memory};
use crate::log::log;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store, format_err};
use wasmtime_wasi_http::handler::{Prepared, Proxy, Request, Response};

/// The memory at which an instance is replaced, in bytes, because it never gives any back.
const MAX_MEMORY: usize = 64 << 20;

/// Distributes requests over warm instances.
#[derive(Clone)]
pub(crate) struct Warm(Arc<Shared>);

struct Shared {
    guests: Guests,
    limits: Limits,
    dispatch: Mutex<Dispatch>,
    /// Counts instances.
    running: TaskTracker,
}

struct Dispatch {
    instances: Instances<Job>,
    /// The way to each instance that accepts requests. Without it, an instance ends once its work
    /// is done.
    queues: BTreeMap<Id, Queue>,
    /// Whether a task lets idle instances expire.
    is_expiring: bool,
}

/// The way to an instance.
struct Queue {
    jobs: UnboundedSender<Job>,
    memory: Memory,
}

/// A request on its way to an instance.
struct Job {
    request: Request,
    respond: oneshot::Sender<wasmtime::Result<Response>>,
    location: Location,
}

/// Where a request is. Only changed while the dispatch is locked.
type Location = Arc<Mutex<At>>;

#[derive(Debug, Clone, Copy)]
enum At {
    Queue,
    Instance(Id),
    /// It has ended, or its client has left.
    End,
}

/// Counts a request on its instance until it is dropped.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    location: Location,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut dispatch = self.shared.lock();
        if let At::Instance(id) = mem::replace(&mut *lock(&self.location), At::End) {
            dispatch.instances.release(id, Instant::now());
            let queue = dispatch.queues.get(&id);
            if queue.is_some_and(|queue| queue.memory.bytes() > MAX_MEMORY) {
                dispatch.forget(id);
            }
            self.shared.settle(&mut dispatch);
        }
    }
}

impl Warm {
    pub(crate) fn new(guests: Guests, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            guests,
            limits,
            dispatch: Mutex::new(Dispatch {
                instances: Instances::new(limits),
                queues: BTreeMap::new(),
                is_expiring: false,
            }),
            running: TaskTracker::new(),
        }))
    }

    pub(super) async fn handle(&self, request: Request) -> Result<Answer, Failure> {
        let (respond, response) = oneshot::channel();
        let location = Arc::new(Mutex::new(At::Queue));
        let ticket = Ticket {
            shared: Arc::clone(&self.0),
            location: Arc::clone(&location),
        };
        self.0.submit(Job {
            request,
            respond,
            location,
        })?;
        let response = match response.await {
            Ok(response) => response,
            Err(oneshot::Canceled) => Err(format_err!("its instance was lost")),
        };
        Ok(Answer {
            response: response.map_err(Failure::Instance)?,
            ticket: Some(ticket),
        })
    }

    pub(super) async fn finish(&self) {
        self.0.lock().queues.clear();
        self.0.running.close();
        self.0.running.wait().await;
    }
}

impl Dispatch {
    /// Sends an instance no request any more.
    fn forget(&mut self, id: Id) {
        self.instances.forget(id);
        self.queues.remove(&id);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Dispatch> {
        lock(&self.dispatch)
    }

    /// Sends a request to an instance, or lets it wait for one.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    fn submit(self: &Arc<Self>, job: Job) -> Result<(), Failure> {
        let mut dispatch = self.lock();
        match dispatch.instances.place(Instant::now()) {
            Place::Waits => dispatch.instances.wait(job).map_err(|_| Failure::Busy)?,
            Place::On(id) => self.send(&mut dispatch, id, job),
            Place::OnNew(id) => {
                self.start(&mut dispatch, id);
                self.send(&mut dispatch, id, job);
            }
        }
        Ok(())
    }

    /// Sends requests that wait to instances that have room for them.
    fn settle(self: &Arc<Self>, dispatch: &mut Dispatch) {
        while let Some(job) = dispatch.instances.next_waiting() {
            if let At::End = *lock(&job.location) {
                continue;
            }
            match dispatch.instances.place(Instant::now()) {
                Place::Waits => return dispatch.instances.wait_again(job),
                Place::On(id) => self.send(dispatch, id, job),
                Place::OnNew(id) => {
                    self.start(dispatch, id);
                    self.send(dispatch, id, job);
                }
            }
        }
    }

    fn send(&self, dispatch: &mut Dispatch, id: Id, job: Job) {
        *lock(&job.location) = At::Instance(id);
        let queue = dispatch.queues.get(&id);
        if queue.is_none_or(|queue| queue.jobs.send(job).is_err()) {
            // Its task has panicked. The request gets an error, as all others there.
            dispatch.instances.forget(id);
        }
        if !dispatch.instances.accepts(id) {
            dispatch.queues.remove(&id);
        }
    }

    fn start(self: &Arc<Self>, dispatch: &mut Dispatch, id: Id) {
        let (queue, jobs) = unbounded_channel();
        let memory = Memory::default();
        self.running
            .spawn(Arc::clone(self).run(id, jobs, memory.clone()));
        let queue = Queue {
            jobs: queue,
            memory,
        };
        dispatch.queues.insert(id, queue);
        if dispatch.instances.has_surplus() && !mem::replace(&mut dispatch.is_expiring, true) {
            tokio::spawn(Arc::clone(self).expire());
        }
    }

    /// Lets idle instances end until only the warm ones are left.
    async fn expire(self: Arc<Self>) {
        loop {
            sleep(self.limits.idle).await;
            let mut dispatch = self.lock();
            let Dispatch {
                instances, queues, ..
            } = &mut *dispatch;
            let is_expiring = instances.expire(Instant::now());
            queues.retain(|id, _| instances.accepts(*id));
            dispatch.is_expiring = is_expiring;
            if !is_expiring {
                return;
            }
        }
    }

    /// Runs an instance until it is retired or fails.
    async fn run(self: Arc<Self>, id: Id, mut jobs: UnboundedReceiver<Job>, memory: Memory) {
        let (store, proxy) = match self.guests.instantiate(memory, self.limits.busy).await {
            Ok(instance) => instance,
            Err(error) => {
                log(format_args!(
                    "an instance of the component cannot be created: {}",
                    error.root_cause()
                ));
                // Another one would hardly fare better, so its requests fail.
                self.lock().forget(id);
                return;
            }
        };
        if let Err(error) = serve(store, &proxy, &mut jobs).await {
            log(format_args!(
                "an instance of the component failed, and its requests with it: {}",
                error.root_cause()
            ));
            self.replace(id, jobs);
        }
    }

    /// Sends requests that have not begun on a lost instance to others.
    fn replace(self: &Arc<Self>, id: Id, mut jobs: UnboundedReceiver<Job>) {
        let mut dispatch = self.lock();
        dispatch.forget(id);
        let mut left = Vec::new();
        while let Ok(job) = jobs.try_recv() {
            left.push(job);
        }
        for job in left.into_iter().rev() {
            dispatch.instances.wait_again(job);
        }
        self.settle(&mut dispatch);
    }
}

/// Lets an instance handle requests until their queue is closed and all its work is done.
///
/// # Errors
/// It trapped.
async fn serve(
    mut store: Store<Guest>,
    proxy: &Proxy,
    jobs: &mut UnboundedReceiver<Job>,
) -> wasmtime::Result<()> {
    let Proxy::P3(service) = proxy;
    let function = *service.wasi_http_handler().func_handle().func();
    let served = store.run_concurrent(async |accessor: &Accessor<Guest>| {
        let mut calls = FuturesUnordered::new();
        let mut is_closed = false;
        poll_fn(|context| {
            accessor.with(|mut access| access.get().pause());
            loop {
                match calls.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                if is_closed
                    || accessor
                        .poll_ready_for_concurrent_call(function, context)
                        .is_pending()
                {
                    break;
                }
                match jobs.poll_recv(context) {
                    Poll::Ready(Some(job)) if job.respond.is_canceled() => {}
                    Poll::Ready(Some(job)) => {
                        let prepared = accessor.with(|mut access| {
                            let store = access.as_context_mut();
                            Prepared::new(store, proxy, job.request, Guest::incoming, job.respond)
                        })?;
                        calls.push(prepared.run(accessor, pending()));
                    }
                    Poll::Ready(None) => is_closed = true,
                    Poll::Pending => break,
                }
            }
            if is_closed && calls.is_empty() {
                return accessor.poll_no_interesting_tasks(context).map(Ok);
            }
            Poll::Pending
        })
        .await
    });
    served.await?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
