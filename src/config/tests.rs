use super::*;

fn config(set: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
    for (name, _) in set {
        assert!(VARIABLES.contains(name), "{name} is not declared");
    }
    Config::from_variables(|name| {
        set.iter()
            .find(|(set, _)| *set == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// Why a configuration is refused.
fn problem(set: &[(&str, &str)]) -> String {
    config(set).unwrap_err().to_string()
}

fn chat_endpoint(set: &[(&str, &str)]) -> String {
    config(set).unwrap().chat_endpoint.to_string()
}

#[test]
fn defaults_call_google_and_refuse_every_client() {
    let config = config(&[]).unwrap();
    assert_eq!(
        config.chat_endpoint,
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
    );
    assert_eq!(config.default_model, "gemini-flash-latest");
    assert_eq!(config.client_token, None);
    assert_eq!(config.rate_limit_per_minute, None);
    assert_eq!(config.max_body_bytes, 32 * 1024 * 1024);
    assert_eq!(config.log_retention_days, Some(30));
    assert!(
        config.import_keys.is_empty()
            && !config.enforce_origin
            && config.proxies == Proxies::Untrusted
    );
}

#[test]
fn empty_variables_take_their_defaults() {
    let mut all: Vec<(&str, &str)> = VARIABLES.iter().map(|name| (*name, "  ")).collect();
    all.retain(|(name, _)| *name != "llm_api_origin");
    let defaults = format!("{:?}", config(&[]).unwrap());
    assert_eq!(format!("{:?}", config(&all).unwrap()), defaults);
    let problem = problem(&[("llm_api_origin", " ")]);
    let expected = "llm_api_origin is empty: leave it unset";
    assert!(problem.contains(expected), "{problem}");
}

#[test]
fn aliases_are_pairs_and_invalid_ones_are_reported() {
    let models = |list: &str, names: &[&str]| {
        let config = config(&[("model_aliases", list)]).unwrap();
        names
            .iter()
            .map(|name| config.model_of(name).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        models(
            " gpt-4o = gemini-flash-latest ,, b=c,c=d",
            &["gpt-4o", "b", "e"]
        ),
        ["gemini-flash-latest", "c", "e"]
    );
    assert_eq!(
        models(
            "claude-*-haiku*=lite, claude-*=pro, *=flash",
            &["claude-3-haiku", "claude-opus-4", "lite", ""]
        ),
        ["lite", "pro", "flash", ""]
    );
    for (list, expected) in [
        ("gpt-4o", "entry 1 must be a pair"),
        ("a=", "must be a pair"),
        ("=b", "must be a pair"),
        ("a=b c", "must be a pair"),
        ("a=b/../c", "must be a pair"),
        ("a=b,a b=c", "entry 2 must be a pair"),
        (
            "a=b,c=AIzaFAKE-in-the-wrong-place",
            "entry 2 must be a pair",
        ),
        ("a=b,a=c", "entry 2 repeats the name of entry 1"),
        ("a*=b,a*=c", "entry 2 repeats the name of entry 1"),
        ("a=b,a*=gemini-*", "entry 2 must not have * in its model"),
        ("a *=b", "entry 1 must be a pair"),
    ] {
        let problem = problem(&[("model_aliases", list)]);
        assert!(problem.contains(expected), "{list}: {problem}");
        assert!(!problem.contains("AIza"), "{list}: {problem}");
    }
    let long = [
        format!("a={}", "m".repeat(129)),
        format!("{}*=m", "a".repeat(128)),
    ];
    for list in &long {
        problem(&[("model_aliases", list)]);
    }
    let shadowed = config(&[("model_aliases", "a*=b,ab=c")]).unwrap();
    let expected = "model_aliases: entry 2 has no effect, since entry 1 matches first";
    assert!(
        shadowed
            .warnings()
            .iter()
            .any(|warning| warning == expected)
    );
}

#[test]
fn the_origin_changes_the_upstream() {
    for origin in ["http://127.0.0.1:8080", "https://proxy.example"] {
        let endpoint = format!("{origin}/v1beta/openai/chat/completions");
        assert_eq!(chat_endpoint(&[("llm_api_origin", origin)]), endpoint);
        let with_slash = format!("{origin}/");
        assert_eq!(chat_endpoint(&[("llm_api_origin", &with_slash)]), endpoint);
    }
}

#[test]
fn the_endpoint_may_be_any_path_of_the_origin() {
    let endpoint = "http://H.example/v9/chat?x=1";
    let set = [
        ("llm_api_origin", "http://h.example:80"),
        ("llm_api_endpoint", endpoint),
    ];
    assert_eq!(chat_endpoint(&set), endpoint);
}

#[test]
fn keys_are_deduplicated_in_order() {
    let list = " AIzaFAKE-1 ,AIzaFAKE-2,, AIzaFAKE-1,AIzaFAKE 3,";
    let config = config(&[("gemini_api_key", list)]).unwrap();
    let keys: Vec<_> = config.import_keys.iter().map(ApiKey::expose).collect();
    assert_eq!(keys, ["AIzaFAKE-1", "AIzaFAKE-2"]);
    let [warning] = config.warnings() else {
        panic!("{:?}", config.warnings());
    };
    let expected = "gemini_api_key: entry 4 of 4";
    assert!(warning.contains(expected), "{warning}");
}

#[test]
fn rejects_a_token_that_is_short_or_unfit_for_a_header() {
    for (token, problem, warning) in [
        ("1234567", Some("at least 8 characters"), None),
        ("%", Some("at least 8 characters"), None),
        ("schlüssel-der-passt", Some("visible ASCII"), None),
        ("two words of a token", Some("visible ASCII"), None),
        ("12345678", None, Some("fewer than 16 characters")),
        ("123456789012345", None, Some("fewer than 16 characters")),
        ("1234567890123456", None, None),
    ] {
        match (config(&[("my_api_token", token)]), problem) {
            (Err(error), Some(problem)) => {
                let [found] = error.problems() else {
                    panic!("{error}");
                };
                assert!(found.starts_with("my_api_token must"), "{found}");
                assert!(found.contains(problem), "{found}");
                assert!(!found.contains(token), "{found}");
            }
            (Ok(config), None) => {
                let found = config.warnings().concat();
                assert_eq!(config.warnings().len(), warning.iter().len(), "{token}");
                assert!(found.contains(warning.unwrap_or_default()), "{found}");
                assert!(!found.contains(token), "{found}");
            }
            (result, _) => panic!("{token}: {result:?}"),
        }
    }
}

#[test]
fn rejects_wildcards_as_hosts() {
    for (name, value) in [
        ("llm_api_origin", "http://*:80"),
        ("llm_api_origin", "https://*.googleapis.com"),
        ("llm_api_origin", "*://proxy.example"),
        ("llm_api_origin", "https://proxy.example:*"),
        ("llm_api_endpoint", "https://*/v1beta/openai/chat"),
        ("llm_api_endpoint", "https://*.googleapis.com/v1"),
        ("allowed_origins", "https://ok.example, null"),
        ("alert_origin", "https://*.example"),
    ] {
        let problem = problem(&[(name, value)]);
        assert!(problem.contains(name), "{value}: {problem}");
        assert!(!problem.contains(value), "{value}: {problem}");
    }
}

#[test]
fn problems_reveal_no_secret_in_the_wrong_variable() {
    let secret = "AIzaFAKE-key-in-the-wrong-variable-0001";
    for name in VARIABLES {
        // A host name may be any text.
        let may_be_any_text = ["gemini_api_key", "allowed_origins"].contains(&name);
        if may_be_any_text || name.ends_with("_token") || name.ends_with("_secret") {
            assert!(config(&[(name, secret)]).is_ok(), "{name}");
            continue;
        }
        let problem = problem(&[(name, secret)]);
        assert!(problem.contains(name), "{name}: {problem}");
        assert!(!problem.contains("AIza"), "{name}: {problem}");
    }
    let (token, too_long) = ("the-token-of-the-pool", "m".repeat(129));
    for model in ["two words", "a%2fb", token, &too_long] {
        let problem = problem(&[("my_api_token", token), ("llm_model", model)]);
        assert!(problem.contains("llm_model"), "{problem}");
        assert!(!problem.contains(model), "{problem}");
    }
}

#[test]
fn the_tokens_differ() {
    let tokens = [
        ("my_api_token", "fake-token-number-1"),
        ("admin_token", "fake-token-number-2"),
        ("admin_read_token", "fake-token-number-3"),
        ("metrics_token", "fake-token-number-4"),
    ];
    let set = config(&tokens).unwrap();
    assert_eq!(set.secrets().count(), 4);
    for (one, other) in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)] {
        let mut equal = tokens;
        equal[one].1 = equal[other].1;
        assert!(problem(&equal).contains("must differ"));
    }
}

#[test]
fn encryption_keys_are_32_bytes_in_base64() {
    let [first, second] = [
        "Zmlyc3QgZmFrZSBrZXkgb2YgZXhhY3RseSAzMiBieXQ=",
        "c2Vjb25kIGZha2Uga2V5IG9mIGV4YWN0bHkgMzIgYnk=",
    ];
    let both = config(&[
        ("encryption_key", &format!(" {first}\n")),
        ("encryption_key_previous", second),
    ]);
    let EncryptionKeys { current, previous } = both.unwrap().encryption;
    assert_eq!(
        current.unwrap().bytes(),
        b"first fake key of exactly 32 byt"
    );
    assert_eq!(
        previous.unwrap().bytes(),
        b"second fake key of exactly 32 by"
    );
    let shown = format!("{:?}", config(&[("encryption_key", first)]).unwrap());
    assert!(
        shown.contains("EncryptionKey(…)") && !shown.contains("102, 105"),
        "{shown}"
    );
    for text in [
        "short",
        &first[..43],
        "c2hvcnQ=",
        &format!("{first}{second}"),
    ] {
        let problem = problem(&[("encryption_key", text)]);
        let expected = "encryption_key must be 32 bytes in base64: try `openssl rand -base64 32`";
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains(text), "{problem}");
    }
    let alone = problem(&[("encryption_key_previous", first)]);
    assert!(alone.contains("but encryption_key is not"), "{alone}");
    let equal = problem(&[
        ("encryption_key", first),
        ("encryption_key_previous", first),
    ]);
    assert!(equal.contains("must differ"), "{equal}");
    assert!(!equal.contains(first), "{equal}");
}

#[test]
fn reports_every_problem_with_its_remedy_but_no_secret() {
    let problem = problem(&[
        ("llm_api_origin", "example.com/path"),
        ("enforce_origin", "perhaps"),
        ("log_commit", "later"),
        ("log_format", "xml"),
        ("rate_limit_per_minute", "-3"),
        ("max_body_bytes", "20MB"),
        ("gemini_api_key", "good-key,bad key"),
        ("my_api_token", "short"),
        ("allowed_origins", "https://ok.example,a b"),
    ]);
    for part in [
        "llm_api_origin must be only scheme, host and port",
        "enforce_origin must be true or false",
        "log_commit must be before or after",
        "log_format must be text, json or none",
        "rate_limit_per_minute must be a whole number of calls, 0 for no limit",
        "max_body_bytes must be a whole number of bytes",
        "my_api_token must have at least 8 characters",
        "allowed_origins: entry 2 must be an origin",
    ] {
        assert!(problem.contains(part), "{problem:?} must contain {part:?}");
    }
    for key in ["good-key", "bad key"] {
        assert!(!problem.contains(key), "{problem}");
    }
}

#[test]
fn rejects_an_endpoint_on_another_host() {
    for endpoint in [
        "https://other.example/x",
        "http://generativelanguage.googleapis.com/x",
        "/v1/chat",
        "::",
        "https://generativelanguage.googleapis.com:99999/x",
        "https://generativelanguage.googleapis.com:/x",
        "https://user:pw@generativelanguage.googleapis.com/x",
    ] {
        let problem = problem(&[("llm_api_endpoint", endpoint)]);
        let is_named = problem.contains("llm_api_endpoint must");
        assert!(is_named, "{endpoint}: {problem}");
    }
}

#[test]
fn a_body_limit_must_fit_the_components_memory() {
    for (bytes, accepted) in [
        ("0", false),
        ("1", true),
        ("73400320", true),
        ("104857600", true),
        ("104857601", false),
    ] {
        let config = config(&[("max_body_bytes", bytes)]);
        assert_eq!(config.is_ok(), accepted, "{bytes}");
    }
}

#[test]
fn max_held_bytes_fits_the_instance_and_at_least_one_body() {
    for (held, body, accepted) in [
        ("33554432", "33554432", true),
        ("33554431", "33554432", false),
        ("1073741824", "104857600", true),
        ("1073741825", "1", false),
        ("1", "1", true),
    ] {
        let set = [("max_held_bytes", held), ("max_body_bytes", body)];
        assert_eq!(config(&set).is_ok(), accepted, "{held} {body}");
    }
}

#[test]
fn the_public_url_is_only_a_base_url() {
    for (url, read) in [
        ("https://pool.example.com", "https://pool.example.com"),
        ("http://10.0.0.1:8080/", "http://10.0.0.1:8080"),
        ("https://example.com/a/b//", "https://example.com/a/b"),
    ] {
        let config = config(&[("public_url", url)]).unwrap();
        assert_eq!(config.public_url.as_deref(), Some(read));
    }
    for url in [
        "pool.example.com",
        "/gemini",
        "ftp://example.com",
        "https://example.com/?a",
        "https://example.com/#a",
        "https://user:pw@example.com",
        "https://example.com:99999",
        "https://*.example.com",
    ] {
        let problem = problem(&[("public_url", url)]);
        assert!(problem.contains("public_url must be"), "{url}: {problem}");
    }
}

#[test]
fn log_retention_is_a_number_of_days_or_unlimited() {
    for (days, expected) in [("0", None), ("1", Some(1)), ("3650", Some(3650))] {
        let config = config(&[("log_retention_days", days)]).unwrap();
        assert_eq!(config.log_retention_days, expected, "{days}");
    }
    for days in "3651 4294967295 4294967296 -1 1.5 30d never".split(' ') {
        let problem = problem(&[("log_retention_days", days)]);
        let range = "from 1 to 3650, or 0 to keep the log forever";
        for part in ["log_retention_days must be", range] {
            assert!(problem.contains(part), "{days}: {problem}");
        }
    }
}

#[test]
fn metrics_networks_are_networks_between_commas() {
    let networks = |list| {
        let config = config(&[("metrics_networks", list)]).unwrap();
        let networks = config.metrics_networks.iter();
        networks.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(networks("").is_empty());
    let expected = ["10.0.0.0/8", "2001:db8::7/128"];
    assert_eq!(networks(" 10.1.2.3/8 ,2001:db8::7"), expected);
    for list in ["10.0.0.0/33", "10.0.0.0/8,", ",", "10.0.0.0/8 ::1", "host"] {
        let problem = problem(&[("metrics_networks", list)]);
        let expected = "metrics_networks must be networks between commas";
        assert!(problem.contains(expected), "{list}: {problem}");
    }
}

#[test]
fn every_variable_is_declared_passed_on_and_documented() {
    let manifest = include_str!("../../spin.toml");
    let english = include_str!("../../docs/configuration.md");
    let chinese = include_str!("../../docs/zh-CN/configuration.md");
    for name in VARIABLES {
        for (text, line) in [
            (manifest, format!("\n{name} = {{ default = ")),
            (manifest, format!("\n{name} = \"{{{{ {name} }}}}\"\n")),
            (english, format!("\n| `{name}` | ")),
            (chinese, format!("\n| `{name}` | ")),
        ] {
            assert_eq!(text.matches(&line).count(), 1, "{line:?}");
        }
    }
    assert_eq!(manifest.matches("{ default = ").count(), VARIABLES.len());
}

#[test]
fn the_token_matches_only_itself() {
    let token = config(&[("my_api_token", " the-token ")])
        .unwrap()
        .client_token
        .unwrap();
    assert!(token.matches("the-token"));
    for other in ["", "the-toke", "the-token ", "The-token", "the-tokenx"] {
        assert!(!token.matches(other), "{other:?}");
    }
    assert_eq!(format!("{token:?}"), "Secret(…)");
}

#[test]
fn alerts_need_a_signed_webhook_on_an_allowed_origin() {
    let set = [
        ("alert_origin", "https://hooks.example"),
        ("alert_webhook", "https://hooks.example/path-of-a-secret"),
        ("alert_webhook_secret", "whsec_c2VjcmV0LW9mLXRoZS13ZWJob29r"),
    ];
    let all = config(&set).unwrap();
    assert!(all.secrets().any(|secret| secret.starts_with("whsec_")));
    let shown = format!("{all:?}");
    assert!(
        !shown.contains("path-of-a-secret") && !shown.contains("c2Vj"),
        "{shown}"
    );
    let alerting = all.alerting.unwrap();
    assert_eq!(alerting.signing_key(), b"secret-of-the-webhook");
    assert_eq!(alerting.rules.min_usable_keys, Some(1));
    assert_eq!(alerting.rules.budget_hours, None);
    assert!(config(&set[..1]).unwrap().alerting.is_none());
    let plain = [
        set[0],
        set[1],
        ("alert_webhook_secret", "any-text-as-it-is"),
    ];
    let alerting = config(&plain).unwrap().alerting.unwrap();
    assert_eq!(alerting.signing_key(), b"any-text-as-it-is");
    for (name, value, expected) in [
        ("alert_origin", "", "alert_webhook needs alert_origin"),
        (
            "alert_origin",
            "https://hooks.example/x",
            "alert_origin must be only scheme",
        ),
        (
            "alert_origin",
            "https://other.example",
            "alert_webhook must be on alert_origin",
        ),
        (
            "alert_webhook",
            "https://hooks.example:444/x",
            "alert_webhook must be on alert_origin",
        ),
        (
            "alert_webhook",
            "nonsense",
            "alert_webhook must be on alert_origin",
        ),
        (
            "alert_webhook_secret",
            "",
            "alert_webhook needs alert_webhook_secret",
        ),
        (
            "alert_webhook_secret",
            "short",
            "alert_webhook_secret must have at least 8",
        ),
        (
            "alert_webhook_secret",
            "whsec_!!!!!",
            "alert_webhook_secret must be base64",
        ),
        (
            "alert_min_usable_keys",
            "-1",
            "alert_min_usable_keys must be a whole number of keys",
        ),
        (
            "alert_budget_hours",
            "25",
            "alert_budget_hours must be a whole number of hours",
        ),
    ] {
        let mut changed: Vec<_> = set
            .iter()
            .filter(|(set, _)| *set != name)
            .copied()
            .collect();
        changed.push((name, value));
        let problem = problem(&changed);
        assert!(problem.contains(expected), "{name} {value}: {problem}");
        assert!(!problem.contains("path-of-a-secret"), "{problem}");
    }
}
