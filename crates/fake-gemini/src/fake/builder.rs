//! What can be chosen before a fake starts.

use super::{FakeGemini, Running};
use crate::answer::Answer;
use crate::clock::Clock;
use crate::keys::{Condition, Keys};
use crate::log::{Call, Log, Observer};
use crate::models::{Model, known};
use crate::quota::Quota;
use crate::reply::Reply;
use crate::server;
use crate::service::{DefaultReply, State, World};
use crate::surface::Strictness;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Settings of a fake that is to be started. Without any it knows no key, has no quotas, and is as strict as Google.
pub struct Builder {
    listen: SocketAddr,
    keys: Vec<(String, Option<String>, Condition)>,
    world: World,
    models: Vec<Model>,
    strictness: Strictness,
    embedding_usage: bool,
    clock: Clock,
    remember: usize,
    default_reply: DefaultReply,
    observer: Option<Observer>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keys: Vec::new(),
            world: World::default(),
            models: known(),
            strictness: Strictness::Refuse,
            embedding_usage: false,
            clock: Clock::system(),
            remember: usize::MAX,
            default_reply: Arc::new(|call| Reply::answer(Answer::default().as_asked(call))),
            observer: None,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Listens there instead of on a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Registers a valid key with a project of its own.
    pub fn key(self, key: impl Into<String>) -> Self {
        self.key_with(key, None, Condition::Valid)
    }

    /// Registers a valid key of a project, such as `projects/000000000001`.
    pub fn key_of_project(self, key: impl Into<String>, project: impl Into<String>) -> Self {
        self.key_with(key, Some(project.into()), Condition::Valid)
    }

    /// Registers a key in a given condition.
    pub fn key_in_condition(self, key: impl Into<String>, condition: Condition) -> Self {
        self.key_with(key, None, condition)
    }

    /// Registers a key; without a project it gets one of its own.
    pub fn key_with(
        mut self,
        key: impl Into<String>,
        project: Option<String>,
        condition: Condition,
    ) -> Self {
        self.keys.push((key.into(), project, condition));
        self
    }

    /// The quota of all projects for all models, where no other is set.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.world.quotas.set(None, None, quota);
        self
    }

    /// The quota of all projects for a model.
    pub fn quota_of_model(mut self, model: &str, quota: Quota) -> Self {
        self.world.quotas.set(None, Some(model), quota);
        self
    }

    /// The quota of a project for a model.
    pub fn quota_of_project(mut self, project: &str, model: &str, quota: Quota) -> Self {
        self.world.quotas.set(Some(project), Some(model), quota);
        self
    }

    /// Adds a model, or changes one that is known.
    pub fn model(mut self, model: Model) -> Self {
        self.models.retain(|known| known.id != model.id);
        self.models.push(model);
        self
    }

    /// Makes a model "no longer available to new users" for a project.
    pub fn retired_model(mut self, project: &str, model: &str) -> Self {
        self.world.retire(project, model);
        self
    }

    /// Adds a tuned model of a project; `id` may have `tunedModels/` in front. No other project may use it.
    pub fn tuned_model(mut self, project: &str, id: &str) -> Self {
        self.world.resources.add_tuned_model(project, id);
        self
    }

    /// Lets the compatible surface ignore fields that it does not know.
    pub fn lenient(mut self) -> Self {
        self.strictness = Strictness::Ignore;
        self
    }

    /// Takes thought signatures from the project alone that they were given to. Whether Google does is not known.
    pub fn signatures_by_project(mut self) -> Self {
        self.world.signatures.by_project = true;
        self
    }

    /// Adds `usage` to the compatible surface's embeddings. Whether Google does is not known.
    pub fn embedding_usage(mut self) -> Self {
        self.embedding_usage = true;
        self
    }

    /// Takes the time from `clock` instead of from the machine.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What calls are answered for which nothing is scripted: [`Answer::as_asked`] if this is not used. They have passed the key's condition, the checks of the
    /// request and the quota. If it panics, the call is answered 500, and [`FakeGemini::calls`] panics.
    pub fn default_reply(mut self, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        self.default_reply = Arc::new(reply);
        self
    }

    /// Is told of each call when it has ended. If it panics, so does [`FakeGemini::calls`].
    pub fn on_call(mut self, observer: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Forgets calls that have ended when there are more than `calls`, for fakes that run for long.
    pub fn remember(mut self, calls: usize) -> Self {
        self.remember = calls;
        self
    }

    /// Starts listening. It needs a tokio runtime, whose end is the fake's end too.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(self) -> io::Result<FakeGemini> {
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let mut world = self.world;
        world.keys = Keys::new(self.keys);
        let state = Arc::new(State {
            log: Arc::new(Log::new(self.remember, self.observer)),
            origin: format!("http://{address}"),
            clock: self.clock,
            strictness: self.strictness,
            embedding_usage: self.embedding_usage,
            models: self.models,
            default_reply: self.default_reply,
            world: Mutex::new(world),
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
