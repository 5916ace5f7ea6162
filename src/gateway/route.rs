//! Which paths there are, and which methods they take.

use crate::pool::KeyId;
use http::Method;

/// A path of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    ChatCompletions,
    KeysStatus,
    /// `/api/keys/{id}/reset`
    KeyReset(KeyId),
    PoolExplain,
    Alive,
    Ready,
}

impl Route {
    pub(super) fn find(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::ChatCompletions),
            "/api/keys/status" => Some(Self::KeysStatus),
            "/healthz" => Some(Self::Alive),
            "/readyz" => Some(Self::Ready),
            "/api/pool/explain" => Some(Self::PoolExplain),
            _ => {
                let id = path.strip_prefix("/api/keys/")?.strip_suffix("/reset")?;
                // One way to write an id: no sign, no zeros before it.
                let number: i64 = id.parse().ok()?;
                (number.to_string() == id).then_some(Self::KeyReset(KeyId(number)))
            }
        }
    }

    /// The methods it takes, as an `Allow` header. `OPTIONS` is answered everywhere.
    pub(super) fn allow_header(self) -> &'static str {
        match self {
            Self::ChatCompletions => "POST, OPTIONS",
            Self::KeysStatus => "GET, POST, OPTIONS",
            Self::KeyReset(_) => "POST, OPTIONS",
            Self::PoolExplain => "GET, OPTIONS",
            Self::Alive | Self::Ready => "GET, HEAD, OPTIONS",
        }
    }

    pub(super) fn allows(self, method: &Method) -> bool {
        self.allow_header()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_the_methods_they_name() {
        for (path, methods) in [
            ("/v1/chat/completions", vec!["POST"]),
            ("/api/keys/status", vec!["GET", "POST"]),
            ("/healthz", vec!["GET", "HEAD"]),
            ("/readyz", vec!["GET", "HEAD"]),
            ("/api/pool/explain", vec!["GET"]),
            ("/api/keys/7/reset", vec!["POST"]),
        ] {
            let route = Route::find(path).unwrap();
            for method in [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "POS", "",
            ] {
                let Ok(parsed) = Method::from_bytes(method.as_bytes()) else {
                    continue;
                };
                assert_eq!(
                    route.allows(&parsed),
                    methods.contains(&method),
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "/",
            "",
            "/v1/chat/completions/",
            "/v1/chat",
            "//healthz",
            "/V1/chat/completions",
            "/api/keys",
            "/api/keys//reset",
            "/api/keys/+7/reset",
            "/api/keys/07/reset",
            "/api/keys/7/reset/",
            "/api/keys/99999999999999999999/reset",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
