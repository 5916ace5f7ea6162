//! A component that does what a request asks for, to test the host.
//!
//! | request | effect |
//! |---|---|
//! | `GET /headers` | answers with the request's URL and headers, a line each |
//! | `GET /variable/NAME` | answers with the variable's value or the error |
//! | `GET /environment/NAME` | answers with the environment variable's value |
//! | `GET /time` | answers with the wall clocks of WASI 0.2 and 0.3 in Unix milliseconds |
//! | `POST /sql` | runs the statement in the body, answers with its rows or the error |
//! | `POST /fetch` | gets the URL in the body, answers with status and body or the error |
//! | `POST /later` | answers, then gets the URL in the body and inserts a row into `later` |
//! | `POST /print` | writes the body to stderr |
//! | `GET /panic` | panics |
//! | `GET /compute-forever` | writes `computing` to stdout, then computes without a pause |
//! | `GET /memory` | answers with the size of the memory in MiB |
//! | `POST /stream-then-trap` | starts a stream, gets the URL in the body and panics |

#[cfg(target_family = "wasm")]
mod guest {
    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, Either};
    use spin_sdk::http::{EmptyBody, Request, Response, send};
    use spin_sdk::http_service;
    use spin_sdk::sqlite::{Connection, Value};
    use spin_sdk::variables;
    use spin_sdk::wasip3::{self, clocks::system_clock};
    use std::convert::Infallible;
    use std::fmt::Debug;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::{SystemTime, UNIX_EPOCH};

    #[http_service]
    async fn handle(request: Request) -> Response<Either<StreamThenTrap, String>> {
        let (parts, body) = request.into_parts();
        let body = match text(body).await {
            Ok(body) => body,
            error => return Response::new(Either::Right(or_error(error))),
        };
        Response::new(match parts.uri.path() {
            "/stream-then-trap" => Either::Left(StreamThenTrap::new(body)),
            _ => Either::Right(answer(parts, body).await),
        })
    }

    async fn answer(parts: http::request::Parts, body: String) -> String {
        let path = parts.uri.path();
        if let Some(name) = path.strip_prefix("/variable/") {
            return or_error(variables::get(name).await.map_err(debug));
        }
        if let Some(name) = path.strip_prefix("/environment/") {
            return or_error(std::env::var(name).map_err(|error| error.to_string()));
        }
        match path {
            "/headers" => {
                let mut lines = format!("{}\n", parts.uri);
                for (name, value) in &parts.headers {
                    lines.push_str(&format!(
                        "{name}: {}\n",
                        String::from_utf8_lossy(value.as_bytes())
                    ));
                }
                lines
            }
            "/time" => or_error(time()),
            "/sql" => or_error(sql(&body).await),
            "/fetch" => or_error(fetch(&body).await),
            "/later" => {
                wasip3::spawn(async move {
                    let fetched = or_error(fetch(&body).await);
                    println!("later: {fetched}");
                    let written = sql("INSERT INTO later VALUES (1)").await;
                    println!("later: {}", or_error(written));
                });
                "at once".to_owned()
            }
            "/print" => {
                eprint!("{body}");
                "printed".to_owned()
            }
            "/panic" => panic!("as the request asked"),
            "/compute-forever" => {
                println!("computing");
                loop {
                    std::hint::black_box(());
                }
            }
            "/memory" => {
                let pages = core::arch::wasm32::memory_size::<0>();
                (pages / 16).to_string()
            }
            _ => "no such path".to_owned(),
        }
    }

    /// A body that panics after two chunks, once a fetch is answered.
    struct StreamThenTrap {
        sent: usize,
        signal: Pin<Box<dyn Future<Output = ()>>>,
    }

    impl StreamThenTrap {
        fn new(url: String) -> Self {
            Self {
                sent: 0,
                signal: Box::pin(async move {
                    let _ = fetch(&url).await;
                }),
            }
        }
    }

    impl Body for StreamThenTrap {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let chunks = ["one ", "two "];
            if let Some(chunk) = chunks.get(self.sent) {
                self.sent += 1;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))));
            }
            ready!(self.signal.as_mut().poll(context));
            panic!("as the request asked");
        }
    }

    fn or_error(result: Result<String, String>) -> String {
        result.unwrap_or_else(|error| format!("error: {error}"))
    }

    fn debug(error: impl Debug) -> String {
        format!("{error:?}")
    }

    async fn text<B: BodyExt>(body: B) -> Result<String, String>
    where
        B::Error: Debug,
    {
        let body = body.collect().await.map_err(debug)?;
        Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    }

    /// The standard library reads WASI 0.2's clock, the SDK's bindings WASI 0.3's.
    fn time() -> Result<String, String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the host's clock is what is tested"
        )]
        let p2 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(debug)?
            .as_millis();
        let instant = system_clock::now();
        let p3 = instant.seconds * 1000 + i64::from(instant.nanoseconds / 1_000_000);
        Ok(format!("{p2} {p3}"))
    }

    async fn sql(statement: &str) -> Result<String, String> {
        let connection = Connection::open_default().await.map_err(debug)?;
        let result = connection.execute(statement, []).await.map_err(debug)?;
        let rows = result.collect().await.map_err(debug)?;
        let lines = rows.iter().map(|row| {
            let values = row.values.iter().map(|value| match value {
                Value::Null => "NULL".to_owned(),
                Value::Integer(value) => value.to_string(),
                Value::Real(value) => value.to_string(),
                Value::Text(text) => text.clone(),
                Value::Blob(bytes) => format!("{bytes:?}"),
            });
            values.collect::<Vec<_>>().join("|")
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    async fn fetch(url: &str) -> Result<String, String> {
        let request = http::Request::get(url)
            .body(EmptyBody::new())
            .map_err(|error| error.to_string())?;
        let response = send(request).await.map_err(debug)?;
        let status = response.status().as_u16();
        Ok(format!("{status} {}", text(response.into_body()).await?))
    }
}
