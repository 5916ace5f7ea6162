//! OpenAI's Responses API.
//!
//! | module | contents |
//! |---|---|
//! | `request` | the parameters of a request |
//! | `input` | its items, as Gemini's contents |
//! | `content` | what items contain, as Gemini's parts |
//! | `tools` | its tools, as functions or Google's search |
//! | `choice` | which of them the model may call |
//! | `response` | the response, its items, and what it repeats of the request |
//! | `answer` | Gemini's answer, as events and items |
//! | `citations` | the sources of its passages |
//! | `stream` | the format of the events |
//!
//! - The pool stores no responses, so the input must be the whole conversation. What refers to
//!   stored state is refused, as the model would miss a part of the conversation.
//! - A thought signature is the `encrypted_content` of a reasoning item before the item that it
//!   belongs to. Clients send reasoning items back unchanged.
//! - What only tunes OpenAI's service, such as `service_tier`, is ignored. So are unknown
//!   parameters, as OpenAI keeps adding some.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/responses>,
//! <https://github.com/openai/openai-openapi>.

mod answer;
mod choice;
mod citations;
mod content;
mod form;
mod input;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod tools;

pub(crate) use answer::Turn;
pub use form::Form;
pub(crate) use request::request;
