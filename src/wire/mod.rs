//! Formats on the wire: JSON, event streams and Google's two APIs, as far as the pool reads or
//! writes them. Pure.
//!
//! | module | contents |
//! |---|---|
//! | `surface` | the APIs, and the kinds of answers |
//! | [`target`] | what a request is for, from its method and path |
//! | [`gemini`], [`openai`] | requests, answers and errors of each API |
//! | [`stream`] | the end of a stream, and errors within it |
//! | [`json`] | reading and editing JSON text without building a tree |
//! | [`translate`] | APIs that Google does not serve, translated to and from Gemini's |
//! | [`parameters`] | reading the parameters of a request, with errors that name them |
//! | [`resource`] | names of resources that belong to a project, such as files |
//! | [`model_list`] | model lists, merged and paged |
//! | [`conversation`] | which conversation a request continues |
//! | [`request_id`] | ids of requests, which tell when they arrived |
//! | [`request_traits`] | the traits of a request that decide who is at fault when it is refused |
//! | [`naming`] | which names of models, methods and collections are accepted and stored |
//! | [`redact`] | removing secrets from text |

pub mod conversation;
pub mod gemini;
pub mod json;
pub mod model_list;
pub mod naming;
pub mod openai;
pub mod parameters;
pub mod redact;
pub mod request_id;
pub mod request_traits;
pub mod resource;
pub mod stream;
mod summary;
mod surface;
pub mod target;
pub mod translate;
mod transport;

pub use summary::Summary;
pub(crate) use summary::is_malformed_call;
pub use surface::{ClientApi, Kind, Surface};
pub use transport::TransportError;
