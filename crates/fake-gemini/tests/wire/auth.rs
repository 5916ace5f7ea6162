//! Which credentials are taken, what dead keys are told, and which script a call takes.

use crate::support::{
    CHAT, KEY, OTHER_KEY, call, chat, chat_with, contents, gemini, native, question, start,
};
use fake_gemini::{Answer, Condition, FakeGemini, Place, Reply, errors};

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

#[tokio::test]
async fn each_surface_takes_the_key_in_its_own_places() {
    let gemini = gemini().await;
    let bearer = format!("Bearer {KEY}");
    let authorization = ("authorization", bearer.as_str());
    let header = ("x-goog-api-key", KEY);
    let basic = ("authorization", "Basic dXNlcg==");
    let with_key = |path: &str| format!("{path}?alt=json&key={KEY}");
    let in_query = (with_key(CHAT), with_key(GENERATE));

    let none = "Missing or invalid Authorization header.";
    let unregistered = "Method doesn't allow unregistered callers";
    let two = "Multiple authentication credentials received.";
    let oauth = "Request had invalid authentication credentials.";
    for (path, headers, status, message) in [
        (CHAT, &[authorization][..], 200, ""),
        (CHAT, &[header], 200, ""),
        (CHAT, &[], 400, none),
        (CHAT, &[("authorization", "Bearer ")], 400, none),
        (CHAT, &[("authorization", "Bearer")], 400, none),
        (CHAT, &[basic], 400, none),
        (&in_query.0, &[], 400, none),
        (&in_query.0, &[authorization], 400, two),
        (CHAT, &[authorization, header], 400, two),
        (CHAT, &[authorization, authorization], 400, two),
        (GENERATE, &[header], 200, ""),
        (&in_query.1, &[], 200, ""),
        (GENERATE, &[], 403, unregistered),
        (GENERATE, &[authorization], 401, oauth),
        (GENERATE, &[basic], 401, oauth),
        (&in_query.1, &[header], 400, two),
        (&in_query.1, &[authorization], 400, two),
    ] {
        let body = if path.contains("openai") {
            question("")
        } else {
            contents()
        };
        let response = call(&gemini, "POST", path, headers, &body).await;
        assert_eq!(response.status(), status, "{path} {headers:?}");
        assert!(
            response.text().contains(message),
            "{path} {headers:?}: {}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_decoded_and_logged_with_its_place() {
    let gemini = start(FakeGemini::builder().key("AQ.FAKE key+1")).await;
    let path = format!("{GENERATE}?key=AQ.FAKE%20key%2B1");
    assert_eq!(
        call(&gemini, "POST", &path, &[], &contents())
            .await
            .status(),
        200
    );
    let call = gemini.calls().remove(0);
    assert_eq!(call.credentials[0].place, Place::Query);
    assert_eq!(call.key.as_deref(), Some("AQ.FAKE key+1"));
}

#[tokio::test]
async fn a_key_is_answered_by_its_condition() {
    let project = "projects/000000000001";
    for condition in Condition::ALL {
        let gemini = start(FakeGemini::builder().key_in_condition(KEY, condition)).await;
        for (surface, response) in [
            ("compat", chat(&gemini, "").await),
            (
                "native",
                native(
                    &gemini,
                    "models/gemini-2.5-flash:generateContent",
                    &contents(),
                )
                .await,
            ),
        ] {
            let rpc = "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent";
            match condition.error(KEY, project, rpc) {
                None => assert_eq!(response.status(), 200, "{surface} {condition:?}"),
                Some(error) => {
                    let expected = match surface {
                        "compat" => error.pretty_array(),
                        _ => error.pretty(),
                    };
                    assert_eq!(response.text(), expected, "{surface} {condition:?}");
                    assert_eq!(response.status(), error.code());
                }
            }
        }
    }
}

#[tokio::test]
async fn each_condition_has_its_own_status_and_message() {
    let invalid = "INVALID_ARGUMENT";
    let denied = "PERMISSION_DENIED";
    for (condition, code, status, begin) in [
        (
            Condition::Invalid,
            400,
            invalid,
            "API key not valid. Please pass a valid API key.",
        ),
        (
            Condition::Expired,
            400,
            invalid,
            "API key expired. Please renew the API key.",
        ),
        (
            Condition::NotFound,
            400,
            invalid,
            "API Key not found. Please pass a valid API key.",
        ),
        (
            Condition::Unauthenticated,
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
        ),
        (
            Condition::Leaked,
            403,
            denied,
            "Your API key was reported as leaked.",
        ),
        (
            Condition::Suspended,
            403,
            denied,
            "Permission denied: Consumer 'api_key:AIzaFAKE-first-key-000000000000000000001' has been suspended.",
        ),
        (
            Condition::ProjectDenied,
            403,
            denied,
            "Your project has been denied access.",
        ),
        (
            Condition::ServiceDisabled,
            403,
            denied,
            "Generative Language API has not been used in project 000000000001 before or it is disabled.",
        ),
        (
            Condition::ServiceBlocked,
            403,
            denied,
            "Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent are blocked.",
        ),
        (
            Condition::PermissionDenied,
            403,
            denied,
            "The caller does not have permission",
        ),
        (
            Condition::LocationUnsupported,
            400,
            "FAILED_PRECONDITION",
            "User location is not supported for the API use.",
        ),
    ] {
        let gemini = start(FakeGemini::builder().key_in_condition(KEY, condition)).await;
        let response = chat(&gemini, "").await;
        assert_eq!(response.status(), code, "{condition:?}");
        let error = &response.json()[0]["error"];
        assert_eq!(error["status"], status, "{condition:?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(begin), "{condition:?}: {message}");
    }
}

#[tokio::test]
async fn a_blocked_service_names_the_method_that_was_called() {
    let gemini =
        start(FakeGemini::builder().key_in_condition(KEY, Condition::ServiceBlocked)).await;
    for (path, body, method) in [
        (
            "models/gemini-2.5-flash:streamGenerateContent",
            contents(),
            "GenerativeService.StreamGenerateContent",
        ),
        (
            "models/gemini-2.5-flash:countTokens",
            contents(),
            "GenerativeService.CountTokens",
        ),
        ("models", String::new(), "ModelService.ListModels"),
        ("models/x", String::new(), "ModelService.GetModel"),
    ] {
        let response = native(&gemini, path, &body).await;
        let message = format!("method google.ai.generativelanguage.v1beta.{method} are blocked.");
        assert!(response.text().contains(&message), "{}", response.text());
    }
    for more in [r#","stream":true"#, r#","stream":true,"seed":1"#] {
        let response = chat(&gemini, more).await;
        let message = "GenerativeService.StreamGenerateContent are blocked.";
        assert!(response.text().contains(message), "{}", response.text());
    }
}

#[tokio::test]
async fn a_call_that_goes_nowhere_has_its_key_in_the_log() {
    let gemini = gemini().await;
    let bearer = format!("Bearer {KEY}");
    let in_query = format!("/v2/x?key={KEY}");
    for (path, headers, key, ordinal) in [
        (
            "/v2/x",
            &[("authorization", bearer.as_str())][..],
            Some(KEY),
            Some(1),
        ),
        ("/v2/x", &[("x-goog-api-key", "other")], Some("other"), None),
        (&in_query, &[], Some(KEY), Some(1)),
        (&in_query, &[("x-goog-api-key", KEY)], None, None),
        ("/v2/x", &[("authorization", "Basic x")], None, None),
        ("/v2/x", &[], None, None),
    ] {
        assert_eq!(call(&gemini, "POST", path, headers, "").await.status(), 404);
        let call = gemini.calls().pop().unwrap();
        assert_eq!((call.key.as_deref(), call.key_ordinal), (key, ordinal));
        let project = ordinal.map(|_| "projects/000000000001");
        assert_eq!(call.project.as_deref(), project);
    }
}

#[tokio::test]
async fn an_unknown_key_is_an_invalid_one() {
    let gemini = gemini().await;
    let response = chat_with(&gemini, "AIzaFAKE-nobody", &question("")).await;
    assert_eq!(
        (response.status(), response.text()),
        (400, errors::key_invalid().pretty_array().as_str())
    );
}

#[tokio::test]
async fn a_condition_may_change_while_the_fake_runs() {
    let gemini = gemini().await;
    assert_eq!(chat(&gemini, "").await.status(), 200);
    gemini.set_condition(KEY, Condition::Leaked);
    assert_eq!(chat(&gemini, "").await.status(), 403);
    gemini.set_condition(KEY, Condition::Valid);
    gemini.set_condition(OTHER_KEY, Condition::Valid);
    assert_eq!(chat(&gemini, "").await.status(), 200);
    assert_eq!(
        chat_with(&gemini, OTHER_KEY, &question("")).await.status(),
        200
    );
    assert_eq!(gemini.calls()[3].key_ordinal, Some(2));
}

#[tokio::test]
async fn scripts_are_taken_in_order_the_keys_own_first() {
    let gemini = start(FakeGemini::builder().key(KEY).key(OTHER_KEY)).await;
    let say = |text: &str| Reply::answer(Answer::text(text));
    gemini.script_any(say("any 1"));
    gemini.script_any(say("any 2"));
    gemini.script(KEY, say("own 1"));
    gemini.script(KEY, say("own 2"));
    let ask = async |key: &str| {
        let json = chat_with(&gemini, key, &question("")).await.json();
        json["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for (key, expected) in [
        (KEY, "own 1"),
        (OTHER_KEY, "any 1"),
        (KEY, "own 2"),
        (KEY, "any 2"),
        (KEY, "This is a made-up answer of a fake Gemini."),
    ] {
        assert_eq!(ask(key).await, expected);
    }
    assert_eq!(gemini.unused_replies(), 0);
}

#[tokio::test]
async fn a_script_goes_before_condition_model_and_quota_but_not_before_a_wrong_request() {
    let gemini = start(
        FakeGemini::builder()
            .key_in_condition(KEY, Condition::Expired)
            .quota(fake_gemini::Quota::none()),
    )
    .await;
    gemini.script(KEY, Reply::ok());
    assert_eq!(chat(&gemini, r#","seed":1"#).await.status(), 400);
    assert_eq!(gemini.unused_replies(), 1);
    let unknown = question("").replace("gemini-2.5-flash", "no-model");
    assert_eq!(chat_with(&gemini, KEY, &unknown).await.status(), 200);
    assert_eq!(chat(&gemini, "").await.status(), 400);
}

#[tokio::test]
async fn a_key_that_is_not_registered_takes_its_own_script_alone() {
    let gemini = gemini().await;
    gemini.script_any(Reply::ok());
    let stranger = "AIzaFAKE-stranger";
    assert_eq!(
        chat_with(&gemini, stranger, &question("")).await.status(),
        400
    );
    gemini.script(stranger, Reply::ok());
    assert_eq!(
        chat_with(&gemini, stranger, &question("")).await.status(),
        200
    );
    assert_eq!(gemini.unused_replies(), 1);
}

#[tokio::test]
async fn a_scripted_answer_suits_calls_that_ask_no_model() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::answer(Answer::text("never seen")));
    let list = native(&gemini, "models", "").await;
    assert!(list.json()["models"].is_array());
    assert_eq!(gemini.unused_replies(), 0);
}
