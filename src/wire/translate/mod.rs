//! Requests of APIs that Google does not serve, translated to Gemini's own API, and Gemini's answers
//! translated back.
//!
//! | module | contents |
//! |---|---|
//! | [`responses`] | OpenAI's Responses API |
//! | [`messages`] | Anthropic's Messages API |
//! | [`completions`] | OpenAI's legacy completions |
//! | [`speech`], [`transcriptions`] | OpenAI's speech synthesis and recognition |
//! | `form_data` | reading forms |
//! | `passages` | where the passages are that an answer cites |
//! | `generate`, `conversation`, `media`, `thinking` | writing requests for Gemini |
//! | `translated`, `turn`, `text` | what each of them makes of a request, and of an answer |
//! | `answer` | reading Gemini's answers |
//! | `events` | writing event streams |
//! | `signature` | thought signatures in fields of other APIs |
//! | [`schema`] | JSON Schemas, lowered to what Gemini accepts |
//! | [`tool_names`] | names of tools that Gemini does not accept |
//!
//! Each API has a `Turn` that takes Gemini's events one after another and writes its own. A whole
//! answer is one event to it, so streamed and whole answers cannot differ.

mod answer;
pub mod completions;
mod conversation;
mod events;
mod form_data;
mod generate;
mod media;
pub mod messages;
mod passages;
pub mod responses;
pub mod schema;
mod signature;
pub mod speech;
mod text;
mod thinking;
pub mod tool_names;
pub mod transcriptions;
mod translated;
mod turn;

pub use crate::wire::parameters::Invalid;
pub use events::StreamError;
pub use translated::{Context, Method, Translated};
pub use turn::Whole;

use crate::wire::ClientApi;
use crate::wire::openai::signatures::SignedCall;
use answer::Answer;
use events::Events;
use std::rc::Rc;
use turn::Turn;

/// An endpoint that Google does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `responses`, of OpenAI.
    Responses,
    /// `messages`, of Anthropic.
    Messages,
    /// `messages/count_tokens`, of Anthropic.
    CountTokens,
    /// `completions`, of OpenAI.
    Completions,
    /// `audio/speech`, of OpenAI.
    Speech,
    /// `audio/transcriptions`, of OpenAI.
    Transcriptions,
}

impl Endpoint {
    /// Returns the endpoint of a path below `/v1/`.
    pub fn of(rest: &str) -> Option<Self> {
        match rest {
            "responses" => Some(Self::Responses),
            "messages" => Some(Self::Messages),
            "messages/count_tokens" => Some(Self::CountTokens),
            "completions" => Some(Self::Completions),
            "audio/speech" => Some(Self::Speech),
            "audio/transcriptions" => Some(Self::Transcriptions),
            _ => None,
        }
    }

    /// The API that the endpoint belongs to.
    pub fn api(self) -> ClientApi {
        match self {
            Self::Responses | Self::Completions | Self::Speech | Self::Transcriptions => {
                ClientApi::OpenAi
            }
            Self::Messages | Self::CountTokens => ClientApi::Anthropic,
        }
    }
}

/// The form of an answer, with what the request says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A response of OpenAI.
    Response(Rc<responses::Form>),
    /// A message of Anthropic.
    Message(Rc<messages::Form>),
    /// The number of a message's tokens.
    TokenCount,
    /// A completion of OpenAI's legacy API.
    Completion(Rc<completions::Form>),
    /// A model of Anthropic's list.
    Model,
    /// Audio.
    Speech(speech::Form),
    /// What was said in audio.
    Transcript(transcriptions::Form),
}

/// Translates a request.
///
/// # Errors
/// The request is invalid, or asks for something that Gemini does not offer.
pub fn request(
    endpoint: Endpoint,
    body: &[u8],
    context: &Context<'_>,
) -> Result<Translated<Form>, Invalid> {
    Ok(match endpoint {
        Endpoint::Responses => {
            responses::request(body, context)?.map_form(|form| Form::Response(Rc::new(form)))
        }
        Endpoint::Messages => {
            messages::request(body, context)?.map_form(|form| Form::Message(Rc::new(form)))
        }
        Endpoint::CountTokens => {
            messages::count_tokens(body, context)?.map_form(|()| Form::TokenCount)
        }
        Endpoint::Completions => {
            completions::request(body, context)?.map_form(|form| Form::Completion(Rc::new(form)))
        }
        Endpoint::Speech => speech::request(body, context)?.map_form(Form::Speech),
        Endpoint::Transcriptions => {
            transcriptions::request(body, context)?.map_form(Form::Transcript)
        }
    })
}

/// The upstream sent something other than an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A longer event of the upstream ends the stream, to bound memory: 64 MiB. Google's largest events
/// contain images.
const MAX_EVENT: usize = 64 * 1024 * 1024;

/// Translates one answer.
pub struct Translator {
    turn: Box<dyn Turn>,
    /// A line whose end has not arrived.
    held: Vec<u8>,
    /// What the client has not got yet. If an event cannot be read, those before it stay here.
    events: Events,
}

impl Translator {
    /// Starts an answer in this form; `None` if such an answer is never streamed.
    pub fn new(form: &Form) -> Option<Self> {
        let turn: Box<dyn Turn> = match form {
            Form::Response(form) => Box::new(responses::Turn::new(Rc::clone(form))),
            Form::Message(form) => Box::new(messages::Turn::new(Rc::clone(form))),
            Form::Completion(form) => Box::new(completions::Turn::new(Rc::clone(form))),
            Form::Transcript(form) => Box::new(transcriptions::Turn::new(*form)),
            Form::TokenCount | Form::Model | Form::Speech(_) => return None,
        };
        Some(Self {
            turn,
            held: Vec::new(),
            events: Events::default(),
        })
    }

    /// Translates the next bytes of an event stream.
    ///
    /// # Errors
    /// An event is not an answer, or too long. [`fail`](Self::fail) returns those before it, too.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.held.is_empty() {
                self.take_line(line)?;
            } else {
                self.held.extend_from_slice(line);
                self.take_held()?;
            }
        }
        self.held.extend_from_slice(rest);
        match self.held.len() > MAX_EVENT {
            true => Err(Unreadable),
            false => Ok(self.take_events()),
        }
    }

    fn take_held(&mut self) -> Result<(), Unreadable> {
        let line = std::mem::take(&mut self.held);
        self.take_line(&line)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
            return Ok(());
        };
        if !data.is_empty() {
            let answer = Answer::parse(data).ok_or(Unreadable)?;
            self.turn.take(answer, &mut self.events);
        }
        Ok(())
    }

    fn take_events(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.events).into_bytes()
    }

    /// The events at the end of the stream.
    ///
    /// # Errors
    /// The stream ends within an event.
    pub fn end(&mut self) -> Result<Vec<u8>, Unreadable> {
        self.take_held()?;
        self.turn.end(&mut self.events);
        Ok(self.take_events())
    }

    /// The events that end the stream early.
    pub fn fail(&mut self, error: &StreamError<'_>) -> Vec<u8> {
        self.turn.fail(error, &mut self.events);
        self.take_events()
    }

    /// Tool calls so far whose thought signatures the client does not receive.
    pub fn signed_calls(&mut self) -> Vec<SignedCall> {
        self.turn.signed_calls()
    }
}

/// How the client gets an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As JSON.
    Whole,
    /// As events.
    Stream,
}

/// Translates a whole answer.
///
/// # Errors
/// It is not an answer, or one that the model failed to complete.
pub fn whole(json: &[u8], form: &Form, delivery: Delivery) -> Result<Whole, Unreadable> {
    let mut translator = match form {
        Form::TokenCount => {
            let count = messages::token_count(json).ok_or(Unreadable)?;
            return Ok(Whole::new(count, "application/json"));
        }
        Form::Model => {
            let model = std::str::from_utf8(json)
                .ok()
                .and_then(messages::models::single);
            let model = model.ok_or(Unreadable)?;
            return Ok(Whole::new(model.into_bytes(), "application/json"));
        }
        Form::Speech(form) => return speech::audio(json, *form).ok_or(Unreadable),
        Form::Response(_) | Form::Message(_) | Form::Completion(_) | Form::Transcript(_) => {
            Translator::new(form).ok_or(Unreadable)?
        }
    };
    let answer = Answer::parse(json).ok_or(Unreadable)?;
    if delivery == Delivery::Whole {
        translator.events = Events::discarded();
    }
    translator.turn.take(answer, &mut translator.events);
    translator.turn.end(&mut translator.events);
    if translator.turn.has_failed() {
        return Err(Unreadable);
    }
    let content_type = match form {
        Form::Transcript(transcriptions::Form::Text) => "text/plain; charset=utf-8",
        Form::Transcript(transcriptions::Form::Json | transcriptions::Form::VerboseJson)
        | Form::Response(_)
        | Form::Message(_)
        | Form::Completion(_)
        | Form::TokenCount
        | Form::Model
        | Form::Speech(_) => "application/json",
    };
    let whole = match delivery {
        Delivery::Whole => Whole::new(translator.turn.to_json(), content_type),
        Delivery::Stream => Whole::new(translator.take_events(), "text/event-stream"),
    };
    Ok(Whole {
        signed_calls: translator.turn.signed_calls(),
        ..whole
    })
}
