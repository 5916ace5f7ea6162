//! The fake Gemini as a program, for demos and for trying clients by hand: made-up answers, and
//! one line per call on stderr.

use anyhow::{Context, Result};
use clap::Parser;
use fake_gemini::{Answer, Call, Condition, Ended, FakeGemini, Reply, Surface};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// Calls are only printed, so few have to be remembered.
const REMEMBERED_CALLS: usize = 16;

/// The pause between the words of a stream.
const EVENT_GAP: Duration = Duration::from_millis(40);

/// A fake of Google's Gemini API: made-up answers in Google's wire format.
///
/// Agents can be tried against it. It calls their tools, with made-up arguments, only if a request
/// requires a call; otherwise it says something.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A key, of a project of its own; may be repeated.
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// One of the keys, which is not valid any more; may be repeated.
    #[arg(long = "dead-key", value_name = "KEY")]
    dead_keys: Vec<String>,
    /// One of the keys, which may not call this API; may be repeated.
    #[arg(long = "restricted-key", value_name = "KEY")]
    restricted_keys: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let count = args.keys.len();
    let builder = FakeGemini::builder()
        .listen(args.listen)
        .remember(REMEMBERED_CALLS)
        .default_reply(move |call| reply(call, count))
        .on_call(|call| {
            // A closed terminal is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{}", line(call));
        });
    let builder = args
        .keys
        .iter()
        .fold(builder, |builder, key| builder.key(key));
    let gemini = builder.start().await.with_context(|| {
        let listen = args.listen;
        format!("cannot listen on {listen} (--listen names another address)")
    })?;
    for key in &args.dead_keys {
        gemini.set_condition(key, Condition::Invalid);
    }
    for key in &args.restricted_keys {
        gemini.set_condition(key, Condition::ServiceBlocked);
    }
    let mut out = std::io::stdout();
    let _ = writeln!(out, "Listening {}", gemini.origin()).and_then(|()| out.flush());
    std::future::pending().await
}

/// The answer to a call with one of `keys` keys: JSON or a tool call if the request requires it.
/// Agents would run other made-up calls, and some start more agents.
fn reply(call: &Call, keys: usize) -> Reply {
    let key = call.key_ordinal.unwrap_or_default();
    let project = call.project.as_deref().unwrap_or("no project");
    let text = format!(
        "This is a made-up answer by key {key} of {keys}, which belongs to {project}. No model was \
         asked: a fake Gemini answers in Google's place, so that you can watch how calls are \
         spread over the keys. Ask again, and another key may answer."
    );
    Reply::answer(Answer::words(&text).as_required(call)).gap(EVENT_GAP)
}

/// One line per call. It repeats nothing that the client sent: a path or a model may hold a key
/// or a prompt.
fn line(call: &Call) -> String {
    let target = match (call.surface, call.operation) {
        (Some(Surface::Compat), Some(operation)) => format!("compat {}", operation.name()),
        (Some(Surface::Native), Some(operation)) => format!("native {}", operation.name()),
        (None, _) | (_, None) => "unknown path".to_owned(),
    };
    let key = match (call.key_ordinal, &call.key) {
        (Some(ordinal), _) => format!("key {ordinal}"),
        (None, Some(_)) => "unknown key".to_owned(),
        (None, None) => "no key".to_owned(),
    };
    let model = match (&call.known_model, &call.model) {
        (Some(model), _) => model,
        (None, Some(_)) => "unknown model",
        (None, None) => "no model",
    };
    let status = match call.status {
        Some(status) => status.to_string(),
        None => "no answer".to_owned(),
    };
    let end = match call.ended {
        Ended::NotYet | Ended::Whole => "",
        Ended::ClientGone => ", client left",
        Ended::BrokenOff => ", broken off",
    };
    format!("{target}, {key}, {model}: {status}{end}")
}
