//! Which paths there are, and which methods they take.

use http::Method;

/// A path of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    ChatCompletions,
    KeysStatus,
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
            _ => None,
        }
    }

    /// The methods it takes, as an `Allow` header. `OPTIONS` is answered everywhere.
    pub(super) fn allow_header(self) -> &'static str {
        match self {
            Self::ChatCompletions => "POST, OPTIONS",
            Self::KeysStatus => "GET, POST, OPTIONS",
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
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
