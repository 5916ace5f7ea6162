//! The handle by which a test starts a fake, scripts it, and looks at what it saw.

mod builder;

pub use builder::Builder;

use crate::keys::Condition;
use crate::log::{Call, Connections};
use crate::quota::Quota;
use crate::reply::Reply;
use crate::service::State;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running fake. Clones are handles to the same one; with the last of them it stops.
#[derive(Debug, Clone)]
pub struct FakeGemini(Arc<Running>);

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    state: Arc<State>,
    /// The server stops when this is used, or dropped.
    stop: watch::Sender<()>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl FakeGemini {
    /// Settings of a fake that is to be started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn origin(&self) -> String {
        self.0.state.origin.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Puts a reply into the queue of `key`. Each call with that key takes one; then the default applies again. The
    /// key need not be registered.
    pub fn script(&self, key: &str, reply: Reply) {
        let mut world = self.0.state.world();
        world
            .scripts
            .entry(key.to_owned())
            .or_default()
            .push_back(reply);
    }

    /// Puts a reply into the queue of all registered keys, which is used when a key's own is empty.
    pub fn script_any(&self, reply: Reply) {
        self.0.state.world().scripts_for_any.push_back(reply);
    }

    /// How many scripted replies no call has taken yet.
    pub fn unused_replies(&self) -> usize {
        let world = self.0.state.world();
        let own: usize = world.scripts.values().map(|queue| queue.len()).sum();
        own + world.scripts_for_any.len()
    }

    /// Changes what Google thinks of a key; one that is not registered is registered, with a project of its own.
    pub fn set_condition(&self, key: &str, condition: Condition) {
        self.0.state.world().keys.set_condition(key, condition);
    }

    /// Changes a project's quota for a model from now on. What was used up before still counts; in the minute, if any
    /// limit held for it.
    pub fn set_quota(&self, project: &str, model: &str, quota: Quota) {
        let mut world = self.0.state.world();
        world.quotas.set(Some(project), Some(model), quota);
    }

    /// Makes a model "no longer available to new users" for a project.
    pub fn retire_model(&self, project: &str, model: &str) {
        self.0.state.world().retire(project, model);
    }

    /// Completes a batch or a video by its whole name, such as `batches/…` or `models/…/operations/…`: nothing goes on
    /// by itself. What comes of a video or of a batch's file is a file of the project. `false` if there is none of that
    /// name, or it is done already.
    pub fn finish(&self, name: &str) -> bool {
        let now_ms = self.0.state.clock.now_ms();
        self.0.state.world().resources.finish(name, now_ms)
    }

    /// All calls so far, in the order of their arrival.
    ///
    /// # Panics
    /// A `default_reply`, an `on_call` or a clock has panicked while it served a call, which then was answered 500 or
    /// cut off. The functions that wait, and [`stop`](Self::stop), panic then too.
    pub fn calls(&self) -> Vec<Call> {
        self.0.state.log.calls()
    }

    /// The connections so far.
    pub fn connections(&self) -> Connections {
        self.0.state.log.connections()
    }

    /// Waits until the calls are as `rule` wants them, and returns them. The rule may look at the fake as well.
    pub async fn wait_until(&self, rule: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        self.0.state.log.wait_for_calls(rule).await
    }

    /// Waits until the connections are as `rule` wants them, and returns their counts.
    pub async fn wait_for_connections(&self, rule: impl Fn(Connections) -> bool) -> Connections {
        self.0.state.log.wait_for_connections(rule).await
    }

    /// Stops listening, cuts what is open, and returns when all that is done. The log stays readable. It panics as
    /// [`calls`](Self::calls) does.
    pub async fn stop(&self) {
        self.0.stop.send_replace(());
        let server = self
            .0
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            // An error would be a panic of the server's task, which has then stopped too.
            let _ = server.await;
        }
        self.0.state.log.check();
    }
}
