//! `GET settings`: the settings in force.

use super::request::{Refusal, Request, Response};
use crate::config::Setting;
use serde::Serialize;

#[derive(Serialize)]
struct SettingList<'a> {
    items: Vec<Setting>,
    warnings: &'a [String],
}

/// `GET settings`
pub(super) fn list(request: &Request<'_>) -> Result<Response, Refusal> {
    request.query()?.finish()?;
    Response::ok(&SettingList {
        items: request.config.settings(),
        warnings: request.config.warnings(),
    })
}
