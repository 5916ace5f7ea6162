//! A request for the upstream, from its body to its response.

use super::affinity::Affinity;
use super::attempt_loop::AttemptLoop;
use super::incoming::Incoming;
use super::ports::{ByteStream, System, Upstream};
use super::request_body::{self, HeldBody};
use super::upstream_request::UpstreamRequest;
use super::view::PoolView;
use super::{Body, Failure, Reply};
use crate::config::Config;
use crate::store::{self, Database};
use crate::sync::ByteSemaphore;
use crate::wire::openai::repair;
use std::rc::Rc;

/// What relaying a request takes.
pub(super) struct Relay<'a, D, U, S> {
    pub(super) config: &'a Config,
    pub(super) view: Rc<PoolView<D>>,
    /// Memory for the bodies of requests.
    pub(super) memory: &'a Rc<ByteSemaphore>,
    pub(super) upstream: &'a U,
    pub(super) system: &'a S,
}

impl<D: Database, U: Upstream, S: System> Relay<'_, D, U, S> {
    /// Relays a request and returns the response.
    ///
    /// # Errors
    /// The request never reached the upstream.
    pub(super) async fn run<B: ByteStream>(
        &self,
        mut incoming: Incoming<'_>,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let plain_head;
        let mut held = self.read_body(&incoming, body).await?;
        if let Some(plain) = self.decompress(&incoming, &mut held).await? {
            held = plain;
            plain_head = request_body::without_encoding(incoming.head);
            incoming.head = &plain_head;
        }
        // The memory is released when the response starts.
        let HeldBody {
            bytes: body,
            permit: _permit,
        } = held;
        let config = self.config;
        incoming.target = incoming
            .target
            .renamed(|name| config.model_of(name).to_owned());
        let mut request = UpstreamRequest::new(config, &incoming, body, self.system.now())?;
        let affinity = Affinity {
            config,
            view: &self.view,
        };
        let uses = affinity.uses(&incoming, &request.body).await?;
        request.read_traits(&incoming.target, &uses);
        self.restore_signatures(&incoming, &mut request).await;
        let mut attempts = AttemptLoop::new(self, &incoming, &request, &uses);
        let result = attempts.run(&mut request).await;
        let mut reply = attempts.finish(result, &request)?;
        if request.form.repair.is_some()
            && incoming.target.rest.starts_with("models/")
            && let Body::Whole(bytes) = &mut reply.body
        {
            *bytes = repair::model(std::mem::take(bytes));
        }
        if let Some(owner) = attempts.latest {
            let key = owner.key;
            let now = self.system.now();
            let recorded = affinity.record(&incoming, &uses, owner, &mut reply, now);
            if let Err(error) = recorded.await {
                self.system.log(&format!(
                    "request={} what was made with key {key} is not remembered: {error}",
                    incoming.id
                ));
            }
        }
        Ok(reply)
    }

    async fn read_body<B: ByteStream>(
        &self,
        incoming: &Incoming<'_>,
        body: &mut B,
    ) -> Result<HeldBody, Failure> {
        let (headers, max) = (&incoming.head.headers, self.config.max_body_bytes);
        request_body::read(headers, body, max, self.memory, self.system).await
    }

    /// The plain form of a compressed body. An upload is content and stays as it is.
    async fn decompress(
        &self,
        incoming: &Incoming<'_>,
        body: &mut HeldBody,
    ) -> Result<Option<HeldBody>, Failure> {
        if incoming.target.is_upload() {
            return Ok(None);
        }
        let (headers, max) = (&incoming.head.headers, self.config.max_body_bytes);
        request_body::decompressed(headers, body, max, self.memory, self.system).await
    }

    /// Puts back the thought signatures that the client has dropped, as far as they are known.
    async fn restore_signatures(&self, incoming: &Incoming<'_>, request: &mut UpstreamRequest<'_>) {
        let calls = request.unsigned_calls();
        let now = self.system.now();
        match store::signatures_of(&*self.view.database, &calls, now).await {
            Ok(known) => request.restore_signatures(known),
            Err(error) => self.system.log(&format!(
                "request={} thought signatures cannot be looked up: {error}",
                incoming.id
            )),
        }
    }
}
