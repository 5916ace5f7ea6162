//! A chat completion: one key, one call, and its answer.

use super::ports::{ByteStream, System, TransportError, Upstream, UpstreamResponse};
use super::refusal::Refusal;
use super::reply::{AnswerStream, Body, Call, Reply};
use super::{Failure, Gateway, request_body};
use crate::config::Config;
use crate::gemini::{MAX_ERROR_BYTES, Seen};
use crate::openai::ChatRequest;
use crate::pool::{self, ApiKey, Outcome, PoolKey};
use crate::store::{self, Database};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::rc::Rc;

/// The client's headers that the upstream gets. Everything else stays here: credentials, cookies, forwarding and
/// hop-by-hop headers, and whatever the host adds.
const FORWARDED_HEADERS: [HeaderName; 2] = [header::ACCEPT, header::USER_AGENT];

/// A plain answer up to this size is held until its call is in the log; a larger one streams through, all but its last
/// chunk, so that memory stays bounded.
const MAX_HELD_ANSWER: usize = 1024 * 1024;

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    pub(super) async fn complete_chat<B: ByteStream>(
        &self,
        config: &Config,
        request: &Parts,
        request_id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let body = request_body::read(&request.headers, body, config.max_body_bytes).await?;
        let chat = ChatRequest::parse(body, &config.default_model)?;
        let kept = self.kept()?;
        let key = self
            .choose_key(&kept.database)
            .await?
            .ok_or(Failure::NoUsableKey)?;

        let token = config
            .client_token
            .as_ref()
            .map(|token| token.expose().to_owned());
        let call = Call {
            request_id: request_id.to_owned(),
            key: key.id,
            secrets: [Some(key.key.expose().to_owned()), token]
                .into_iter()
                .flatten()
                .collect(),
            started_at: self.system.now(),
            recorder: Rc::clone(&kept.recorder),
            system: self.system.clone(),
        };
        let headers = upstream_headers(&request.headers, &key.key);
        match self
            .upstream
            .post(&config.chat_endpoint, headers, chat.body)
            .await
        {
            Err(error) => Err(unreachable(&call, &error).await),
            Ok(response) if response.status == 200 => answer(call, response).await,
            Ok(response) => Err(refused(&call, response).await),
        }
    }

    async fn choose_key(&self, database: &D) -> Result<Option<PoolKey>, Failure> {
        let (keys, broken) = store::pool_keys(database).await?;
        // Each once: there may be a thousand calls a second.
        for id in broken
            .into_iter()
            .filter(|id| self.told.borrow_mut().insert(*id))
        {
            self.system.log(&format!("key {id} is left out: its status, its pause or its text cannot be used; mend or delete its row"));
        }
        let mut rng = SmallRng::seed_from_u64(self.system.random());
        Ok(pool::choose(&keys, self.system.now(), &mut rng).cloned())
    }
}

fn upstream_headers(client: &HeaderMap, key: &ApiKey) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in FORWARDED_HEADERS {
        if let Some(value) = client.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    // Google compresses event streams when asked, and a compressed stream hides its last event.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    if let Ok(mut credential) = HeaderValue::from_str(&format!("Bearer {}", key.expose())) {
        credential.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, credential);
    }
    headers
}

async fn unreachable<D: Database, S: System>(call: &Call<D, S>, error: &TransportError) -> Failure {
    let (outcome, status) = match error {
        TransportError::Denied => (Outcome::PoolFault, 502),
        TransportError::TimedOut => (Outcome::UpstreamTrouble, 504),
        TransportError::Failed(_) => (Outcome::UpstreamTrouble, 502),
    };
    let message = call.redact(&error.to_string());
    call.end(outcome, None, Some(&message)).await;
    Failure::Upstream {
        outcome,
        status,
        code: None,
        message,
    }
}

/// An answer with status 200, handed on as it came.
async fn answer<D: Database, B: ByteStream, S: System>(
    call: Call<D, S>,
    response: UpstreamResponse<B>,
) -> Result<Reply<D, B, S>, Failure> {
    let UpstreamResponse {
        status,
        headers,
        mut body,
    } = response;
    let content_type = headers.get(header::CONTENT_TYPE).cloned();
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .filter(|encoding| *encoding != "identity")
        .cloned();
    let is_events = content_type
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("text/event-stream"));

    let mut reply = Reply::empty(StatusCode::OK);
    if let Some(content_type) = content_type {
        reply.headers.insert(header::CONTENT_TYPE, content_type);
    }
    if is_events {
        if encoding.is_some() {
            let reason = "the upstream compressed a stream, which it was asked not to";
            return Err(call.broken_off(status, reason).await);
        }
        let stream = AnswerStream::events(call, status, body).await?;
        reply
            .headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        reply.body = Body::Stream(Box::new(stream));
        return Ok(reply);
    }

    if let Some(encoding) = encoding {
        reply.headers.insert(header::CONTENT_ENCODING, encoding);
    }
    let mut bytes = Vec::new();
    loop {
        match body.next().await {
            Ok(Some(chunk)) if bytes.is_empty() => bytes = chunk,
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => {
                call.end(Outcome::Success, Some(status), None).await;
                reply.body = Body::Whole(bytes);
                return Ok(reply);
            }
            Err(error) => return Err(call.broken_off(status, &error.to_string()).await),
        }
        if bytes.len() > MAX_HELD_ANSWER {
            reply.body = Body::Stream(Box::new(AnswerStream::opaque(call, status, bytes, body)));
            return Ok(reply);
        }
    }
}

/// Any other status.
async fn refused<D: Database, B: ByteStream, S: System>(
    call: &Call<D, S>,
    response: UpstreamResponse<B>,
) -> Failure {
    let UpstreamResponse {
        status,
        headers,
        mut body,
    } = response;
    let mut bytes = Vec::new();
    // A body that breaks off says what it has said so far; the status alone is an answer, too.
    while let Ok(Some(chunk)) = body.next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    let seen = Seen::Response {
        status,
        headers: &headers,
        body: &bytes,
    };
    let refusal = Refusal::new(seen, call);
    call.end(refusal.outcome, Some(status), Some(&refusal.message))
        .await;
    refusal.failure
}
