//! The fake Gemini as a program: answers made up, keys and quotas from the command line, one line a call on stderr.

mod args;
mod demo;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use fake_gemini::FakeGemini;
use std::io::Write;
use std::process::ExitCode;

/// Calls are only logged as lines, so few have to be kept.
const REMEMBERED_CALLS: usize = 16;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let keys = args.keys()?;
    let count = keys.len();
    let pace = args.pace();
    let mut builder = FakeGemini::builder()
        .listen(args.listen)
        .quota(args.quota())
        .remember(REMEMBERED_CALLS)
        .default_reply(move |call| demo::reply(call, count, pace))
        .on_call(|call| {
            // Nobody has to read along.
            let _ = writeln!(std::io::stderr(), "{}", demo::line(call));
        });
    for key in keys {
        builder = builder.key_with(key.text, key.project, key.condition);
    }
    if args.lenient {
        builder = builder.lenient();
    }
    // Before the address is told: whoever reads it may send a signal at once.
    let stopped = stop_signal().context("cannot wait for signals")?;
    let gemini = builder.start().await.with_context(|| {
        format!(
            "cannot listen on {} (--listen names another address)",
            args.listen
        )
    })?;
    let mut out = std::io::stdout();
    // Without anybody to read it, it serves all the same.
    let _ = writeln!(out, "Listening {}", gemini.origin()).and_then(|()| out.flush());
    stopped.await;
    gemini.stop().await;
    Ok(())
}

/// Completes on SIGINT and on SIGTERM. Both are caught as soon as this returns.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // An error means that there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    })
}
