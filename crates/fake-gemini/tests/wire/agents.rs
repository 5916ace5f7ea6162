//! Whole conversations with agents.

use crate::support::{KEY, gemini, native};
use fake_gemini::FakeGemini;
use serde_json::{Value, json};

const MODEL: &str = "gemini-3.8-flash";

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
