//! Reading requests as Google's JSON front end does, with its errors.

mod body;
mod compat;
mod fields;
mod native;
mod received;
mod shapes;

pub(crate) use native::PAGE_TOKEN;
pub(crate) use received::{Received, Request};
pub(crate) use shapes::UnknownFields;

use crate::api::Surface;
use crate::errors::ApiError;
use shapes::Spelling;

/// Refuses fields that do not exist and values of another shape, which is all that Google checks
/// before it looks for the model.
pub(crate) fn check_shape(received: &Received<'_>, unknown: UnknownFields) -> Result<(), ApiError> {
    let operation = received.target.operation;
    let (known, spelling) = match received.target.surface {
        Surface::Compat => (compat::fields(operation), Spelling::AsListed),
        Surface::Native => (native::fields(operation), Spelling::Protobuf),
    };
    let Some(known) = known else {
        return Ok(());
    };
    let body = received.body.as_ref().map_err(Clone::clone)?;
    shapes::check(&body.0, known, spelling, unknown)
}

/// Reads a request whose shape is right, or refuses it.
pub(crate) fn read(received: &Received<'_>) -> Result<Request, ApiError> {
    match received.target.surface {
        Surface::Compat => compat::read(received),
        Surface::Native => native::read(received),
    }
}
