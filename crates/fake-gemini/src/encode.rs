//! The bytes of successes and of errors, before they are compressed or cut.

mod compat;
mod native;
mod success;

pub(crate) use compat::PNG;
pub(crate) use success::{Context, Success};

use crate::answer::Answer;
use crate::api::{Delivery, Surface};
use crate::errors::ApiError;
use crate::reply::MidStream;
use crate::route::Target;
use success::{EVENT_STREAM, JSON_UTF8, event};

pub(crate) fn success(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    match context.target.surface {
        Surface::Compat => compat::success(answer, delivery, context),
        Surface::Native => native::success(answer, delivery, context),
    }
}

/// The content type and the bytes of an error instead of an answer.
pub(crate) fn error(target: &Target, error: &ApiError) -> (&'static str, String) {
    match (target.surface, target.delivery) {
        (Surface::Compat, _) => (JSON_UTF8, error.pretty_array()),
        // Not an event, despite the content type.
        (Surface::Native, Delivery::Events) => (EVENT_STREAM, error.pretty()),
        (Surface::Native, _) => (JSON_UTF8, error.pretty()),
    }
}

/// The bytes of an error after at least one event of a stream.
pub(crate) fn mid_stream(target: &Target, error: &ApiError, form: MidStream) -> String {
    match (form, target.surface, target.delivery) {
        // In an array, an error can only be an element.
        (_, Surface::Native, Delivery::Array) => {
            native::ARRAY_SEPARATOR.to_owned() + &error.pretty() + native::ARRAY_END
        }
        (MidStream::Object, surface, _) => event(surface, &error.compact()),
        (MidStream::Array, surface, _) => event(surface, &format!("[{}]", error.compact())),
        (MidStream::Unframed, Surface::Compat, _) => error.pretty_array(),
        (MidStream::Unframed, Surface::Native, _) => error.pretty(),
    }
}
