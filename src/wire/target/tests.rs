use super::*;

fn of(line: &str) -> Option<Target> {
    let (method, path) = line.split_once(' ').unwrap();
    Target::of(&method.parse().unwrap(), path, Surface::OpenAi)
}

#[test]
fn maps_paths_to_surfaces() {
    for case in [
        "POST /v1/chat/completions -> OpenAi Chat /v1beta/openai/chat/completions",
        "POST /v1beta/openai/chat/completions -> OpenAi Chat /v1beta/openai/chat/completions",
        "GET /v1/models -> OpenAi Other /v1beta/openai/models",
        "GET /v1/models/gemini-2.5-flash -> OpenAi Other /v1beta/openai/models/gemini-2.5-flash",
        "POST /v1/what/comes/next -> OpenAi Other /v1beta/openai/what/comes/next",
        "GET /v1/batches/batches%2Fabc -> OpenAi Other /v1beta/openai/batches/batches/abc",
        "GET /v1/batches/batches/abc -> OpenAi Other /v1beta/openai/batches/batches/abc",
        "POST /v1/models/m:generateContent -> Gemini Generate /v1/models/m:generateContent",
        "POST /v1beta/models/m:streamGenerateContent -> Gemini Generate \
            /v1beta/models/m:streamGenerateContent",
        "POST /v1alpha/tunedModels/t:generateContent -> Gemini Generate \
            /v1alpha/tunedModels/t:generateContent",
        "POST /v1beta/models/m:countTokens -> Gemini Other /v1beta/models/m:countTokens",
        "GET /v1beta/models -> Gemini Other /v1beta/models",
        "GET /v1/cachedContents/c -> Gemini Other /v1/cachedContents/c",
        "POST /upload/v1beta/files -> Gemini Other /upload/v1beta/files",
        "GET /download/v1beta/files/f:download -> Gemini Other /download/v1beta/files/f:download",
    ] {
        let (line, expected) = case.split_once(" -> ").unwrap();
        let target = of(line).unwrap_or_else(|| panic!("{line}"));
        let found = format!("{:?} {:?} {}", target.surface, target.kind, target.path);
        assert_eq!(found, expected, "{line}");
    }
    let chat = Target::of(&Method::POST, "/v1/chat/completions", Surface::Gemini).unwrap();
    assert_eq!(chat.surface, Surface::OpenAi, "Google has none there");
    // The services of google-genai.
    let services = "agents auth_tokens batches cachedContents decisions environments fileSearchStores \
        files interactions models operations triggers tunedModels voices webhooks";
    for service in services.split(' ') {
        let path = format!("/v1/{service}/x");
        let by_google = Target::of(&Method::GET, &path, Surface::Gemini).unwrap();
        assert_eq!(by_google.surface, Surface::Gemini, "{path}");
        assert_eq!(by_google.path, path);
    }
}

#[test]
fn other_paths_are_not_forwarded() {
    let paths = "/ /v1 /v1/ /v2/models /v1beta /v1beta/ /v1beta/../v1/models /v1/%2e%2e/x /v1/x%2f..%2fy \
        /v1/%2fx /v1beta/a%2fb /v1/a%2f /V1/models /upload/files /upload/v2/files v1/models /v1/a%00b \
        /v1/a\\b /v1betamodels/x";
    for path in paths.split(' ').chain([""]) {
        let target = Target::of(&Method::GET, path, Surface::OpenAi);
        assert_eq!(target, None, "{path}");
    }
}

#[test]
fn methods_with_separate_quotas_are_distinct() {
    for case in [
        r#"POST /v1beta/models/gemini-2.5-flash:generateContent -> Path("gemini-2.5-flash")"#,
        r#"POST /v1beta/models/gemini%2D2.5:streamGenerateContent -> Path("gemini-2.5")"#,
        r#"POST /v1beta/models/m:countTokens -> Path("m:countTokens")"#,
        r#"POST /v1beta/models/e:batchEmbedContents -> Path("e")"#,
        r#"POST /v1beta/tunedModels/t:generateContent -> Path("tunedModels/t")"#,
        r#"GET /v1beta/models/m -> BodyOr("models")"#,
        r#"GET /v1beta/models/m/operations/o -> BodyOr("models")"#,
        r#"POST /upload/v1beta/files -> BodyOr("files")"#,
        r#"POST /v1beta/batches/b:cancel -> BodyOr("batches")"#,
        r#"POST /v1/embeddings -> BodyOr("embeddings")"#,
    ] {
        let (line, expected) = case.split_once(" -> ").unwrap();
        let subject = of(line).unwrap().subject;
        assert_eq!(format!("{subject:?}"), expected, "{line}");
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
    let rename = |name: &str| name.replace("gpt-4o", "gemini");
    for case in [
        "POST /v1beta/models/gpt-4o:generateContent -> /v1beta/models/gemini:generateContent",
        "POST /v1beta/models/gpt%2D4o:countTokens -> /v1beta/models/gemini:countTokens",
        "GET /v1/models/gpt-4o -> /v1beta/openai/models/gemini",
        "GET /v1beta/models/m -> /v1beta/models/m",
        "GET /v1beta/files/gpt-4o -> /v1beta/files/gpt-4o",
    ] {
        let (line, path) = case.split_once(" -> ").unwrap();
        assert_eq!(of(line).unwrap().renamed(rename).path, path, "{line}");
    }
    let target = of("POST /v1beta/models/gpt-4o:generateContent").unwrap();
    let renamed = target.renamed(rename).subject;
    assert_eq!(renamed, Subject::Path("gemini".to_owned()));
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
    let longest = "m".repeat(128);
    for (line, expected) in [
        ("POST /v1beta/models/gemini%2D2.5:generateContent", false),
        ("POST /v1beta/models/LONGEST:generateContent", false),
        ("POST /v1beta/models/LONGESTm:generateContent", true),
        ("GET /v1beta/models/LONGESTm", true),
        ("GET /v1/models/LONGESTm", true),
        ("GET /v1/models/google%2Fgemini", false),
        ("GET /v1beta/models/my%20secret", true),
        ("GET /v1beta/models/m%C3%A9", true),
        ("GET /v1beta/models/m%ff", true),
        ("POST /v1beta/tunedModels/a%20b:generateContent", true),
        ("POST /v1beta/models/a%253Ab:generateContent", true),
        ("POST /v1beta/models/a:b:generateContent", false),
        ("GET /v1beta/models/m/operations/LONGEST", false),
        ("GET /v1beta/models", false),
        ("GET /v1beta/files/LONGESTm", false),
    ] {
        let target = of(&line.replace("LONGEST", &longest)).unwrap();
        assert_eq!(target.has_invalid_model(), expected, "{line}");
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
    let forwarded = |query: &str| {
        let query = query.replace("TOKEN", token).replace("GOOGLE", key);
        forwarded_query(&query, [token])
    };
    for case in [
        "alt=sse&key=secret -> alt=sse",
        "%6bey=secret&pageSize=5&pageToken=a%20b+c -> pageSize=5&pageToken=a%20b+c",
        "$alt=sse&%24fields=a(b)&$prettyPrint=false&$ct=x&$httpMethod=DELETE&$httpHeaders=a\
            &%24%24key=s&$.xgafv=2&$userProject=p&$Alt=x \
            -> $alt=sse&%24fields=a(b)&$prettyPrint=false",
        "x=GOOGLE&y=Bearer%20GOOGLE&GOOGLE=1&a=1 -> a=1",
    ] {
        let (query, expected) = case.split_once(" -> ").unwrap();
        assert_eq!(forwarded(query).as_deref(), Some(expected), "{query}");
    }
    for query in [
        "upload_id=u&upload_protocol=resumable&page_token=p&nextPageToken=n&quotaUser=q",
        "filter=a%3Db&keys=1&monkey=2",
    ] {
        assert_eq!(forwarded(query).as_deref(), Some(query));
    }
    let with_token = "x=TOKEN&y=fake%2Dclient-token-0001&z=1;key=TOKEN&TOKEN";
    for query in ["key=secret", with_token, "", "&&"] {
        assert_eq!(forwarded(query), None, "{query}");
    }
    let names = "KEY $key %24key access_token oauth_token api_key apikey API-Key token auth \
        authorization bearer_token client_token x-goog-api-key X_API_KEY id_token refreshToken \
        google_api_key accessToken client_secret";
    for name in names.split(' ') {
        assert_eq!(forwarded(&format!("{name}=s")), None, "{name}");
    }
    assert_eq!(key_of_query("alt=sse&key=a%2Bb").as_deref(), Some("a+b"));
    assert_eq!(key_of_query("keys=1"), None);
}
