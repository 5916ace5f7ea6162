//! No output of the pool contains a key, a token or a prompt.

use crate::support::{Setup, TOKEN, key};
use crate::tokens::{OPERATOR, create};
use fake_gemini::errors::ApiError;
use fake_gemini::{Break, Condition, MidStream, Reply, errors};

const PROMPT: &str = "the-very-private-prompt";
const OTHER_TOKEN: &str = "of-somebody-else-entirely";

#[tokio::test]
async fn no_output_contains_a_key_a_token_or_a_prompt() {
    let mut app = Setup::keys(4)
        // A project number must not look like part of a key.
        .gemini(|gemini| gemini.key_of_project(key(2), "projects/82"))
        .variable("admin_token", OPERATOR)
        .without_memory()
        .start()
        .await;
    let chat = format!(
        r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#
    );
    app.assert_ready().await;
    let created = create(&app, serde_json::json!({"name": "n"})).await;

    let mut texts = Vec::new();
    let suspended = errors::suspended(&key(1), "projects/81");
    let invalid = errors::invalid_value("messages[0].content", "TYPE_STRING", PROMPT);
    let both = format!("tokens {TOKEN}, {created} with key {}", key(1));
    let echoes = [
        Reply::error(suspended.clone()),
        Reply::error(invalid),
        Reply::error(ApiError::new(400, "INVALID_ARGUMENT", both)),
        Reply::raw(
            500,
            "text/plain",
            format!("{} {TOKEN} {created} {PROMPT}", key(1)),
        ),
    ];
    for reply in echoes {
        app.execute("UPDATE api_keys SET status = CASE id WHEN 1 THEN 1 ELSE 0 END");
        app.script(reply);
        let answer = app.chat(chat.as_str()).await;
        assert_ne!(answer.status, 200);
        texts.push(format!("{:?}", answer.headers));
        // Google's message about a request, including the prompt, goes back to its sender only.
        texts.push(answer.body.replace(PROMPT, ""));
    }
    let echo = ApiError::new(
        400,
        "INVALID_ARGUMENT",
        format!("{TOKEN} {created} {PROMPT}"),
    );
    let in_streams = [
        Break::Error(suspended, MidStream::Unframed),
        Break::Error(echo, MidStream::Array),
        Break::Reset,
    ];
    for broken in in_streams {
        app.execute("UPDATE api_keys SET status = CASE id WHEN 1 THEN 1 ELSE 0 END");
        app.script(Reply::events(3).break_after(2, broken));
        let answer = app.chat(chat.replacen('{', "{\"stream\":true,", 1)).await;
        answer.assert_contains("{\"error\":");
        texts.push(answer.body.replace(PROMPT, ""));
    }
    app.execute("UPDATE api_keys SET status = 1");
    for condition in [
        Condition::Suspended,
        Condition::Leaked,
        Condition::ServiceDisabled,
    ] {
        app.gemini.set_condition(&key(2), condition);
        texts.push(app.chat(chat.as_str()).await.body);
    }
    texts.push(serde_json::to_string(&app.keys_status().await).unwrap());
    texts.push(app.client.get("/readyz").send().await.body);
    let operator = format!("Bearer {OPERATOR}");
    let metrics = app.client.get("/metrics");
    let metrics = metrics.header("authorization", &operator).send().await;
    metrics.assert_contains("outcome=\"key_rejected\"");
    texts.push(metrics.body);
    texts.push(app.client.get("/metrics").send().await.body);
    texts.push(app.chat("{").await.body);
    for token in [OTHER_TOKEN, &created] {
        let status = app
            .client
            .get("/api/keys/status")
            .header("authorization", &format!("Bearer {token}"));
        texts.push(status.send().await.body);
    }
    texts.extend(app.log_rows("coalesce(error_message, '')"));
    app.stop().await;
    // The operator's log reports the failure.
    app.assert_logged(&["outcome=key_rejected"]);
    texts.push(app.output());

    for text in texts {
        assert!(!text.contains(PROMPT), "the prompt is in {text}");
        let keys = (1..=4).map(key);
        let tokens = [TOKEN, OTHER_TOKEN, OPERATOR, &created].map(str::to_owned);
        for secret in keys.chain(tokens) {
            for start in 0..=secret.len() - 8 {
                let piece = &secret[start..start + 8];
                assert!(!text.contains(piece), "{piece} of {secret} is in {text}");
            }
        }
    }
}
