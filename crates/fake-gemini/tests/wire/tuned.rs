//! Tuned models: whose they are.

use crate::support::{KEY, OTHER_KEY, chat_with, contents, native, native_as, question, start};
use fake_gemini::{FakeGemini, errors};

async fn gemini() -> FakeGemini {
    let builder = FakeGemini::builder()
        .key_of_project(KEY, "projects/1")
        .key(OTHER_KEY)
        .tuned_model("projects/1", "my-model")
        .tuned_model("projects/2", "tunedModels/theirs");
    start(builder).await
}

#[tokio::test]
async fn tuned_models_are_listed_for_their_project() {
    let gemini = gemini().await;
    let list = native(&gemini, "tunedModels", "").await;
    assert_eq!(
        list.text(),
        "{\n  \"tunedModels\": [\n    {\n      \"name\": \"tunedModels/my-model\",\n      \"displayName\": \"my-model\",\n      \"state\": \"ACTIVE\"\n    }\n  ]\n}\n"
    );
    let alone = native(&gemini, "tunedModels/my-model", "").await;
    assert_eq!(alone.json(), list.json()["tunedModels"][0]);
    let other = native_as(&gemini, OTHER_KEY, "GET", "/v1beta/tunedModels", "").await;
    assert_eq!(other.text(), "{}\n");
}

#[tokio::test]
async fn a_tuned_model_answers_its_project_alone() {
    let gemini = gemini().await;
    let stream = "/v1beta/tunedModels/my-model:streamGenerateContent";
    for path in ["/v1beta/tunedModels/my-model:generateContent", stream] {
        let own = native_as(&gemini, KEY, "POST", path, &contents()).await;
        assert_eq!(own.status(), 200);
        let other = native_as(&gemini, OTHER_KEY, "POST", path, &contents()).await;
        let error = errors::tuned_model_denied("my-model");
        assert_eq!(
            (other.status(), other.text()),
            (403, error.pretty().as_str())
        );
    }
    let call = gemini.calls().pop().unwrap();
    assert_eq!(call.model.as_deref(), Some("tunedModels/my-model"));
    for id in ["theirs", "nobodys"] {
        let path = format!("tunedModels/{id}");
        let denied = native(&gemini, &path, "").await;
        assert_eq!(denied.text(), errors::tuned_model_denied(id).pretty());
    }
    let chat = question("").replace("gemini-2.5-flash", "tunedModels/my-model");
    assert_eq!(chat_with(&gemini, KEY, &chat).await.status(), 200);
    assert_eq!(chat_with(&gemini, OTHER_KEY, &chat).await.status(), 403);
    let path = "/v1beta/tunedModels/my-model:countTokens";
    let unserved = native_as(&gemini, KEY, "POST", path, &contents()).await;
    assert_eq!((unserved.status(), unserved.text()), (404, ""));
}
