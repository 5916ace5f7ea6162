//! The upstream, in a process of its own: the fake Gemini with the behaviour that a case needs.

use anyhow::Result;
use bytes::Bytes;
use fake_gemini::{Answer, Call, FakeGemini, Reply, errors};
use std::io::Write;
use std::time::Duration;

/// How the upstream behaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, clap::Args)]
pub(crate) struct Upstream {
    /// Keys that it knows.
    #[arg(long, default_value_t = 10)]
    pub(crate) keys: usize,
    /// Milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// Events of a stream.
    #[arg(long, default_value_t = 60)]
    pub(crate) events: usize,
    /// Milliseconds between a stream's events.
    #[arg(long, default_value_t = 50)]
    pub(crate) event_gap_ms: u64,
    /// Bytes of text in a plain answer; a short one for 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) answer_bytes: usize,
    /// Every second key answers 429 with a `retryDelay` of a second.
    #[arg(long)]
    pub(crate) half_exhausted: bool,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            keys: 10,
            delay_ms: 0,
            events: 60,
            event_gap_ms: 50,
            answer_bytes: 0,
            half_exhausted: false,
        }
    }
}

/// The text of a key, from 1. Nobody can mistake it for a real one.
pub(crate) fn key(number: usize) -> String {
    format!("not-a-real-key-of-the-benchmark-{number:05}")
}

impl Upstream {
    /// As arguments of the program that [`serve`] runs in.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--keys={}", self.keys),
            format!("--delay-ms={}", self.delay_ms),
            format!("--events={}", self.events),
            format!("--event-gap-ms={}", self.event_gap_ms),
            format!("--answer-bytes={}", self.answer_bytes),
        ];
        if self.half_exhausted {
            arguments.push("--half-exhausted".to_owned());
        }
        arguments
    }

    fn reply(&self, call: &Call, large: Option<&Bytes>) -> Reply {
        if self.half_exhausted && call.key_ordinal.is_some_and(|ordinal| ordinal % 2 == 0) {
            let model = call.known_model.as_deref().unwrap_or_default();
            return Reply::error(errors::quota_per_minute(model, 10, Duration::from_secs(1)));
        }
        let reply = match large {
            Some(body) => Reply::raw(200, "application/json", body.clone()),
            None if call.stream => Reply::answer(Answer::events(self.events)),
            None => Reply::answer(Answer::text("Hello! How can I help you today?")),
        };
        reply
            .delay(Duration::from_millis(self.delay_ms))
            .gap(Duration::from_millis(self.event_gap_ms))
    }
}

/// Serves until the process is killed. One thread does, so that the machine's cores are left to what is measured.
pub(crate) fn serve(upstream: Upstream) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut builder = FakeGemini::builder().remember(0);
        for number in 1..=upstream.keys {
            builder = builder.key(key(number));
        }
        let large = (upstream.answer_bytes > 0).then(|| large_answer(upstream.answer_bytes));
        let gemini = builder
            .default_reply(move |call| upstream.reply(call, large.as_ref()))
            .start()
            .await?;
        println!("Listening {}", gemini.origin());
        std::io::stdout().flush()?;
        std::future::pending().await
    })
}

/// Made once: what is measured is not how fast a large answer is put together.
fn large_answer(bytes: usize) -> Bytes {
    let text = "All work and no play makes a dull benchmark. ".repeat(bytes / 45 + 1);
    let answer = serde_json::json!({
        "choices": [{
            "finish_reason": "stop",
            "index": 0,
            "message": {"content": &text[..bytes], "role": "assistant"},
        }],
        "created": 1_795_608_245,
        "id": "bench",
        "model": "gemini-flash-latest",
        "object": "chat.completion",
        "usage": {"completion_tokens": bytes / 4, "prompt_tokens": 3, "total_tokens": bytes / 4 + 3},
    });
    Bytes::from(answer.to_string())
}
