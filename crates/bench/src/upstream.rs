//! The upstream, in a process of its own: the fake Gemini with the behaviour that a case needs.

use crate::process::Process;
use anyhow::{Context, Result};
use bytes::Bytes;
use fake_gemini::{Answer, FakeGemini, Reply};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

/// How the upstream behaves.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Upstream {
    /// Keys that it accepts.
    #[arg(long)]
    pub(crate) keys: usize,
    /// Events of a stream.
    #[arg(long)]
    pub(crate) events: usize,
    /// Milliseconds between two events of a stream.
    #[arg(long)]
    pub(crate) gap_ms: u64,
    /// Bytes of text in a plain answer; 0 for a short one.
    #[arg(long)]
    pub(crate) answer_bytes: usize,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            keys: 10,
            events: 60,
            gap_ms: 50,
            answer_bytes: 0,
        }
    }
}

/// The text of a key, which cannot be mistaken for a real one.
pub(crate) fn key(number: usize) -> String {
    format!("not-a-real-key-of-the-benchmark-{number:05}")
}

impl Upstream {
    /// Starts this program again, as the upstream.
    pub(crate) fn start(&self) -> Result<Process> {
        let program = std::env::current_exe().context("this program's own path")?;
        let mut command = Command::new(program);
        command.args([
            "upstream".to_owned(),
            format!("--keys={}", self.keys),
            format!("--events={}", self.events),
            format!("--gap-ms={}", self.gap_ms),
            format!("--answer-bytes={}", self.answer_bytes),
        ]);
        Process::start("the upstream", &mut command)
    }
}

/// Serves until the process is killed, on one thread, to leave the cores to what is measured.
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
        let gap = Duration::from_millis(upstream.gap_ms);
        let gemini = builder
            .default_reply(move |call| match &large {
                Some(body) => Reply::raw(200, "application/json", body.clone()),
                None if call.stream => Reply::answer(Answer::events(upstream.events)).gap(gap),
                None => Reply::answer(Answer::text("Hello! How can I help you today?")),
            })
            .start()
            .await?;
        println!("Listening {}", gemini.origin());
        std::io::stdout().flush()?;
        std::future::pending().await
    })
}

/// Built once, so that building it is not measured.
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
        "usage": {"completion_tokens": 3, "prompt_tokens": 3, "total_tokens": 6},
    });
    Bytes::from(answer.to_string())
}
