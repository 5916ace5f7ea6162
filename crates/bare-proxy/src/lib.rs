//! A component that forwards each request to `llm_api_origin` and hands the answer back: no pool, no log, no look at
//! either. The benchmark compares the pool with it, since nothing that runs in the same host can do less.
//!
//! Bodies go through as the host's own streams, unread, in both directions.

#[cfg(target_family = "wasm")]
mod forward {
    use http::Uri;
    use spin_sdk::http::Request;
    use spin_sdk::http_service;
    use spin_sdk::variables;
    use spin_sdk::wasip3::http::client;
    use spin_sdk::wasip3::http::types::{
        ErrorCode, Fields, Request as WasiRequest, Response, Scheme,
    };
    use spin_sdk::wasip3::wit_future;
    use std::cell::OnceCell;

    thread_local! {
        /// Where to forward to; read once in an instance's life.
        static ORIGIN: OnceCell<Uri> = const { OnceCell::new() };
    }

    #[http_service]
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (_, mut body) = request.into_parts();
        let request = body
            .take_unstarted()
            .ok_or_else(|| problem("the request's body is gone"))?;
        let origin = origin().await?;

        let headers = forwarded(&request.get_headers())?;
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (_consumed, result) = wit_future::new(|| Ok(()));
        let (contents, trailers) = WasiRequest::consume_body(request, result);
        let (onward, _sent) = WasiRequest::new(headers, Some(contents), trailers, None);
        let refused = |()| problem("the request's head cannot be used");
        onward.set_method(&method).map_err(refused)?;
        let scheme = match origin.scheme_str() {
            Some("http") => Scheme::Http,
            _ => Scheme::Https,
        };
        onward.set_scheme(Some(&scheme)).map_err(refused)?;
        onward
            .set_authority(origin.authority().map(|authority| authority.as_str()))
            .map_err(refused)?;
        onward
            .set_path_with_query(path.as_deref())
            .map_err(refused)?;
        client::send(onward).await
    }

    async fn origin() -> Result<Uri, ErrorCode> {
        if let Some(origin) = ORIGIN.with(|origin| origin.get().cloned()) {
            return Ok(origin);
        }
        let text = variables::get("llm_api_origin").await;
        let origin: Uri = text
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| problem("llm_api_origin is no URL"))?;
        // Another request may have been first, with the same.
        let _ = ORIGIN.with(|kept| kept.set(origin.clone()));
        Ok(origin)
    }

    /// What a client says about itself and the body, and neither its connection nor what the host adds.
    fn forwarded(headers: &Fields) -> Result<Fields, ErrorCode> {
        let mut list = headers.copy_all();
        list.retain(|(name, _)| {
            ["authorization", "content-type", "content-length", "accept"].contains(&name.as_str())
        });
        Fields::from_list(&list).map_err(|_| problem("the host refuses its own headers"))
    }

    fn problem(what: &str) -> ErrorCode {
        ErrorCode::InternalError(Some(what.to_owned()))
    }
}
