//! One call, from its arrival to its answer.

mod judge;

use crate::clock::Clock;
use crate::credential::{self, Credential};
use crate::errors::ApiError;
use crate::keys::{Key, Keys};
use crate::log::{Call, CallGuard, Ended, Log};
use crate::models::{Model, bare};
use crate::play::{self, Cut, Player, ReplyBody, Score};
use crate::quota::{Meter, Rules};
use crate::reply::{Content, Head, Reply};
use crate::resources::{Found, Resources};
use crate::server::{Line, Watch};
use crate::signatures::Signatures;
use crate::surface::{Delivery, MAX_BODY_BYTES, Operation, Request, Scene, Strictness, Target};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use judge::Asked;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
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
    pub(crate) strictness: Strictness,
    pub(crate) embedding_usage: bool,
    pub(crate) models: Vec<Model>,
    pub(crate) default_reply: DefaultReply,
    pub(crate) world: Mutex<World>,
}

/// The part that calls and tests change.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) scripts: HashMap<String, VecDeque<Reply>>,
    pub(crate) scripts_for_any: VecDeque<Reply>,
    pub(crate) quotas: Rules,
    /// Pairs of project and model.
    retired: HashSet<(String, String)>,
    pub(crate) resources: Resources,
    pub(crate) signatures: Signatures,
    meter: Meter,
}

impl State {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // Nothing in here is left half done by a panic.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, if it is registered.
    fn registered(&self, key: Option<&str>) -> Option<Key> {
        key.and_then(|key| self.world().keys.find(key).cloned())
    }

    /// Whether there is such a model; `model` is bare.
    fn knows(&self, model: &str) -> bool {
        self.models.iter().any(|known| known.id == model)
    }
}

impl World {
    /// Makes a model "no longer available to new users" for a project.
    pub(crate) fn retire(&mut self, project: &str, model: &str) {
        let place = (project.to_owned(), bare(model).to_owned());
        self.retired.insert(place);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Answers a call. The error makes hyper drop the connection without an answer.
pub(crate) async fn answer(
    state: Arc<State>,
    line: Arc<Line>,
    request: http::Request<Incoming>,
) -> Result<Response<ReplyBody>, Cut> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let target = Target::of(&parts.method, parts.uri.path(), parts.uri.query());
    let limit = target.as_ref().map_or(MAX_BODY_BYTES, Target::max_body);
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => Some(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        // The client left before it had asked anything.
        Err(_) => return Err(Cut),
    };
    let credentials = credential::all(&parts.headers, parts.uri.query());
    let asked = target
        .map(|target| Asked::new(&state, target, &parts.headers, &credentials, body.as_ref()));
    let mut call = Call {
        connection: line.number,
        ..noted(
            &state,
            &parts,
            body.unwrap_or_default(),
            credentials,
            asked.as_ref(),
        )
    };
    let mut guard = state.log.begin(&mut call);
    let watch = line.watch();
    let gzip = play::accepts_gzip(&parts.headers);

    let score = match &asked {
        None => play::compose_nothing(StatusCode::NOT_FOUND),
        Some(asked) => match judge::decide(&state, asked, &call) {
            Err(error) => play::compose_error(&asked.target, &error, gzip),
            Ok((request, reply)) => {
                before_head(&reply, &line, &mut guard).await?;
                match perform(&state, asked, request, &reply, call.number) {
                    Err(error) => play::compose_error(&asked.target, &error, gzip),
                    Ok(found) => {
                        sign(&state, asked, &reply);
                        let scene = scene(&state, request, call.number, found);
                        play::compose_reply(&asked.target, &reply, &scene, gzip)
                    }
                }
            }
        },
    };
    guard.status(score.status.as_u16());
    Ok(response(score, watch, guard, started))
}

/// The call's entry in the log, as far as the request tells it.
fn noted(
    state: &State,
    parts: &Parts,
    body: Bytes,
    credentials: Vec<Credential>,
    asked: Option<&Asked>,
) -> Call {
    let (key, known) = match asked {
        // What is done by an upload's id is done without a key.
        Some(asked) if asked.target.upload().is_some() => {
            let key = credential::only(&credentials);
            (key.map(str::to_owned), asked.known.clone())
        }
        Some(asked) => (asked.key.clone().ok(), asked.known.clone()),
        None => {
            let key = credential::only(&credentials);
            (key.map(str::to_owned), state.registered(key))
        }
    };
    let model = asked.and_then(Asked::model);
    let known_model = model.map(bare).filter(|model| state.knows(model));
    Call {
        number: 0,
        connection: 0,
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        surface: asked.map(|asked| asked.target.surface),
        operation: asked.map(|asked| asked.target.operation),
        headers: parts.headers.clone(),
        body,
        credentials,
        key,
        key_ordinal: known.as_ref().map(|key| key.ordinal),
        project: known.map(|key| key.project),
        known_model: known_model.map(str::to_owned),
        model: model.map(str::to_owned),
        stream: asked.is_some_and(|asked| asked.delivery() != Delivery::Whole),
        status: None,
        ended: Ended::NotYet,
        events_sent: 0,
    }
}

/// Waits for as long as the reply says, and gives up where it has no head.
async fn before_head(reply: &Reply, line: &Line, guard: &mut CallGuard) -> Result<(), Cut> {
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if let Some(gate) = &reply.gate {
        gate.pass().await;
    }
    match reply.head {
        Head::Send => return Ok(()),
        Head::Silence => pending().await,
        Head::Reset => line.reset_when_closed(),
        Head::Close => {}
    }
    guard.end(Ended::BrokenOff);
    Err(Cut)
}

/// Does what is asked for with what the project owns, unless the reply is of another kind.
fn perform(
    state: &State,
    asked: &Asked,
    request: &Request,
    reply: &Reply,
    number: u64,
) -> Result<Found, ApiError> {
    match (&request.task, &reply.content) {
        (Some(task), Content::Answer(_)) => {
            let at = asked.circumstances(state.clock.now_ms(), number);
            state.world().resources.perform(task, &at)
        }
        (None, _) | (Some(_), Content::Error(_) | Content::Raw { .. }) => Ok(Found::Nothing),
    }
}

/// Remembers the signatures of an answer, which have to come back.
fn sign(state: &State, asked: &Asked, reply: &Reply) {
    if let (Operation::Generate, Content::Answer(answer)) = (asked.target.operation, &reply.content)
    {
        let mut world = state.world();
        for signature in answer.signatures() {
            world.signatures.issue(asked.project(), signature);
        }
    }
}

fn scene<'a>(state: &'a State, request: &'a Request, number: u64, found: Found) -> Scene<'a> {
    Scene {
        request,
        models: &state.models,
        created: state.clock.now_ms().div_euclid(1000),
        number,
        embedding_usage: state.embedding_usage,
        origin: &state.origin,
        found,
    }
}

fn response(
    mut score: Score,
    watch: Watch,
    guard: CallGuard,
    started: Instant,
) -> Response<ReplyBody> {
    let timing = format!("gfet4t7; dur={}", started.elapsed().as_millis());
    if let Ok(timing) = HeaderValue::try_from(timing) {
        score.headers.insert("server-timing", timing);
    }
    let (status, headers) = (score.status, std::mem::take(&mut score.headers));
    let mut response = Response::new(Player::new(score, watch, guard).into_body());
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    if status.as_u16() == 499 {
        // No standard has it, so hyper does not know it.
        let phrase = ReasonPhrase::from_static(b"Client Closed Request");
        response.extensions_mut().insert(phrase);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_head_tells_how_long_it_took_in_milliseconds() {
        let started = Instant::now();
        tokio::time::advance(Duration::from_millis(1609)).await;
        let guard = Arc::new(Log::new(1, None)).begin(&mut Call::empty());
        let watch = Arc::new(Line::new(0)).watch();
        let score = play::compose_nothing(StatusCode::NOT_FOUND);
        let response = response(score, watch, guard, started);
        assert_eq!(response.headers()["server-timing"], "gfet4t7; dur=1609");
    }
}
