//! Gemini Keypool: a Spin component between clients of OpenAI's, Anthropic's and Gemini's APIs and
//! Google's Gemini API that spreads calls over a pool of API keys.
//!
//! | module | what it knows |
//! |---|---|
//! | [`pool`] | decisions: which key serves a call, and what an outcome does to it. Pure |
//! | [`wire`] | JSON, event streams, Google's two APIs, and the translation of others to them. Pure |
//! | [`config`] | the variables, validated |
//! | [`sync`] | how tasks of one instance wait for each other |
//! | [`store`] | the schema and all SQL, over a small `Database` trait |
//! | [`admin`] | what operators read and change |
//! | [`gateway`] | the sequence of one request, over traits for everything outside |
//! | `embedded` | files within the component |
//! | `adapters` | the host: HTTP, SQLite, variables, clock. WebAssembly only |
//!
//! Dependencies run in one direction, `pool` ← `wire` ← `config` ← `store` ← `admin` ← `gateway` ←
//! `adapters`, and `sync` and `embedded` depend on nothing. The reasons are in `docs/architecture.md`.

#![expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]

pub mod admin;
pub mod config;
mod embedded;
pub mod gateway;
pub mod pool;
pub mod store;
pub mod sync;
pub mod wire;

#[cfg(target_family = "wasm")]
mod adapters;
