//! The handle by which a test starts the fake, scripts it, and inspects what it saw.

use crate::answer::Answer;
use crate::clock::Clock;
use crate::keys::Condition;
use crate::log::{Call, Log, Observer};
use crate::plan::Plan;
use crate::quota::Quota;
use crate::reply::Reply;
use crate::request::UnknownFields;
use crate::server;
use crate::service::{DefaultReply, State, World};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running fake. Clones are handles to the same one; it stops with the last of them.
#[derive(Clone)]
pub struct FakeGemini(Arc<Running>);

struct Running {
    address: SocketAddr,
    state: Arc<State>,
    /// The server stops when this is used or dropped.
    stop: watch::Sender<()>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl FakeGemini {
    /// Settings for a new fake.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        self.0.state.origin.clone()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Queues a reply for `key`, registered or not. Each call with the key takes one; then the
    /// default reply applies.
    pub fn script(&self, key: &str, reply: Reply) {
        let mut world = self.0.state.world();
        let queue = world.scripts.entry(key.to_owned()).or_default();
        queue.push_back(reply);
    }

    /// Queues a reply for all registered keys, used when a key's own queue is empty.
    pub fn script_any(&self, reply: Reply) {
        self.0.state.world().scripts_for_any.push_back(reply);
    }

    /// Plays a conversation from now on, instead of the default reply.
    pub fn play(&self, plan: Plan) {
        *self.0.state.default_reply() = Arc::new(move |call| plan.reply(call));
    }

    /// Changes what Google thinks of a key; an unknown one is registered.
    pub fn set_condition(&self, key: &str, condition: Condition) {
        self.0.state.world().keys.register(key).condition = condition;
    }

    /// All calls so far, in order of arrival.
    ///
    /// # Panics
    /// If a default reply has panicked, which cut its call off. [`wait_until`](Self::wait_until)
    /// and [`stop`](Self::stop) panic then, too.
    pub fn calls(&self) -> Vec<Call> {
        self.0.state.log.calls()
    }

    /// The number of connections so far.
    pub fn accepted_connections(&self) -> u64 {
        self.0.state.log.accepted_connections()
    }

    /// Waits until the calls satisfy `rule`, and returns them.
    pub async fn wait_until(&self, rule: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        self.0.state.log.wait_until(rule).await
    }

    /// Stops listening, cuts off what is open, and returns when all that is done. The log stays
    /// readable.
    pub async fn stop(&self) {
        self.0.stop.send_replace(());
        let server = self.0.server.lock();
        let server = server.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            // An error would be a panic of the server's task, which has ended then, too.
            let _ = server.await;
        }
        self.0.state.log.check();
    }
}

/// Settings for a new fake. By default it has no keys and no quotas.
pub struct Builder {
    listen: SocketAddr,
    world: World,
    unknown_fields: UnknownFields,
    clock: Clock,
    remember: usize,
    default_reply: DefaultReply,
    observer: Option<Observer>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            world: World::default(),
            unknown_fields: UnknownFields::Refuse,
            clock: Clock::system(),
            remember: usize::MAX,
            default_reply: Arc::new(|call| Reply::answer(Answer::default().as_asked(call))),
            observer: None,
        }
    }
}

impl Builder {
    /// Listens there instead of on a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Registers a valid key with a project of its own.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.world.keys.register(&key.into());
        self
    }

    /// Registers a valid key of a project, such as `projects/000000000001`.
    pub fn key_of_project(mut self, key: impl Into<String>, project: impl Into<String>) -> Self {
        self.world.keys.register(&key.into()).project = project.into();
        self
    }

    /// The quota of all projects and models for which no other is set.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.world.quotas.default = quota;
        self
    }

    /// The quota of a project for a model.
    pub fn quota_of_project(mut self, project: &str, model: &str, quota: Quota) -> Self {
        self.world.quotas.set(project, model, quota);
        self
    }

    /// Ignores unknown fields.
    pub fn lenient(mut self) -> Self {
        self.unknown_fields = UnknownFields::Ignore;
        self
    }

    /// Takes the time from `clock` instead of the machine.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The reply to calls for which none is scripted; [`Answer::as_asked`] by default. Such calls
    /// have passed the key's condition, the checks of the request and the quota.
    pub fn default_reply(mut self, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        self.default_reply = Arc::new(reply);
        self
    }

    /// Passes each call to `observer` when it has ended.
    pub fn on_call(mut self, observer: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Forgets calls that have ended when there are more than `calls`.
    pub fn remember(mut self, calls: usize) -> Self {
        self.remember = calls;
        self
    }

    /// Starts listening. It needs a tokio runtime and ends with it.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(self) -> io::Result<FakeGemini> {
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            log: Arc::new(Log::new(self.remember, self.observer)),
            origin: format!("http://{address}"),
            clock: self.clock,
            unknown_fields: self.unknown_fields,
            default_reply: Mutex::new(self.default_reply),
            world: Mutex::new(self.world),
        });
        let (stop, stopped) = watch::channel(());
        let server = tokio::spawn(server::serve(listener, Arc::clone(&state), stopped));
        Ok(FakeGemini(Arc::new(Running {
            address,
            state,
            stop,
            server: Mutex::new(Some(server)),
        })))
    }
}
