//! A notification through the host: a stream that never carries anything and whose end notifies.
//!
//! `wit-bindgen`'s own way to wake one task from another, the feature `inter-task-wakeup`, is off:
//! it cancels a read on a stream that is still in a waitable set, on which wasmtime 48 and newer
//! trap, and it costs every request a read and a cancellation at each await. This one costs nothing
//! until a task waits.

use crate::sync::{Notified, Notify};
use spin_sdk::wasip3::wit_stream;

pub(super) fn new() -> (Notify, Notified) {
    let (writer, mut reader) = wit_stream::new::<u8>();
    let notified = Box::pin(async move {
        let _ = reader.read(Vec::with_capacity(1)).await;
    });
    (Notify::on_drop(writer), notified)
}
