//! The host, and the component's entry point. Only these modules name host interfaces; they are
//! compiled for WebAssembly alone.

mod entry;
mod http;
mod notify;
mod sqlite;
mod system;
