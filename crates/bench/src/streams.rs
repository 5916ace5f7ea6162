//! Many streams at once, each on a connection of its own, with the time of every event.
//!
//! No load generator looks into a stream, so this does.

use crate::load::Target;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const REQUEST: &str = r#"{"model":"gemini-flash-latest","stream":true,"messages":[{"role":"user","content":"Say hello."}]}"#;
const DONE: &[u8] = b"data: [DONE]";
/// A stream that is silent for so long is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of the streams of a run; times in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) complete: u64,
    /// Why the others were not, each once.
    pub(crate) failures: Vec<String>,
    /// From the request to its first event.
    pub(crate) first_event: Histogram<u64>,
    /// From one event to the next.
    pub(crate) gaps: Histogram<u64>,
}

impl Streams {
    fn new() -> Result<Self> {
        Ok(Self {
            complete: 0,
            failures: Vec::new(),
            first_event: Histogram::new(3)?,
            gaps: Histogram::new(3)?,
        })
    }
}

/// A point of a histogram of microseconds, in milliseconds.
pub(crate) fn millis(histogram: &Histogram<u64>, percent: f64) -> f64 {
    histogram.value_at_percentile(percent) as f64 / 1e3
}

/// Begins `count` streams within `ramp`, and waits for the end of the last.
pub(crate) fn run(target: &Target, count: usize, events: usize, ramp: Duration) -> Result<Streams> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let began = tokio::time::Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let target = target.clone();
            let at = began + ramp.mul_f64(number as f64 / count as f64);
            tasks.spawn(async move {
                tokio::time::sleep_until(at).await;
                tokio::time::timeout(PATIENCE + ramp, stream(&target, events))
                    .await
                    .context("no end of a stream")?
            });
        }
        let mut streams = Streams::new()?;
        while let Some(ended) = tasks.join_next().await {
            match ended.context("a stream's task has failed")? {
                Ok(times) => {
                    streams.complete += 1;
                    let micros = |time: Duration| u64::try_from(time.as_micros());
                    let mut gaps = times.into_iter();
                    if let Some(first) = gaps.next() {
                        streams.first_event.record(micros(first)?)?;
                    }
                    for gap in gaps {
                        streams.gaps.record(micros(gap)?)?;
                    }
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if !streams.failures.contains(&error) {
                        streams.failures.push(error);
                    }
                }
            }
        }
        Ok(streams)
    })
}

/// The time to the first event, and between each two.
async fn stream(target: &Target, events: usize) -> Result<Vec<Duration>> {
    let socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::post(target.path)
        .header("host", target.address.to_string())
        .header("authorization", format!("Bearer {}", target.token))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(REQUEST.as_bytes())))?;
    let mut last = Instant::now();
    let response = sender.send_request(request).await?;
    if response.status() != 200 {
        bail!("a stream was answered {}", response.status());
    }
    let mut body = response.into_body();
    let mut times = Vec::with_capacity(events + 1);
    let mut rest: Vec<u8> = Vec::new();
    let mut is_done = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        rest.extend_from_slice(&data);
        while let Some(end) = memmem::find(&rest, b"\n\n") {
            let now = Instant::now();
            if rest.starts_with(DONE) {
                is_done = true;
            } else {
                times.push(now - last);
                last = now;
            }
            rest.drain(..end + 2);
        }
    }
    connection.abort();
    if !is_done || times.len() < events {
        bail!("a stream ended after {} of {events} events", times.len());
    }
    Ok(times)
}
