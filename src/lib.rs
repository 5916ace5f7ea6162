//! Gemini Keypool: a Spin component between OpenAI-style clients and Google's Gemini API that spreads calls over a pool
//! of API keys.
//!
//! | module | what it knows |
//! |---|---|
//! | [`pool`] | decisions: which key, and what an outcome does to it. Pure |
//! | [`gemini`], [`openai`] | the two wires, as far as they are read or written. Pure |
//! | [`target`] | which of the two a request is for, and what for. Pure |
//! | `traits` | what a request is like, as far as it decides whose fault a refusal is. Pure |
//! | `tally` | what the events of a stream come to. Pure |
//! | `skim` | looking into JSON without building it. Pure |
//! | [`conversation`] | which conversation a request goes on with. Pure |
//! | [`model_list`] | lists of models, put together. Pure |
//! | [`resource`] | names of what belongs to a project. Pure |
//! | [`sse`], [`json_array`] | the end of a stream and errors in it, in its two forms. Pure |
//! | [`naming`] | which names of models, methods and collections are taken and stored. Pure |
//! | [`origin`] | which web pages may call. Pure |
//! | [`redact`] | keeping secrets out of texts. Pure |
//! | [`signal`], [`once`], [`room`] | waiting for another task of the instance; having one do what all need; sharing its memory |
//! | [`config`] | the variables, checked |
//! | [`store`] | the schema and all SQL, over a small `Database` trait |
//! | [`gateway`] | the sequence of one request, over traits for all that is outside |
//! | [`admin`] | what operators see |
//! | `adapters` | the host: HTTP, SQLite, variables, clock. WebAssembly only |
//!
//! Knowledge points one way: `pool` ← `gateway` ← `adapters`; nothing inside knows what is outside of it. The reasons are
//! in `docs/architecture.md`.

pub mod admin;
pub mod config;
pub mod conversation;
pub mod gateway;
pub mod gemini;
pub mod json_array;
pub mod model_list;
pub mod naming;
pub mod once;
pub mod openai;
pub mod origin;
pub mod pool;
pub mod redact;
pub mod resource;
pub mod room;
pub mod signal;
mod skim;
pub mod sse;
pub mod store;
mod tally;
pub mod target;
mod traits;

#[cfg(target_family = "wasm")]
mod adapters;
