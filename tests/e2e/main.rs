//! End-to-end tests: the real component in a real host, with a fake Gemini as its upstream. Each
//! test checks both sides: what the client received, and what the upstream saw.
//!
//! The tests run on the embedded host, or on Spin with `KEYPOOL_TEST_HOST=spin`.

#[cfg(test)]
mod support;

// The table of contents.
#[cfg(test)]
mod affinity;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod gemini;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod import;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod stall;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod streaming;
