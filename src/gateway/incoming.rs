//! A client's request to the upstream, as it arrived.

use crate::wire::ClientApi;
use crate::wire::target::Target;
use crate::wire::translate;
use http::request::Parts;

/// A request whose body has not been read yet.
pub(super) struct Incoming<'a> {
    /// The `x-request-id` of its response.
    pub(super) id: &'a str,
    pub(super) head: &'a Parts,
    pub(super) target: Target,
    /// The API of the client.
    pub(super) api: ClientApi,
    /// The form of the answer if the request has been translated. The rest of `self` is then that
    /// of the translated request.
    pub(super) translation: Option<translate::Form>,
    /// The parameters that the translation left out.
    pub(super) left_out: Vec<&'static str>,
}

impl Incoming<'_> {
    /// Turns a request for models into one of Gemini's own API, whose entries say more.
    pub(super) fn list_models_natively(&mut self) {
        if let Some(target) = self.target.native_models(&self.head.method) {
            let is_list = target.rest == "models";
            self.translation = (!is_list).then_some(translate::Form::Model);
            self.target = target;
        }
    }
}
