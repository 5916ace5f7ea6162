//! The fake Gemini as a program: answers made up, keys, quotas and scripts from the command line, one line a call on
//! stderr.

mod args;
mod demo;
mod lines;
mod script;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use fake_gemini::FakeGemini;
use lines::Lines;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Calls are only logged as lines, so few have to be kept.
const REMEMBERED_CALLS: usize = 16;

/// The last lines may take so long at the end, in case that nobody reads them.
const LAST_LINES: Duration = Duration::from_secs(1);

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
    // Before the address is told: whoever reads it may send a signal at once.
    let stopped = stop_signal().context("cannot wait for signals")?;
    let (lines, written) = Lines::new(std::io::stderr());
    let gemini = start(args, lines).await?;
    let mut out = std::io::stdout();
    // Without anybody to read it, it serves all the same.
    let _ = writeln!(out, "Listening {}", gemini.origin()).and_then(|()| out.flush());
    stopped.await;
    gemini.stop().await;
    drop(gemini);
    // An error means that they are not written in time.
    let _ = tokio::time::timeout(LAST_LINES, written).await;
    Ok(())
}

async fn start(args: &Args, lines: Lines) -> Result<FakeGemini> {
    let keys = args.keys()?;
    let scripts = args.scripts(keys.len())?;
    let (count, pace) = (keys.len(), args.pace());
    let mut builder = FakeGemini::builder()
        .listen(args.listen)
        .quota(args.quota())
        .remember(REMEMBERED_CALLS)
        .default_reply(move |call| demo::reply(call, count, pace))
        .on_call(move |call| lines.push(demo::line(call)));
    for key in &keys {
        builder = builder.key_with(&key.text, key.project.clone(), key.condition);
    }
    if args.lenient {
        builder = builder.lenient();
    }
    let gemini = builder.start().await.with_context(|| {
        format!(
            "cannot listen on {} (--listen names another address)",
            args.listen
        )
    })?;
    for (place, replies) in scripts {
        if let Some(key) = keys.get(place - 1) {
            for reply in replies {
                gemini.script(&key.text, reply);
            }
        }
    }
    Ok(gemini)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn few_calls_are_remembered() {
        let args = ["fake-gemini", "--listen", "127.0.0.1:0", "--key", "k"];
        let (lines, _) = Lines::new(std::io::sink());
        let gemini = start(&Args::parse_from(args), lines).await.unwrap();
        for _ in 0..REMEMBERED_CALLS + 4 {
            let mut stream = TcpStream::connect(gemini.address()).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
        assert_eq!(gemini.calls().len(), REMEMBERED_CALLS);
    }
}
