//! One call, from its arrival to its answer.

use crate::answer::Answer;
use crate::api::{Delivery, Operation};
use crate::clock::Clock;
use crate::connection::Handle;
use crate::credential::{self, Credential};
use crate::encode::{self, Context, Success};
use crate::errors::{self, ApiError};
use crate::keys::{Key, Keys};
use crate::log::{Call, CallGuard, Ended, Log};
use crate::models::{self, bare};
use crate::output::{self, BrokenOff, Composed, Encoding, ReplyBody, Source};
use crate::quota::Quotas;
use crate::reply::{Content, Head, Reply};
use crate::request::{self, Received, Request, UnknownFields};
use crate::resources::{Caller, Outcome, Resources};
use crate::route::Target;
use crate::signatures::Signatures;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Makes the reply to calls for which none is scripted.
pub(crate) type DefaultReply = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

/// All that a fake knows.
pub(crate) struct State {
    pub(crate) log: Arc<Log>,
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) origin: String,
    pub(crate) clock: Clock,
    pub(crate) unknown_fields: UnknownFields,
    pub(crate) default_reply: Mutex<DefaultReply>,
    pub(crate) world: Mutex<World>,
}

/// The part that calls and tests change.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) scripts: HashMap<String, VecDeque<Reply>>,
    pub(crate) scripts_for_any: VecDeque<Reply>,
    pub(crate) quotas: Quotas,
    resources: Resources,
    signatures: Signatures,
}

impl State {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // No panic leaves it half updated.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn default_reply(&self) -> MutexGuard<'_, DefaultReply> {
        let reply = self.default_reply.lock();
        reply.unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// The next scripted reply for a key: its own first.
    fn next_scripted(&mut self, key: &str, known: Option<&Key>) -> Option<Reply> {
        let own = self.scripts.get_mut(key).and_then(VecDeque::pop_front);
        own.or_else(|| known.and_then(|_| self.scripts_for_any.pop_front()))
    }
}

/// What a call requests.
struct Asked {
    target: Target,
    /// The key, or the error if it is missing. A resumed upload uses the key that started it.
    key: Result<String, ApiError>,
    /// The key, if it is registered.
    known: Option<Key>,
    /// The model that was requested; empty if there is none.
    model: String,
    delivery: Delivery,
    /// Whether the request can be read at all.
    shape: Result<(), ApiError>,
    request: Result<Request, ApiError>,
}

impl Asked {
    fn new(
        state: &State,
        target: Target,
        headers: &HeaderMap,
        credentials: &[Credential],
        bytes: &Bytes,
    ) -> Self {
        let key = match target.upload() {
            None => credential::key(&target, credentials).map(str::to_owned),
            Some(id) => state.world().resources.uploader(id),
        };
        let received = Received::new(&target, headers, bytes);
        let (model, delivery) = (received.model().unwrap_or_default(), received.delivery());
        let shape = request::check_shape(&received, state.unknown_fields);
        let mut request = shape.clone().and_then(|()| request::read(&received));
        let world = state.world();
        if models::requires_signatures(&model) {
            let checked = |read: &Request| world.signatures.check(&read.turn);
            request = request.and_then(|read| checked(&read).map(|()| read));
        }
        let known = key.as_deref().ok().and_then(|key| world.keys.find(key));
        Self {
            known: known.cloned(),
            key,
            model,
            delivery,
            shape,
            request,
            target,
        }
    }

    /// The key's project. A key that is not registered has one of its own, named like the key.
    fn project(&self) -> &str {
        let key = self.key.as_deref().unwrap_or_default();
        self.known.as_ref().map_or(key, |known| &known.project)
    }
}

/// Answers a call. The error makes hyper drop the connection without a response.
pub(crate) async fn answer(
    state: Arc<State>,
    connection: Arc<Handle>,
    request: http::Request<Incoming>,
) -> Result<Response<ReplyBody>, BrokenOff> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    // An error means that the client left before it had sent everything.
    let body = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    let (headers, query) = (&parts.headers, parts.uri.query());
    let target = Target::find(&parts.method, parts.uri.path(), query);
    let credentials = credential::all(headers, query);
    let asked = target.map(|target| Asked::new(&state, target, headers, &credentials, &body));
    let mut call = new_call(&parts, body, credentials, asked.as_ref());
    let mut guard = state.log.begin(&mut call);
    let accepted = Encoding::accepted_by(&parts.headers);

    let mut composed = match &asked {
        None => output::compose_not_found(),
        Some(asked) => match decide(&state, asked, &call) {
            Err(error) => output::compose_error(&asked.target, &error, accepted),
            Ok((request, reply)) => {
                wait_for_head(&reply, &connection, &mut guard).await?;
                compose(&state, asked, request, &reply, &call, accepted)
            }
        },
    };
    guard.set_status(composed.status.as_u16());
    let timing = format!("gfet4t7; dur={}", started.elapsed().as_millis());
    if let Ok(timing) = HeaderValue::try_from(timing) {
        composed.headers.insert("server-timing", timing);
    }
    let (status, headers) = (composed.status, std::mem::take(&mut composed.headers));
    let mut response = Response::new(output::into_body(composed, connection, guard));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

/// The entry of the log.
fn new_call(
    parts: &Parts,
    body: Bytes,
    credentials: Vec<Credential>,
    asked: Option<&Asked>,
) -> Call {
    let known = asked.and_then(|asked| asked.known.as_ref());
    let model = asked.map(|asked| asked.model.as_str());
    let model = model.filter(|model| !model.is_empty());
    let known_model = model.and_then(models::find);
    Call {
        number: 0,
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        surface: asked.map(|asked| asked.target.surface),
        operation: asked.map(|asked| asked.target.operation),
        headers: parts.headers.clone(),
        body,
        credentials,
        key: asked.and_then(|asked| asked.key.clone().ok()),
        key_ordinal: known.map(|key| key.ordinal),
        project: known.map(|key| key.project.clone()),
        known_model: known_model.map(|model| model.id.to_owned()),
        model: model.map(str::to_owned),
        stream: asked.is_some_and(|asked| asked.delivery != Delivery::Whole),
        status: None,
        ended: Ended::NotYet,
        events_sent: 0,
    }
}

/// Decides what a call is answered, by the table in the crate's documentation.
fn decide<'a>(
    state: &State,
    asked: &'a Asked,
    call: &Call,
) -> Result<(&'a Request, Reply), ApiError> {
    let key = asked.key.as_ref().map_err(Clone::clone)?;
    let known = asked.known.as_ref();
    if let Ok(request) = &asked.request {
        let scripted = state.world().next_scripted(key, known);
        if let Some(reply) = scripted {
            return Ok((request, reply));
        }
    }
    let known = known.ok_or_else(errors::key_invalid)?;
    let target = &asked.target;
    let method = target.operation.grpc_method(target.version, asked.delivery);
    let refusal = known.condition.error(key, &known.project, &method);
    // The id of an upload is a credential of its own.
    if let Some(error) = refusal.filter(|_| target.upload().is_none()) {
        return Err(error);
    }
    asked.shape.clone()?;
    check_model(asked)?;
    let request = asked.request.as_ref().map_err(Clone::clone)?;
    let mut world = state.world();
    let project = &known.project;
    world.resources.check(&request.references, project)?;
    if target.operation.uses_quota() {
        let now_ms = state.clock.now_ms();
        world.quotas.admit(project, bare(&asked.model), now_ms)?;
    }
    drop(world);
    let default_reply = Arc::clone(&state.default_reply());
    Ok((request, default_reply(call)))
}

fn check_model(asked: &Asked) -> Result<(), ApiError> {
    let (target, model) = (&asked.target, asked.model.as_str());
    let operation = target.operation;
    match models::find(model) {
        _ if model.is_empty() => Ok(()),
        Some(known) if operation.suits(known) => Ok(()),
        None if operation == Operation::GetModel => {
            Err(errors::no_such_model(model, target.version))
        }
        None | Some(_) => Err(errors::model_not_found(
            model,
            target.api_version(),
            operation.name(),
        )),
    }
}

/// Waits as long as the reply says, and breaks off if it has no head.
async fn wait_for_head(
    reply: &Reply,
    connection: &Handle,
    guard: &mut CallGuard,
) -> Result<(), BrokenOff> {
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match reply.head {
        Head::Send => return Ok(()),
        Head::Silence => pending().await,
        Head::Reset => connection.reset_when_closed(),
        Head::Close => {}
    }
    guard.end(Ended::BrokenOff);
    Err(BrokenOff)
}

fn compose(
    state: &State,
    asked: &Asked,
    request: &Request,
    reply: &Reply,
    call: &Call,
    accepted: Encoding,
) -> Composed {
    let target = &asked.target;
    let source = match &reply.content {
        Content::Error(error) => Source::Error(error),
        Content::Raw(raw) => Source::Raw(raw),
        Content::Answer(answer) => match encode(state, asked, request, answer, call.number) {
            Ok(success) => Source::Success(success),
            Err(error) => return output::compose_error(target, &error, accepted),
        },
    };
    output::compose_reply(target, source, reply, accepted)
}

/// Performs the request's task, issues the answer's signatures, and encodes it.
fn encode(
    state: &State,
    asked: &Asked,
    request: &Request,
    answer: &Answer,
    number: u64,
) -> Result<Success, ApiError> {
    let outcome = perform(state, asked, request, number)?;
    let calls = answer.tool_calls.iter();
    for signature in calls.filter_map(|call| call.signature.as_deref()) {
        state.world().signatures.issue(signature);
    }
    let context = Context {
        target: &asked.target,
        model: &asked.model,
        request,
        created: state.clock.now_ms().div_euclid(1000),
        number,
        outcome,
        origin: &state.origin,
    };
    Ok(encode::success(answer, asked.delivery, &context))
}

/// Performs the request's task, if it has one.
fn perform(
    state: &State,
    asked: &Asked,
    request: &Request,
    number: u64,
) -> Result<Option<Outcome>, ApiError> {
    let Some(task) = &request.task else {
        return Ok(None);
    };
    let caller = Caller {
        project: asked.project(),
        key: asked.key.as_deref().unwrap_or_default(),
        now_ms: state.clock.now_ms(),
        number,
        origin: &state.origin,
    };
    let outcome = state.world().resources.perform(task, &caller)?;
    Ok(Some(outcome))
}
