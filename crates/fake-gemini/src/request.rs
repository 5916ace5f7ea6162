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

/// Reads a request, or refuses it.
pub(crate) fn read(received: &Received<'_>, unknown: UnknownFields) -> Result<Request, ApiError> {
    match received.target.surface {
        Surface::Compat => compat::read(received, unknown),
        Surface::Native => native::read(received, unknown),
    }
}
