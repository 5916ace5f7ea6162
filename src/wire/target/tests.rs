use super::*;

fn of(line: &str) -> Option<Target> {
    let (method, path) = line.split_once(' ').unwrap();
    Target::of(&method.parse().unwrap(), path, Surface::OpenAi)
}

#[test]
fn maps_paths_to_surfaces() {
    use Kind::{Chat, Generate, Other};
    use Surface::{Gemini, OpenAi};
    for (line, surface, kind, path) in [
        (
            "POST /v1/chat/completions",
            OpenAi,
            Chat,
            "/v1beta/openai/chat/completions",
        ),
        (
            "POST /v1beta/openai/chat/completions",
            OpenAi,
            Chat,
            "/v1beta/openai/chat/completions",
        ),
        ("GET /v1/models", OpenAi, Other, "/v1beta/openai/models"),
        (
            "GET /v1/models/gemini-2.5-flash",
            OpenAi,
            Other,
            "/v1beta/openai/models/gemini-2.5-flash",
        ),
        (
            "POST /v1/what/comes/next",
            OpenAi,
            Other,
            "/v1beta/openai/what/comes/next",
        ),
        (
            "GET /v1/batches/batches%2Fabc",
            OpenAi,
            Other,
            "/v1beta/openai/batches/batches/abc",
        ),
        (
            "GET /v1/batches/batches/abc",
            OpenAi,
            Other,
            "/v1beta/openai/batches/batches/abc",
        ),
        (
            "POST /v1/models/m:generateContent",
            Gemini,
            Generate,
            "/v1/models/m:generateContent",
        ),
        (
            "POST /v1beta/models/m:streamGenerateContent",
            Gemini,
            Generate,
            "/v1beta/models/m:streamGenerateContent",
        ),
        (
            "POST /v1alpha/tunedModels/t:generateContent",
            Gemini,
            Generate,
            "/v1alpha/tunedModels/t:generateContent",
        ),
        (
            "POST /v1beta/models/m:countTokens",
            Gemini,
            Other,
            "/v1beta/models/m:countTokens",
        ),
        ("GET /v1beta/models", Gemini, Other, "/v1beta/models"),
        (
            "GET /v1/cachedContents/c",
            Gemini,
            Other,
            "/v1/cachedContents/c",
        ),
        (
            "POST /upload/v1beta/files",
            Gemini,
            Other,
            "/upload/v1beta/files",
        ),
        (
            "GET /download/v1beta/files/f:download",
            Gemini,
            Other,
            "/download/v1beta/files/f:download",
        ),
    ] {
        let target = of(line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(
            (target.surface, target.kind, target.path.as_str()),
            (surface, kind, path),
            "{line}"
        );
    }
    let chat = Target::of(&Method::POST, "/v1/chat/completions", Surface::Gemini).unwrap();
    assert_eq!(chat.surface, OpenAi, "Google has none there");
    // The services of google-genai.
    for service in [
        "agents",
        "auth_tokens",
        "batches",
        "cachedContents",
        "decisions",
        "environments",
        "fileSearchStores",
        "files",
        "interactions",
        "models",
        "operations",
        "triggers",
        "tunedModels",
        "voices",
        "webhooks",
    ] {
        let path = format!("/v1/{service}/x");
        let by_google = Target::of(&Method::GET, &path, Surface::Gemini).unwrap();
        assert_eq!((by_google.surface, by_google.path), (Gemini, path));
    }
}

#[test]
fn other_paths_are_not_forwarded() {
    for path in [
        "",
        "/",
        "/v1",
        "/v1/",
        "/v2/models",
        "/v1beta",
        "/v1beta/",
        "/v1beta/../v1/models",
        "/v1/%2e%2e/x",
        "/v1/x%2f..%2fy",
        "/v1/%2fx",
        "/v1beta/a%2fb",
        "/v1/a%2f",
        "/V1/models",
        "/upload/files",
        "/upload/v2/files",
        "v1/models",
        "/v1/a%00b",
        "/v1/a\\b",
        "/v1betamodels/x",
    ] {
        assert_eq!(
            Target::of(&Method::GET, path, Surface::OpenAi),
            None,
            "{path}"
        );
    }
}

#[test]
fn methods_with_separate_quotas_are_distinct() {
    let path = |text: &str| Subject::Path(text.to_owned());
    let body_or = |text: &str| Subject::BodyOr(text.to_owned());
    for (line, subject) in [
        (
            "POST /v1beta/models/gemini-2.5-flash:generateContent",
            path("gemini-2.5-flash"),
        ),
        (
            "POST /v1beta/models/gemini%2D2.5:streamGenerateContent",
            path("gemini-2.5"),
        ),
        ("POST /v1beta/models/m:countTokens", path("m:countTokens")),
        ("POST /v1beta/models/e:batchEmbedContents", path("e")),
        (
            "POST /v1beta/tunedModels/t:generateContent",
            path("tunedModels/t"),
        ),
        ("GET /v1beta/models/m", body_or("models")),
        ("GET /v1beta/models/m/operations/o", body_or("models")),
        ("POST /upload/v1beta/files", body_or("files")),
        ("POST /v1beta/batches/b:cancel", body_or("batches")),
        ("POST /v1/embeddings", body_or("embeddings")),
    ] {
        assert_eq!(of(line).unwrap().subject, subject, "{line}");
    }
}

#[test]
fn only_idempotent_requests_are_repeatable() {
    for (line, expected) in [
        ("POST /v1/chat/completions", true),
        ("POST /v1/embeddings", true),
        ("POST /v1/batches", false),
        ("POST /v1/videos", false),
        ("GET /v1/videos/v", true),
        ("POST /v1beta/models/m:generateContent", true),
        ("POST /v1beta/models/m:predictLongRunning", false),
        ("POST /v1beta/models/m:batchGenerateContent", false),
        ("POST /upload/v1beta/files", false),
        ("DELETE /v1beta/files/f", false),
        ("GET /v1beta/files/f", true),
    ] {
        assert_eq!(of(line).unwrap().is_repeatable, expected, "{line}");
    }
}

#[test]
fn renames_the_model_in_a_path() {
    let rename = |name: &str| {
        if name == "gpt-4o" {
            "gemini".to_owned()
        } else {
            name.to_owned()
        }
    };
    for (line, path) in [
        (
            "POST /v1beta/models/gpt-4o:generateContent",
            "/v1beta/models/gemini:generateContent",
        ),
        (
            "POST /v1beta/models/gpt%2D4o:countTokens",
            "/v1beta/models/gemini:countTokens",
        ),
        ("GET /v1/models/gpt-4o", "/v1beta/openai/models/gemini"),
        ("GET /v1beta/models/m", "/v1beta/models/m"),
        ("GET /v1beta/files/gpt-4o", "/v1beta/files/gpt-4o"),
    ] {
        assert_eq!(of(line).unwrap().renamed(rename).path, path, "{line}");
    }
    let renamed = of("POST /v1beta/models/gpt-4o:generateContent")
        .unwrap()
        .renamed(rename);
    assert_eq!(renamed.subject, Subject::Path("gemini".to_owned()));
}

#[test]
fn a_gemini_stream_without_events_is_an_array() {
    let target = of("POST /v1beta/models/m:streamGenerateContent").unwrap();
    assert!(target.is_growing_array(None) && target.is_growing_array(Some("alt=json")));
    assert!(!target.is_growing_array(Some("x=1&alt=sse")));
    assert!(!target.is_growing_array(Some("%24alt=sse")));
    let whole = of("POST /v1beta/models/m:generateContent").unwrap();
    assert!(!whole.is_growing_array(None));
}

#[test]
fn rejects_a_path_with_an_invalid_model() {
    let long = "m".repeat(128);
    for (line, expected) in [
        (
            "POST /v1beta/models/gemini%2D2.5:generateContent".to_owned(),
            false,
        ),
        (format!("POST /v1beta/models/{long}:generateContent"), false),
        (format!("POST /v1beta/models/{long}m:generateContent"), true),
        (format!("GET /v1beta/models/{long}m"), true),
        (format!("GET /v1/models/{long}m"), true),
        ("GET /v1/models/google%2Fgemini".to_owned(), false),
        ("GET /v1beta/models/my%20secret".to_owned(), true),
        ("GET /v1beta/models/m%C3%A9".to_owned(), true),
        ("GET /v1beta/models/m%ff".to_owned(), true),
        (
            "POST /v1beta/tunedModels/a%20b:generateContent".to_owned(),
            true,
        ),
        (
            "POST /v1beta/models/a%253Ab:generateContent".to_owned(),
            true,
        ),
        ("POST /v1beta/models/a:b:generateContent".to_owned(), false),
        (format!("GET /v1beta/models/m/operations/{long}"), false),
        ("GET /v1beta/models".to_owned(), false),
        (format!("GET /v1beta/files/{long}m"), false),
    ] {
        assert_eq!(of(&line).unwrap().has_invalid_model(), expected, "{line}");
    }
}

#[test]
fn anything_but_a_plain_word_is_stored_as_other() {
    for (line, subject) in [
        ("GET /v1beta/fake-client-token-0001", "other"),
        ("GET /v1/fake-client-token-0001/x", "other"),
        ("GET /v1beta/odd;x/y", "other"),
        ("GET /v1beta/a%20prompt", "other"),
        ("GET /v1beta/auth_tokens", "auth_tokens"),
        ("POST /v1beta/models/m:a%20prompt", "m:other"),
        ("POST /v1beta/models/m:newMethod", "m:newMethod"),
    ] {
        let (Subject::Path(name) | Subject::BodyOr(name)) = of(line).unwrap().subject;
        assert_eq!(name, subject, "{line}");
    }
}

#[test]
fn removes_credentials_and_request_parameters_from_queries() {
    let token = "fake-client-token-0001";
    let key = "AIzaSyFAKE0123456789abcdefghijklmnoWXYZ";
    for (query, forwarded) in [
        ("key=secret".to_owned(), None),
        ("alt=sse&key=secret".to_owned(), Some("alt=sse")),
        (
            "%6bey=secret&pageSize=5&pageToken=a%20b+c".to_owned(),
            Some("pageSize=5&pageToken=a%20b+c"),
        ),
        (
            "KEY=s&$key=s&%24key=s&access_token=s&oauth_token=s&api_key=s&apikey=s&API-Key=s&token=s&auth=s".to_owned(),
            None,
        ),
        (
            "authorization=s&bearer_token=s&client_token=s&x-goog-api-key=s&X_API_KEY=s&id_token=s&refreshToken=s&google_api_key=s&accessToken=s&client_secret=s".to_owned(),
            None,
        ),
        (
            "$alt=sse&%24fields=a(b)&$prettyPrint=false&$ct=x&$httpMethod=DELETE&$httpHeaders=a&%24%24key=s&$.xgafv=2&$userProject=p&$Alt=x".to_owned(),
            Some("$alt=sse&%24fields=a(b)&$prettyPrint=false"),
        ),
        (
            "upload_id=u&upload_protocol=resumable&page_token=p&nextPageToken=n&quotaUser=q&filter=a%3Db".to_owned(),
            Some("upload_id=u&upload_protocol=resumable&page_token=p&nextPageToken=n&quotaUser=q&filter=a%3Db"),
        ),
        (format!("x={token}&y=fake%2Dclient-token-0001&z=1;key={token}&{token}"), None),
        (format!("x={key}&y=Bearer%20{key}&{key}=1&a=1"), Some("a=1")),
        ("keys=1&monkey=2".to_owned(), Some("keys=1&monkey=2")),
        (String::new(), None),
        ("&&".to_owned(), None),
    ] {
        assert_eq!(forwarded_query(&query, [token]).as_deref(), forwarded, "{query}");
    }
    assert_eq!(key_of_query("alt=sse&key=a%2Bb").as_deref(), Some("a+b"));
    assert_eq!(key_of_query("keys=1"), None);
}
