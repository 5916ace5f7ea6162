//! A request for the upstream, from its body to its response.

use super::affinity::{Affinity, Uses};
use super::attempt_loop::AttemptLoop;
use super::context::Context;
use super::incoming::Incoming;
use super::ports::{ByteStream, System, Upstream};
use super::request_body::{self, HeldBody};
use super::upstream_request::UpstreamRequest;
use super::{Body, Failure, Reply};
use crate::pool::Owner;
use crate::store::{self, Database};
use crate::wire::Surface;
use crate::wire::naming::is_model;
use crate::wire::openai::repair;
use crate::wire::target::{Subject, Target};
use crate::wire::translate::{self, Endpoint};
use http::request::Parts;
use http::{Method, Uri};

/// Collections whose requests use no model unless their body names it.
const MODELLESS: [&str; 2] = ["files", "cachedContents"];

/// A request that was translated to Gemini's own API.
struct Native {
    head: Parts,
    target: Target,
    body: Vec<u8>,
    form: translate::Form,
    left_out: Vec<&'static str>,
}

/// Relays one request.
pub(super) struct Relay<'a, D, U, S>(pub(super) &'a Context<'a, D, U, S>);

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
        let native_head;
        let mut held = self.read_body(&incoming, body).await?;
        if let Some(plain) = self.decompress(&incoming, &mut held).await? {
            held = plain;
            plain_head = request_body::without_encoding(incoming.head);
            incoming.head = &plain_head;
        }
        // The memory is released when the response starts.
        let HeldBody {
            bytes: mut body,
            permit: _permit,
        } = held;
        let Context {
            config,
            view,
            system,
            ..
        } = self.0;
        if let Some(endpoint) = incoming.target.endpoint {
            let native = self.translate(endpoint, &incoming, &body)?;
            (native_head, body) = (native.head, native.body);
            incoming = Incoming {
                head: &native_head,
                target: native.target,
                translation: Some(native.form),
                left_out: native.left_out,
                ..incoming
            };
        } else {
            incoming.target = incoming
                .target
                .renamed(|name| config.model_of(name).to_owned());
        }
        let mut request = UpstreamRequest::new(config, &incoming, body, system.now())?;
        self.check_model(&incoming, &request.subject)?;
        let affinity = Affinity { config, view };
        let uses = affinity.uses(&incoming, &request.body).await?;
        request.read_traits(&incoming.target, &uses);
        self.restore_signatures(&incoming, &mut request).await;
        let mut attempts = AttemptLoop::new(self.0, &incoming, &request, &uses);
        let result = attempts.run(&mut request).await;
        let mut reply = attempts.finish(result, &request)?;
        if request.form.repair.is_some()
            && incoming.target.rest.starts_with("models/")
            && let Body::Whole(bytes) = &mut reply.body
        {
            *bytes = repair::model(std::mem::take(bytes));
        }
        if let Some(owner) = attempts.latest {
            self.record(&incoming, &uses, owner, &mut reply).await;
        }
        Ok(reply)
    }

    /// Refuses models that the client token may not use, and requests that may use any.
    fn check_model(&self, incoming: &Incoming<'_>, subject: &str) -> Result<(), Failure> {
        let Some(token) = self.0.caller.client_token() else {
            return Ok(());
        };
        if token.models.is_none() {
            return Ok(());
        }
        let method = &incoming.head.method;
        let target = &incoming.target;
        let is_allowed = match &target.subject {
            // A method may follow the model.
            Subject::Path(name) => {
                let model = name.rsplit_once(':').map_or(&**name, |(model, _)| model);
                token.allows_model(name) || token.allows_model(model)
            }
            Subject::BodyOr(collection) if collection != subject => token.allows_model(subject),
            Subject::BodyOr(collection) => {
                *method == Method::GET
                    || *method == Method::HEAD
                    || *method == Method::DELETE
                    || MODELLESS.contains(&collection.as_str())
            }
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Failure::ModelNotAllowed(subject.to_owned())),
        }
    }

    /// Remembers the resources that a reply reports, for the owner of the key that gave it.
    async fn record(
        &self,
        incoming: &Incoming<'_>,
        uses: &Uses,
        owner: Owner,
        reply: &mut Reply<D, U::Body, S>,
    ) {
        let Context {
            config,
            view,
            system,
            ..
        } = self.0;
        let affinity = Affinity { config, view };
        let (key, now) = (owner.key, system.now());
        if let Err(error) = affinity.record(incoming, uses, owner, reply, now).await {
            system.log(&format!(
                "request={} what was made with key {key} is not remembered: {error}",
                incoming.id
            ));
        }
    }

    /// Translates a request for an endpoint that Google does not serve.
    fn translate(
        &self,
        endpoint: Endpoint,
        incoming: &Incoming<'_>,
        body: &[u8],
    ) -> Result<Native, Failure> {
        let Context { config, system, .. } = self.0;
        let context = translate::Context {
            default_model: &config.default_model,
            model_of: &|name| config.model_of(name).to_owned(),
            created: system.now().0.div_euclid(1000),
            seed: system.random(),
        };
        let translated = translate::request(endpoint, body, &context)?;
        if !is_model(&translated.model) {
            return Err(Failure::no_model_name());
        }
        let uri: Uri = translated
            .method
            .path(&translated.model)
            .parse()
            .map_err(|_| Failure::no_model_name())?;
        let target = Target::of(&Method::POST, uri.path(), Surface::Gemini)
            .ok_or_else(Failure::no_model_name)?;
        let mut head = incoming.head.clone();
        head.uri = uri;
        Ok(Native {
            head,
            target,
            body: translated.body,
            form: translated.form,
            left_out: translated.left_out,
        })
    }

    async fn read_body<B: ByteStream>(
        &self,
        incoming: &Incoming<'_>,
        body: &mut B,
    ) -> Result<HeldBody, Failure> {
        let (context, headers) = (self.0, &incoming.head.headers);
        let max = context.config.max_body_bytes;
        request_body::read(headers, body, max, context.memory, context.system).await
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
        let (context, headers) = (self.0, &incoming.head.headers);
        let max = context.config.max_body_bytes;
        request_body::decompressed(headers, body, max, context.memory, context.system).await
    }

    /// Puts back the thought signatures that the client has dropped, as far as they are known.
    async fn restore_signatures(&self, incoming: &Incoming<'_>, request: &mut UpstreamRequest<'_>) {
        let Context { view, system, .. } = self.0;
        let calls = request.unsigned_calls();
        match store::signatures_of(&*view.database, &calls, system.now()).await {
            Ok(known) => request.restore_signatures(known),
            Err(error) => system.log(&format!(
                "request={} thought signatures cannot be looked up: {error}",
                incoming.id
            )),
        }
    }
}
