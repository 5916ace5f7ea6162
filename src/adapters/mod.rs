//! The host, and the component's entry point. The only modules that name host interfaces; compiled for WebAssembly alone.

mod clock;
mod entry;
mod http;
mod notify;
mod sqlite;
