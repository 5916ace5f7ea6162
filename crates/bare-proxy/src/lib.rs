//! A component that only forwards requests to `llm_api_origin`, as a baseline for the benchmark.
//!
//! Requests and event streams are passed on as the host's own streams, unread. Other responses are
//! read, to send them with a length in one packet: passed on in chunks, they would leave Spin in
//! two packets, the second of which waits 44 ms for an acknowledgement.

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
    use spin_sdk::wasip3::wit_bindgen::{StreamResult, yield_async};
    use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
    use std::cell::OnceCell;
    use std::pin::Pin;
    use std::task::Poll;

    /// Bytes read at a time.
    const READ_SIZE: usize = 256 * 1024;

    thread_local! {
        /// Where to forward to; read once per instance.
        static ORIGIN: OnceCell<Uri> = const { OnceCell::new() };
    }

    #[http_service]
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (_, mut body) = request.into_parts();
        let request = body
            .take_unstarted()
            .ok_or_else(|| internal_error("the request has no body stream"))?;
        let origin = origin().await?;

        let headers = forwarded_headers(&request.get_headers())?;
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (_consumed, result) = wit_future::new(|| Ok(()));
        let (contents, trailers) = WasiRequest::consume_body(request, result);
        let (onward, _sent) = WasiRequest::new(headers, Some(contents), trailers, None);
        let refused = |()| internal_error("the request's head is invalid");
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
        with_length(client::send(onward).await?).await
    }

    /// The response, read up to `READ_SIZE` bytes if its length is unknown, to give it one.
    async fn with_length(response: Response) -> Result<Response, ErrorCode> {
        let headers = response.get_headers();
        let is_events = headers
            .get("content-type")
            .iter()
            .any(|value| value.starts_with(b"text/event-stream"));
        if is_events || headers.has("content-length") {
            return Ok(response);
        }
        let status = response.get_status_code();
        let (_consumed, result) = wit_future::new(|| Ok(()));
        let (mut upstream, _end) = Response::consume_body(response, result);
        let mut bytes = Vec::new();
        let is_whole = loop {
            let (result, more) = upstream.read(Vec::with_capacity(READ_SIZE)).await;
            bytes.extend_from_slice(&more);
            if let StreamResult::Dropped | StreamResult::Cancelled = result {
                break true;
            }
            if bytes.len() >= READ_SIZE {
                break false;
            }
        };
        let headers = end_to_end_headers(&headers, is_whole.then_some(bytes.len()))?;
        let (mut writer, reader) = wit_stream::new::<u8>();
        let (end, trailers) = wit_future::new(|| Ok(None));
        let mut write: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            let mut left = writer.write_all(bytes).await;
            while !is_whole && left.is_empty() {
                let (result, more) = upstream.read(Vec::with_capacity(READ_SIZE)).await;
                left = writer.write_all(more).await;
                if let StreamResult::Dropped | StreamResult::Cancelled = result {
                    break;
                }
            }
            drop(writer);
            let _ = end.write(Ok(None)).await;
        });
        let (response, _sent) = Response::new(headers, Some(reader), trailers);
        response
            .set_status_code(status)
            .map_err(|()| internal_error("the host rejects the status"))?;
        // The host must find the first bytes when it takes the head; see the pool's
        // `adapters::http`.
        yield_async().await;
        let first = std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context)));
        if first.await == Poll::Pending {
            spawn(write);
        }
        Ok(response)
    }

    /// The headers without those of the connection, which a component may not set.
    fn end_to_end_headers(headers: &Fields, length: Option<usize>) -> Result<Fields, ErrorCode> {
        let mut list = headers.copy_all();
        list.retain(|(name, _)| !["transfer-encoding", "connection"].contains(&name.as_str()));
        let length = length.map(|length| length.to_string().into_bytes());
        list.extend(length.map(|length| ("content-length".to_owned(), length)));
        Fields::from_list(&list).map_err(|_| internal_error("the host rejects the headers"))
    }

    async fn origin() -> Result<Uri, ErrorCode> {
        if let Some(origin) = ORIGIN.with(|origin| origin.get().cloned()) {
            return Ok(origin);
        }
        let text = variables::get("llm_api_origin").await;
        let origin: Uri = text
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| internal_error("llm_api_origin is not a URL"))?;
        // A concurrent request may have set the same value.
        let _ = ORIGIN.with(|cell| cell.set(origin.clone()));
        Ok(origin)
    }

    /// The client's end-to-end headers that the upstream needs.
    fn forwarded_headers(headers: &Fields) -> Result<Fields, ErrorCode> {
        let mut list = headers.copy_all();
        list.retain(|(name, _)| {
            ["authorization", "content-type", "content-length", "accept"].contains(&name.as_str())
        });
        Fields::from_list(&list).map_err(|_| internal_error("the host rejects the headers"))
    }

    fn internal_error(what: &str) -> ErrorCode {
        ErrorCode::InternalError(Some(what.to_owned()))
    }
}
