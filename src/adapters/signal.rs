//! A signal through the host: a stream that never carries anything, whose end is the news.
//!
//! `wit-bindgen` has its own way to wake one task from another, the feature `inter-task-wakeup`. It is left off: it
//! cancels a read on a stream that is still in a waitable set, which wasmtime 48 and newer answer with a trap, and it
//! costs every request a read and a cancellation at each await. This one costs something only when there is a wait.

use crate::sync::{Signal, Wait};
use spin_sdk::wasip3::wit_stream;

pub(super) fn new() -> (Signal, Wait) {
    let (writer, mut reader) = wit_stream::new::<u8>();
    let wait = Box::pin(async move {
        let _ = reader.read(Vec::with_capacity(1)).await;
    });
    (Signal::on_drop_of(writer), wait)
}
