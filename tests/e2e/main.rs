//! End-to-end tests: the real component in a real host, with a fake Gemini as its upstream. Each
//! test checks both sides: what the client received, and what the upstream saw.
//!
//! The tests run on the embedded host, or on Spin with `KEYPOOL_TEST_HOST=spin`.

#![cfg(test)]

mod support;

// The table of contents.
mod affinity;
mod alerts;
mod bodies;
mod browser;
mod chat;
mod clients;
mod coding_agents;
mod commands;
mod concurrency;
mod dashboard;
mod drills;
mod encryption;
mod errors;
mod failover;
mod gemini;
mod http2;
mod import;
mod keys;
mod limits;
mod metrics;
mod openapi;
mod operators;
mod origins;
mod request_lines;
mod requests;
mod secrets;
mod sessions;
mod stall;
mod stop;
mod storage;
mod streaming;
mod tokens;
