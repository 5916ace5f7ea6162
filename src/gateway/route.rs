//! The gateway's paths and the methods that they support.

use super::authentication::{Permission, surface_of_credential};
use super::dashboard::Asset;
use crate::admin::endpoint::{Endpoint, key_id};
use crate::pool::KeyId;
use crate::wire::target::Target;
use crate::wire::{ClientApi, Kind, Surface};
use http::Method;
use http::request::Parts;

/// The `Allow` header of a path that supports every method.
pub(super) const ANY_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A path of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// A path of the upstream.
    Upstream(Target),
    /// A path for operators.
    Operator(Action),
    /// A path of the admin API.
    Admin(Endpoint),
    /// The session of an operator in a browser.
    Session,
    /// The dashboard.
    Dashboard(Asset),
    Alive,
    Ready,
    Metrics,
}

/// What an operator may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// `/api/keys/status`
    KeysStatus,
    /// `/api/keys/{id}/reset`
    ResetKey(KeyId),
    /// `/api/pool/explain`
    Explain,
    /// `/api/pool/forget`
    Forget,
}

impl Action {
    /// The permission that it needs; `None` if clients may do it, too.
    pub(super) fn permission(&self) -> Option<Permission> {
        match self {
            Self::KeysStatus => None,
            Self::Explain => Some(Permission::Read),
            Self::ResetKey(_) | Self::Forget => Some(Permission::Change),
        }
    }
}

impl Route {
    /// The route of a request. At `/`, browsers open the dashboard.
    pub(super) fn of(request: &Parts) -> Option<Self> {
        if let Some(page) = Asset::page(request) {
            return Some(Self::Dashboard(page));
        }
        let credential = surface_of_credential(request);
        Self::find(&request.method, request.uri.path(), credential)
    }

    /// Finds the route of a path. `credential` is the API whose clients send credentials in the
    /// same way as this request.
    pub(super) fn find(method: &Method, path: &str, credential: Surface) -> Option<Self> {
        match path {
            "/api/keys/status" => Some(Self::Operator(Action::KeysStatus)),
            "/healthz" => Some(Self::Alive),
            "/readyz" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            "/api/pool/explain" => Some(Self::Operator(Action::Explain)),
            "/api/pool/forget" => Some(Self::Operator(Action::Forget)),
            "/admin/api/v1/session" => Some(Self::Session),
            path if Endpoint::is_admin(path) => Endpoint::of(path).map(Self::Admin),
            path if path.starts_with("/dashboard/") => Asset::at(path).map(Self::Dashboard),
            _ => {
                key_reset(path).or_else(|| Target::of(method, path, credential).map(Self::Upstream))
            }
        }
    }

    /// The supported methods as an `Allow` header. Every path supports `OPTIONS`.
    pub(super) fn allow_header(&self) -> &'static str {
        match self {
            Self::Upstream(target) if target.kind == Kind::Chat || target.endpoint.is_some() => {
                "POST, OPTIONS"
            }
            Self::Upstream(_) => ANY_METHOD,
            Self::Operator(Action::KeysStatus) => "GET, POST, OPTIONS",
            Self::Operator(Action::ResetKey(_) | Action::Forget) => "POST, OPTIONS",
            Self::Operator(Action::Explain) => "GET, OPTIONS",
            Self::Admin(endpoint) => endpoint.allow_header(),
            Self::Session => "GET, POST, DELETE, OPTIONS",
            Self::Dashboard(_) | Self::Alive | Self::Ready | Self::Metrics => "GET, HEAD, OPTIONS",
        }
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow_header()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }

    /// The API whose formats the response has. `client` is the API that the client speaks, as far as
    /// its headers tell: Anthropic's models are at a path that OpenAI's API has, too.
    pub(super) fn api(&self, client: ClientApi) -> ClientApi {
        match self {
            Self::Upstream(target)
                if client == ClientApi::Anthropic && target.collection() == "models" =>
            {
                client
            }
            Self::Upstream(target) => target.api(),
            Self::Operator(_) | Self::Dashboard(_) | Self::Alive | Self::Ready | Self::Metrics => {
                ClientApi::OpenAi
            }
            Self::Admin(_) | Self::Session => ClientApi::Admin,
        }
    }
}

fn key_reset(path: &str) -> Option<Route> {
    let id = path.strip_prefix("/api/keys/")?.strip_suffix("/reset")?;
    Some(Route::Operator(Action::ResetKey(key_id(id)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_support_exactly_their_methods() {
        let all = vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        for (path, methods) in [
            ("/v1/chat/completions", vec!["POST"]),
            ("/v1beta/openai/chat/completions", vec!["POST"]),
            ("/v1/responses", vec!["POST"]),
            ("/v1/messages/count_tokens", vec!["POST"]),
            ("/v1/models", all.clone()),
            ("/v1beta/files/f", all),
            ("/api/keys/status", vec!["GET", "POST"]),
            ("/healthz", vec!["GET", "HEAD"]),
            ("/readyz", vec!["GET", "HEAD"]),
            ("/metrics", vec!["GET", "HEAD"]),
            ("/dashboard/v/index.html", vec!["GET", "HEAD"]),
            ("/api/pool/explain", vec!["GET"]),
            ("/api/pool/forget", vec!["POST"]),
            ("/api/keys/7/reset", vec!["POST"]),
        ] {
            for method in [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "POS", "",
            ] {
                let Ok(parsed) = Method::from_bytes(method.as_bytes()) else {
                    continue;
                };
                let route = Route::find(&parsed, path, Surface::OpenAi).unwrap();
                assert_eq!(
                    route.allows(&parsed),
                    methods.contains(&method),
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn rejects_unknown_paths() {
        for path in [
            "/",
            "",
            "/v1/responses/resp_1",
            "//healthz",
            "/V1/chat/completions",
            "/api/keys",
            "/api/keys//reset",
            "/api/keys/+7/reset",
            "/api/keys/07/reset",
            "/api/keys/7/reset/",
            "/api/keys/99999999999999999999/reset",
        ] {
            assert_eq!(
                Route::find(&Method::GET, path, Surface::OpenAi),
                None,
                "{path}"
            );
        }
    }
}
