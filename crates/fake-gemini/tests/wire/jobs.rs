//! Batches, pictures and videos.

use crate::support::{
    KEY, OTHER_KEY, call, compat, compat_as, file, gemini, native, native_as, two_projects,
};
use fake_gemini::{Act, FakeGemini, Operation, errors};

const BATCH: &str = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
const VIDEO: &str = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning";
const INLINE: &str = r#"{"batch":{"display_name":"d","input_config":{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"x"}]}]},"metadata":{"key":"k1"}},{"request":{}}]}}}}"#;

async fn name_of(gemini: &FakeGemini, path: &str, body: &str) -> String {
    let response = native_as(gemini, KEY, "POST", path, body).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()["name"].as_str().unwrap().to_owned()
}

fn of_file(name: &str) -> String {
    format!(r#"{{"batch":{{"displayName":"d","inputConfig":{{"fileName":"{name}"}}}}}}"#)
}

#[tokio::test]
async fn a_batch_is_an_operation_that_is_pending_until_it_is_finished() {
    let gemini = gemini().await;
    let created = native_as(&gemini, KEY, "POST", BATCH, INLINE).await;
    let name = created.json()["name"].as_str().unwrap().to_owned();
    assert_eq!(
        created.text(),
        format!(
            r#"{{
  "name": "{name}",
  "metadata": {{
    "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
    "model": "models/gemini-2.5-flash",
    "displayName": "d",
    "createTime": "2027-01-15T08:00:00Z",
    "updateTime": "2027-01-15T08:00:00Z",
    "batchStats": {{
      "requestCount": "2",
      "pendingRequestCount": "2"
    }},
    "state": "BATCH_STATE_PENDING",
    "name": "{name}"
  }}
}}
"#
        )
    );
    assert!(name.starts_with("batches/"), "{name}");
    assert_eq!(native(&gemini, &name, "").await.text(), created.text());
    let list = native(&gemini, "batches", "").await;
    assert_eq!(list.json()["operations"][0], created.json());

    assert!(gemini.finish(&name) && !gemini.finish(&name) && !gemini.finish("batches/x"));
    let done = native(&gemini, &name, "").await.json();
    assert_eq!(
        (&done["done"], &done["metadata"]["state"]),
        (&true.into(), &"BATCH_STATE_SUCCEEDED".into())
    );
    let responses = &done["response"]["inlinedResponses"]["inlinedResponses"];
    assert_eq!(responses[0]["metadata"]["key"], "k1");
    assert_eq!(responses.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_batch_may_be_cancelled_and_deleted() {
    let gemini = gemini().await;
    let name = name_of(&gemini, BATCH, INLINE).await;
    let path = format!("/v1beta/{name}");
    let cancelled = native_as(&gemini, KEY, "POST", &format!("{path}:cancel"), "").await;
    assert_eq!((cancelled.status(), cancelled.text()), (200, "{}\n"));
    let state = native(&gemini, &name, "").await.json()["metadata"]["state"].clone();
    assert_eq!(state, "BATCH_STATE_CANCELLED");
    assert!(!gemini.finish(&name), "what is cancelled is not done");
    let deleted = native_as(&gemini, KEY, "DELETE", &path, "").await;
    assert_eq!((deleted.status(), deleted.text()), (200, "{}\n"));
    let gone = native(&gemini, &name, "").await;
    assert_eq!(gone.text(), errors::no_such_entity().pretty());
    assert_eq!(native(&gemini, "batches", "").await.text(), "{}\n");
}

#[tokio::test]
async fn a_batch_is_404_for_other_projects() {
    let gemini = two_projects().await;
    let name = name_of(&gemini, BATCH, INLINE).await;
    let path = format!("/v1beta/{name}");
    let missing = errors::no_such_entity();
    for (method, path) in [
        ("GET", path.clone()),
        ("POST", format!("{path}:cancel")),
        ("DELETE", path),
    ] {
        let response = native_as(&gemini, OTHER_KEY, method, &path, "").await;
        assert_eq!(
            (response.status(), response.text()),
            (404, missing.pretty().as_str())
        );
    }
    let list = native_as(&gemini, OTHER_KEY, "GET", "/v1beta/batches", "").await;
    assert_eq!(list.text(), "{}\n");
    for id in [name.as_str(), "batches/x"] {
        let response = compat_as(&gemini, OTHER_KEY, &format!("batches/{id}"), "").await;
        assert_eq!(
            (response.status(), response.text()),
            (404, missing.pretty_array().as_str())
        );
    }
}

#[tokio::test]
async fn a_batch_reads_files_of_its_own_project_and_answers_in_one() {
    let gemini = two_projects().await;
    let input = file(&gemini, KEY, "{}").await;
    let refused = native_as(&gemini, OTHER_KEY, "POST", BATCH, &of_file(&input)).await;
    assert_eq!(refused.text(), errors::file_denied(&input).pretty());
    let name = name_of(&gemini, BATCH, &of_file(&input)).await;
    gemini.finish(&name);
    let done = native(&gemini, &name, "").await.json();
    assert_eq!(done["metadata"]["inputConfig"]["fileName"], *input);
    let output = done["response"]["responsesFile"]
        .as_str()
        .unwrap()
        .to_owned();
    let about = native(&gemini, &output, "").await.json();
    assert_eq!(about["source"], "GENERATED");
    let path = format!("/download/v1beta/{output}:download?alt=media");
    assert_eq!(
        native_as(&gemini, KEY, "GET", &path, "").await.status(),
        200
    );
    assert_eq!(
        native_as(&gemini, OTHER_KEY, "GET", &path, "")
            .await
            .status(),
        403
    );
}

#[tokio::test]
async fn a_compatible_batch_is_found_by_its_id_as_it_is() {
    let gemini = two_projects().await;
    let input = file(&gemini, KEY, "{}").await;
    let body = format!(
        r#"{{"input_file_id":"{input}","endpoint":"/v1/chat/completions","completion_window":"24h"}}"#
    );
    let created = compat(&gemini, "batches", &body).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        created.text(),
        format!(
            r#"{{"completion_window":"24h","created_at":1800000000,"endpoint":"/v1/chat/completions","id":"{id}","input_file_id":"{input}","object":"batch","status":"validating"}}"#
        )
    );
    let bare = id.strip_prefix("batches/").unwrap();
    for path in [
        format!("batches/{id}"),
        format!("batches/batches%2F{bare}"),
        format!("batches/{bare}"),
    ] {
        assert_eq!(
            compat(&gemini, &path, "").await.text(),
            created.text(),
            "{path}"
        );
    }
    let list = compat(&gemini, "batches?limit=5", "").await;
    let expected = format!(
        r#"{{"data":[{}],"has_more":false,"object":"list"}}"#,
        created.text()
    );
    assert_eq!(list.text(), expected);
    gemini.finish(&id);
    let done = compat(&gemini, &format!("batches/{id}"), "").await.json();
    assert_eq!(done["status"], "completed");
    assert_eq!(done["output_file_id"], format!("files/batch-{bare}"));
    let other = compat_as(&gemini, OTHER_KEY, "batches", &body).await;
    assert_eq!(other.text(), errors::file_denied(&input).pretty_array());
    let list = compat_as(&gemini, OTHER_KEY, "batches", "").await;
    assert_eq!(
        list.text(),
        r#"{"data":[],"has_more":false,"object":"list"}"#
    );
}

#[tokio::test]
async fn batches_that_say_too_little_are_400() {
    let gemini = gemini().await;
    for body in [
        "{}",
        r#"{"batch":{}}"#,
        r#"{"batch":{"inputConfig":{}}}"#,
        r#"{"batch":{"inputConfig":{"requests":{"requests":[]}}}}"#,
    ] {
        let response = native_as(&gemini, KEY, "POST", BATCH, body).await;
        assert_eq!(response.status(), 400, "{body}");
    }
    assert_eq!(compat(&gemini, "batches", "{}").await.status(), 400);
    let path = BATCH.replace("gemini-2.5-flash", "gemini-embedding-001");
    let wrong = native_as(&gemini, KEY, "POST", &path, INLINE).await;
    let error = errors::model_not_found("gemini-embedding-001", "v1beta", "batchGenerateContent");
    assert_eq!(wrong.text(), error.pretty());
}

#[tokio::test]
async fn pictures_come_as_many_as_asked_for() {
    let gemini = gemini().await;
    let path = "models/imagen-4.0-generate-001:predict";
    for (parameters, count) in [("", 4), (r#","parameters":{"sampleCount":1}"#, 1)] {
        let body = format!(r#"{{"instances":[{{"prompt":"a dot"}}]{parameters}}}"#);
        let response = native(&gemini, path, &body).await.json();
        let predictions = response["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), count);
        assert_eq!(predictions[0]["mimeType"], "image/png");
        let picture = predictions[0]["bytesBase64Encoded"].as_str().unwrap();
        assert!(picture.starts_with("iVBORw0KGgo"), "{picture}");
    }
    for model in ["imagen-4.0-generate-001", "gemini-2.5-flash-image"] {
        let body = format!(
            r#"{{"model":"{model}","prompt":"a dot","n":2,"response_format":"b64_json","size":"1024x1024"}}"#
        );
        let response = compat(&gemini, "images/generations", &body).await;
        assert!(
            response
                .text()
                .starts_with(r#"{"created":1800000000,"data":[{"b64_json":"iVBORw0KGgo"#),
            "{}",
            response.text()
        );
        assert_eq!(response.json()["data"].as_array().unwrap().len(), 2);
    }
    let chat = r#"{"model":"gemini-2.5-flash","prompt":"a dot"}"#;
    let wrong = compat(&gemini, "images/generations", chat).await;
    assert_eq!(
        wrong.text(),
        errors::model_not_found("gemini-2.5-flash", "v1main", "predict").pretty_array()
    );
    for body in [
        "{}",
        r#"{"instances":[{"prompt":"x"}],"parameters":{"sampleCount":5}}"#,
    ] {
        assert_eq!(native(&gemini, path, body).await.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn a_video_is_an_operation_of_its_project() {
    let gemini = two_projects().await;
    let name = name_of(&gemini, VIDEO, r#"{"instances":[{"prompt":"a dot"}]}"#).await;
    let id = name
        .strip_prefix("models/veo-3.1-generate-preview/operations/")
        .unwrap();
    let short = format!("operations/{id}");
    for path in [&name, &short] {
        let pending = native(&gemini, path, "").await;
        assert_eq!(pending.text(), format!("{{\n  \"name\": \"{name}\"\n}}\n"));
        let path = format!("/v1beta/{path}");
        let other = native_as(&gemini, OTHER_KEY, "GET", &path, "").await;
        assert_eq!(
            (other.status(), other.text()),
            (404, errors::no_such_entity().pretty().as_str())
        );
    }
    let operation = gemini.calls().last().unwrap().operation;
    assert_eq!(operation, Some(Operation::Resource(Act::GetOperation)));
    assert!(gemini.finish(&name));
    let done = native(&gemini, &name, "").await.json();
    let sample = &done["response"]["generateVideoResponse"]["generatedSamples"][0];
    let uri = sample["video"]["uri"].as_str().unwrap();
    assert_eq!(
        uri,
        format!("{}/v1beta/files/{id}:download?alt=media", gemini.origin())
    );
    let path = uri.strip_prefix(&gemini.origin()).unwrap();
    let video = native_as(&gemini, KEY, "GET", path, "").await;
    assert_eq!(video.head.get("content-type"), Some("video/mp4"));
    assert_eq!(
        native_as(&gemini, OTHER_KEY, "GET", path, "")
            .await
            .status(),
        403
    );
}

#[tokio::test]
async fn a_compatible_video_comes_of_json_or_a_form() {
    let gemini = two_projects().await;
    let json = r#"{"model":"veo-3.1-generate-preview","prompt":"a dot"}"#;
    let created = compat(&gemini, "videos", json).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        created.text(),
        format!(
            r#"{{"created_at":1800000000,"id":"{id}","model":"veo-3.1-generate-preview","object":"video","status":"processing"}}"#
        )
    );
    let path = format!("videos/{id}");
    assert_eq!(compat(&gemini, &path, "").await.text(), created.text());
    let other = compat_as(&gemini, OTHER_KEY, &path, "").await;
    assert_eq!(
        (other.status(), other.text()),
        (404, errors::no_such_entity().pretty_array().as_str())
    );
    assert!(gemini.finish(&format!("models/veo-3.1-generate-preview/operations/{id}")));
    let done = compat(&gemini, &path, "").await.json();
    assert_eq!(done["status"], "completed");
    assert!(
        done["url"]
            .as_str()
            .unwrap()
            .ends_with(":download?alt=media")
    );

    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nveo-3.1-generate-preview\r\n\
                --b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na dot\r\n--b--\r\n";
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=b"),
    ];
    let path = "/v1beta/openai/videos";
    let response = call(&gemini, "POST", path, &headers, form).await;
    assert_eq!(response.json()["status"], "processing");
    let broken = call(&gemini, "POST", path, &headers, "--b").await;
    assert_eq!(broken.status(), 400);
}
