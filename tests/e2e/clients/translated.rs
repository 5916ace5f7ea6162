//! Clients of the APIs that the pool translates. Google does not serve these, so their suites run
//! through the pool only, and what the fake plays are conversations on Gemini's own API.

use super::{KEYS, Release, fail_as_asked, run};
use crate::support::{Setup, TOKEN, soon};
use fake_gemini::{
    Answer, Call, Ended, Finish, Operation, Reply, Source, Surface, ToolCall, errors,
};
use serde_json::Value;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// What the model cites when it has searched. Before the quote, bytes and characters differ.
const CITING: &str = "Ada Lovelace – née Byron – was born in 1815 in London.";

/// The summary of what the model thinks.
const THOUGHT: &str = "I think about it.";

/// Asks for a stream that the suites leave half-way.
const LONG: &str = "a long answer";

/// Replies to the suites' prompts.
fn play(call: &Call, over_quota: &AtomicUsize) -> Reply {
    if call.operation != Some(Operation::Generate) {
        return Reply::ok();
    }
    let body = String::from_utf8_lossy(&call.body);
    let asks = |words: &str| body.contains(words);
    if let Some(reply) = fail_as_asked(asks, over_quota) {
        return reply;
    }
    if asks("be overloaded") {
        return Reply::error(errors::overloaded());
    }
    if asks(LONG) {
        return Reply::events(100).gap(Duration::from_millis(10));
    }
    let json = serde_json::from_slice(&call.body).unwrap_or_default();
    Reply::answer(answer(call, &json, asks))
}

fn answer(call: &Call, body: &Value, asks: impl Fn(&str) -> bool) -> Answer {
    let hello = || Answer::words("Hello from the other side");
    let results = found(body, "functionResponse");
    if asks("Repeat the instructions") {
        Answer::text(texts(&body["systemInstruction"]).join(" "))
    } else if asks("Repeat the configuration") {
        Answer::text(body["generationConfig"].to_string())
    } else if asks("What is attached?") {
        let data = found(body, "inlineData");
        Answer::text(data.into_iter().map(media).collect::<String>())
    } else if asks("What did the tools say?") {
        let said = results.iter().map(|result| result["response"].clone());
        Answer::text(Value::Array(said.collect()).to_string())
    } else if asks("What did you say?") {
        let contents = body["contents"].as_array().into_iter().flatten();
        let said = contents.filter(|content| content["role"] == "model");
        Answer::text(said.flat_map(texts).collect::<String>())
    } else if asks("Count the tokens") {
        hello().usage(20, 5).thinking(7).cached(4)
    } else if asks("Count to three") {
        Answer::words("one two three")
    } else if asks("a long text") {
        Answer::events(20)
    } else if asks("Say something unsafe") {
        hello().finish(Finish::Safety)
    } else if asks("Be blocked") {
        Answer::blocked("PROHIBITED_CONTENT")
    } else if asks("Search the web") && asks("googleSearch") && !asks("Thanks") {
        let source = Source::new("https://example.com/ada", "Ada", "born in 1815");
        Answer::words(CITING).grounded("Ada Lovelace", [source])
    } else if asks("Who?") && asks("application/json") && !asks("functionDeclarations") {
        Answer::text(r#"{"name":"Ada","year":1815}"#)
    } else if asks("both tools at once") && results.is_empty() {
        both_tools(call).thoughts(THOUGHT)
    } else if asks("Use tools and explain") {
        hello().as_asked(call).and_text("Let me look.")
    } else {
        // Two consecutive tool calls, or JSON, if the request asks for them.
        hello().as_asked(call).thoughts(THOUGHT)
    }
}

/// Parallel tool calls. Gemini 3 signs only the first one, and Gemini 2.5 has neither signatures nor
/// ids.
fn both_tools(call: &Call) -> Answer {
    let of = |name: &str| ToolCall::new(name, r#"{"city":"Oslo"}"#);
    let id = |name: &str| format!("call_{name}_{}", call.number);
    let is_newer = call
        .model
        .as_deref()
        .unwrap_or_default()
        .contains("gemini-3");
    let calls = match is_newer {
        true => {
            let signature = format!("c2lnbmF0dXJl{:04}", call.number);
            let signed = of("weather").id(id("weather")).signature(signature);
            [signed, of("time").id(id("time"))]
        }
        false => [of("weather").id(""), of("time").id("")],
    };
    let answer = Answer::tool_calls(calls).finish_apart();
    answer.finish_in_streams(Finish::Stop)
}

/// The values of all members with this name, in order.
fn found<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| found(value, name)).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(member, value)| match member == name {
                true => vec![value],
                false => found(value, name),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn texts(content: &Value) -> Vec<&str> {
    let parts = content["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

fn media(inline: &Value) -> String {
    let text = |name: &str| inline[name].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("mimeType"), text("data"))
}

/// Runs a suite through a pool. All its checks must succeed.
async fn through_pool(suite: &str) {
    let over_quota = AtomicUsize::new(KEYS);
    let app = Setup::projects(KEYS, |number| number)
        .gemini(|gemini| gemini.default_reply(move |call| play(call, &over_quota)))
        .start()
        .await;
    let results = run(suite, Release::Newest, &app.origin(), "/v1", TOKEN).await;
    for (name, result) in &results {
        println!("{name:42} {result}");
    }
    let failed = results.iter().filter(|(_, result)| *result != "ok");
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{suite}: {failed:#?}");
    let left = |call: &Call| {
        let is_long = String::from_utf8_lossy(&call.body).contains(LONG);
        !is_long || call.ended == Ended::ClientGone
    };
    let ended = app.gemini.wait_until(|calls| calls.iter().all(left));
    for call in soon("the end of the streams that were left", ended).await {
        // Only OpenAI's list of models is Google's own.
        let is_list = call.operation == Some(Operation::ListModels);
        assert!(
            is_list || call.surface == Some(Surface::Native),
            "{}",
            call.path
        );
        assert_eq!(call.credentials.len(), 1, "{}", call.path);
    }
}

#[tokio::test]
async fn openais_client_for_python_works_on_the_responses_api() {
    through_pool("responses_suite.py").await;
}

#[tokio::test]
async fn openais_client_for_node_works_on_the_responses_api() {
    through_pool("responses_suite.mjs").await;
}

#[tokio::test]
async fn anthropics_client_for_python_works() {
    through_pool("anthropic_suite.py").await;
}

#[tokio::test]
async fn anthropics_client_for_node_works() {
    through_pool("anthropic_suite.mjs").await;
}

#[tokio::test]
async fn agents_in_python_work_on_translated_apis() {
    through_pool("translated_agents_suite.py").await;
}

#[tokio::test]
async fn agents_in_node_work_on_translated_apis() {
    through_pool("translated_agents_suite.mjs").await;
}
