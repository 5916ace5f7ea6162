//! Whole conversations with agents: planned ones, and those that the fake makes up.

use crate::support::{KEY, gemini, native, openai};
use fake_gemini::{Break, FakeGemini, Plan, Reply, ToolCall, errors};
use serde_json::{Value, json};

const MODEL: &str = "gemini-3.8-flash";

fn read(path: &str) -> ToolCall {
    ToolCall::new("read", json!({"path": path}).to_string())
}

fn request(contents: &[Value]) -> Value {
    json!({"contents": contents, "tools": [{"functionDeclarations": [{"name": "read"}]}]})
}

async fn generate(gemini: &FakeGemini, body: &Value) -> Result<Value, String> {
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let response = native(gemini, KEY, "POST", &path, &body.to_string()).await;
    match response.status() {
        200 => Ok(response.json()["candidates"][0]["content"].clone()),
        _ => Err(response.text().to_owned()),
    }
}

/// Sends everything back as an agent does, until the model only speaks. Returns the paths that were
/// read and the last words.
async fn run(gemini: &FakeGemini, contents: &mut Vec<Value>) -> (Vec<String>, String) {
    let mut paths = Vec::new();
    loop {
        let answer = generate(gemini, &request(contents)).await.unwrap();
        contents.push(answer.clone());
        let parts = answer["parts"].as_array().unwrap();
        let calls = parts.iter().map(|part| &part["functionCall"]);
        let calls: Vec<&Value> = calls.filter(|call| !call.is_null()).collect();
        if calls.is_empty() {
            return (paths, parts[0]["text"].as_str().unwrap().to_owned());
        }
        let read = calls
            .iter()
            .filter_map(|call| call["args"]["path"].as_str());
        paths.extend(read.map(str::to_owned));
        let results = calls.iter().map(|call| {
            json!({"functionResponse": {
                "id": call["id"], "name": call["name"], "response": {"output": "fine"},
            }})
        });
        contents.push(json!({"role": "user", "parts": results.collect::<Vec<_>>()}));
    }
}

fn user(text: &str) -> Value {
    json!({"role": "user", "parts": [{"text": text}]})
}

#[tokio::test]
async fn plan_goes_on_with_each_answer_of_the_model() {
    let gemini = gemini().await;
    gemini.play(
        Plan::new()
            .calls([read("a"), read("b")])
            .calls([read("c")])
            .says("Read.")
            .calls([read("d")])
            .says("Again."),
    );
    let mut contents = vec![user("Read all.")];
    let (paths, words) = run(&gemini, &mut contents).await;
    assert_eq!(
        (paths.concat(), words.as_str()),
        ("abc".to_owned(), "Read.")
    );
    contents.push(user("And d?"));
    let (paths, words) = run(&gemini, &mut contents).await;
    assert_eq!((paths.concat(), words.as_str()), ("d".to_owned(), "Again."));
    let part = |index: usize, part: usize| &contents[index]["parts"][part];
    assert!(part(1, 0)["thoughtSignature"].is_string());
    assert!(part(1, 1)["thoughtSignature"].is_null());
    assert_ne!(
        part(1, 0)["functionCall"]["id"],
        part(1, 1)["functionCall"]["id"]
    );
    assert!(
        part(5, 0)["thoughtSignature"].is_string(),
        "a text is signed"
    );

    // Each step of the current turn has to be signed, an earlier turn does not.
    contents.truncate(8);
    let unsign = |contents: &mut Vec<Value>, index: usize| {
        let part = &mut contents[index]["parts"][0];
        part.as_object_mut().unwrap().remove("thoughtSignature");
    };
    contents.push(json!({"role": "user", "parts": [
        {"functionResponse": {"name": "read", "response": {}}},
    ]}));
    unsign(&mut contents, 1);
    assert!(generate(&gemini, &request(&contents)).await.is_ok());
    unsign(&mut contents, 7);
    let error = generate(&gemini, &request(&contents)).await.unwrap_err();
    let expected = errors::missing_thought_signature("default_api:read", 8);
    assert_eq!(error, expected.pretty());
}

#[tokio::test]
async fn step_is_repeated_after_its_faults() {
    let gemini = gemini().await;
    gemini.play(
        Plan::new()
            .calls([read("a")])
            .failing(Reply::error(errors::key_expired()))
            .breaking(1, Break::End)
            .says("Read."),
    );
    let body = request(&[user("Read.")]).to_string();
    let path = format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse");
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let response = native(&gemini, KEY, "POST", &path, &body).await;
        bodies.push(response.text().to_owned());
    }
    assert_eq!(bodies[0], errors::key_expired().pretty());
    let called = |body: &str| body.contains("functionCall");
    let finished = |body: &str| body.contains("finishReason");
    assert!(called(&bodies[1]) && !finished(&bodies[1]), "{bodies:?}");
    assert!(called(&bodies[2]) && finished(&bodies[2]), "{bodies:?}");
}

#[tokio::test]
async fn model_calls_only_what_it_is_offered() {
    let gemini = gemini().await;
    gemini.play(Plan::new().calls([read("a")]));
    let answer = generate(&gemini, &json!({"contents": [user("A title?")]}))
        .await
        .unwrap();
    assert!(answer["parts"][0]["text"].is_string(), "{answer}");
    let mut never = request(&[user("Read.")]);
    never["toolConfig"] = json!({"functionCallingConfig": {"mode": "NONE"}});
    let answer = generate(&gemini, &never).await.unwrap();
    assert!(answer["parts"][0]["text"].is_string(), "{answer}");
    let tools = json!([{"type": "function", "function": {"name": "read"}}]);
    let chat =
        json!({"model": MODEL, "messages": [{"role": "user", "content": "Read."}], "tools": tools});
    let response = openai(&gemini, KEY, "chat/completions", &chat.to_string()).await;
    let message = &response.json()["choices"][0]["message"];
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"path":"a"}"#
    );
}

#[tokio::test]
async fn agent_without_a_plan_is_kept_busy_for_three_steps() {
    let gemini = gemini().await;
    let mut contents = vec![user("Do something.")];
    let (_, words) = run(&gemini, &mut contents).await;
    assert_eq!((contents.len(), words.is_empty()), (6, false));
    let search = json!({"contents": [user("News?")], "tools": [{"googleSearch": {}}]});
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let response = native(&gemini, KEY, "POST", &path, &search.to_string()).await;
    let metadata = &response.json()["candidates"][0]["groundingMetadata"];
    assert_eq!(metadata["groundingSupports"].as_array().unwrap().len(), 1);
    for (model, kind) in [
        ("gemini-2.5-flash-image", "image/png"),
        (
            "gemini-2.5-flash-preview-tts",
            "audio/L16;codec=pcm;rate=24000",
        ),
    ] {
        let path = format!("/v1beta/models/{model}:generateContent");
        let body = json!({"contents": [user("A cat.")]}).to_string();
        let response = native(&gemini, KEY, "POST", &path, &body).await;
        let parts = &response.json()["candidates"][0]["content"]["parts"];
        let data = parts.as_array().unwrap().last().unwrap();
        assert_eq!(data["inlineData"]["mimeType"], kind, "{model}");
    }
}
