//! Cached contents: whose they are, and how long they stay.

use crate::support::{
    KEY, MIDNIGHT, OTHER_KEY, chat_with, contents, file, gemini, native, native_as, question,
    two_projects,
};
use fake_gemini::{FakeGemini, ManualClock, errors};
use std::time::Duration;

const CACHES: &str = "/v1beta/cachedContents";
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const NEW: &str = r#"{"model":"models/gemini-2.5-flash","contents":[{"parts":[{"text":"This is twenty bytes"}]}],"systemInstruction":{"parts":[{"text":"Four"}]}}"#;

async fn cache(gemini: &FakeGemini, more: &str) -> String {
    let body = format!("{}{more}}}", NEW.strip_suffix('}').unwrap());
    let response = native_as(gemini, KEY, "POST", CACHES, &body).await;
    response.json()["name"].as_str().unwrap().to_owned()
}

/// A request that names the cache.
fn with_cache(name: &str) -> String {
    contents().replacen('{', &format!(r#"{{"cachedContent":"{name}","#), 1)
}

#[tokio::test]
async fn a_cache_tells_its_size_and_that_it_stays_for_an_hour() {
    let gemini = gemini().await;
    let response = native_as(&gemini, KEY, "POST", CACHES, NEW).await;
    let name = response.json()["name"].as_str().unwrap().to_owned();
    assert_eq!(
        response.text(),
        format!(
            r#"{{
  "name": "{name}",
  "model": "models/gemini-2.5-flash",
  "createTime": "2027-01-15T08:00:00Z",
  "updateTime": "2027-01-15T08:00:00Z",
  "expireTime": "2027-01-15T09:00:00Z",
  "displayName": "",
  "usageMetadata": {{
    "totalTokenCount": 6
  }}
}}
"#
        )
    );
    assert!(name.starts_with("cachedContents/"), "{name}");
    let alone = native(&gemini, &name, "").await;
    assert_eq!(alone.text(), response.text());
    let list = native(&gemini, "cachedContents", "").await;
    assert_eq!(list.json()["cachedContents"][0], response.json());
}

#[tokio::test]
async fn a_cache_goes_when_it_is_told_to() {
    let clock = ManualClock::at(MIDNIGHT);
    let builder = FakeGemini::builder().key(KEY).clock(clock.clock());
    let gemini = builder.start().await.unwrap();
    let short = cache(&gemini, r#","ttl":"1.5s""#).await;
    let until = cache(&gemini, r#","expireTime":"2027-01-15T08:00:02Z""#).await;
    let longer = cache(&gemini, r#","ttl":"1s""#).await;
    let path = format!("/v1beta/{longer}?updateMask=ttl");
    let updated = native_as(&gemini, KEY, "PATCH", &path, r#"{"ttl":"60s"}"#).await;
    assert_eq!(updated.json()["expireTime"], "2027-01-15T08:01:00Z");
    let deleted = cache(&gemini, "").await;
    let path = format!("/v1beta/{deleted}");
    let gone = native_as(&gemini, KEY, "DELETE", &path, "").await;
    assert_eq!((gone.status(), gone.text()), (200, "{}\n"));
    for (ms, there) in [
        (0, [true, true, true]),
        (1500, [false, true, true]),
        (500, [false, false, true]),
    ] {
        clock.advance(Duration::from_millis(ms));
        for (name, there) in [&short, &until, &longer].into_iter().zip(there) {
            let status = native(&gemini, name, "").await.status();
            assert_eq!(
                status,
                if there { 200 } else { 403 },
                "{name} after {ms} ms"
            );
        }
        assert_eq!(native(&gemini, &deleted, "").await.status(), 403);
    }
    for bad in [
        r#"{"ttl":"60"}"#,
        r#"{"ttl":"-1s"}"#,
        r#"{"expireTime":"soon"}"#,
    ] {
        let path = format!("/v1beta/{longer}");
        let refused = native_as(&gemini, KEY, "PATCH", &path, bad).await;
        assert_eq!(refused.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn a_cache_of_another_project_is_403_on_both_surfaces() {
    let gemini = two_projects().await;
    let name = cache(&gemini, "").await;
    let denied = errors::cached_content_denied();
    for (method, path, body) in [
        ("GET", format!("/v1beta/{name}"), String::new()),
        (
            "PATCH",
            format!("/v1beta/{name}"),
            r#"{"ttl":"9s"}"#.to_owned(),
        ),
        ("DELETE", format!("/v1beta/{name}"), String::new()),
        ("POST", GENERATE.to_owned(), with_cache(&name)),
    ] {
        let response = native_as(&gemini, OTHER_KEY, method, &path, &body).await;
        assert_eq!(
            (response.status(), response.text()),
            (403, denied.pretty().as_str())
        );
    }
    let chat = question(&format!(
        r#","extra_body":{{"google":{{"cached_content":"{name}"}}}}"#
    ));
    let refused = chat_with(&gemini, OTHER_KEY, &chat).await;
    assert_eq!(refused.text(), denied.pretty_array());
    let list = native_as(&gemini, OTHER_KEY, "GET", CACHES, "").await;
    assert_eq!(list.text(), "{}\n");
    assert_eq!(chat_with(&gemini, KEY, &chat).await.status(), 200);
    let own = native_as(&gemini, KEY, "POST", GENERATE, &with_cache(&name)).await;
    assert_eq!(own.status(), 200);
}

#[tokio::test]
async fn a_cache_is_for_its_model_and_for_what_is_not_in_it() {
    let gemini = gemini().await;
    let name = cache(&gemini, "").await;
    let path = GENERATE.replace("2.5-flash", "2.5-pro");
    let other = native_as(&gemini, KEY, "POST", &path, &with_cache(&name)).await;
    let error = errors::cached_content_of_other_model("gemini-2.5-pro", "gemini-2.5-flash");
    assert_eq!(other.text(), error.pretty());
    for field in ["systemInstruction", "tools", "tool_config"] {
        let body = with_cache(&name).replacen('{', &format!(r#"{{"{field}":{{}},"#), 1);
        let response = native_as(&gemini, KEY, "POST", GENERATE, &body).await;
        assert_eq!(response.text(), errors::cached_content_with_more().pretty());
    }
}

#[tokio::test]
async fn a_cache_is_made_of_what_the_project_has() {
    let gemini = two_projects().await;
    let name = file(&gemini, OTHER_KEY, "x").await;
    let body = NEW.replace(
        r#"{"text":"This is twenty bytes"}"#,
        &format!(r#"{{"fileData":{{"fileUri":"https://example.com/v1beta/{name}"}}}}"#),
    );
    let refused = native_as(&gemini, KEY, "POST", CACHES, &body).await;
    assert_eq!(refused.text(), errors::file_denied(&name).pretty());
    let own = native_as(&gemini, OTHER_KEY, "POST", CACHES, &body).await;
    assert_eq!(own.status(), 200);
    for (body, status) in [("{}", 400), (r#"{"model":"models/x"}"#, 404)] {
        let response = native_as(&gemini, KEY, "POST", CACHES, body).await;
        assert_eq!(response.status(), status, "{body}");
    }
}
