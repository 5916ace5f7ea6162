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
    assert!(config.import_keys.is_empty() && !config.enforce_origin && !config.trust_forwarded_for);
}

#[test]
fn empty_variables_take_their_defaults() {
    let mut all: Vec<(&str, &str)> = VARIABLES.iter().map(|name| (*name, "  ")).collect();
    all.retain(|(name, _)| *name != "llm_api_origin");
    assert_eq!(
        format!("{:?}", config(&all).unwrap()),
        format!("{:?}", config(&[]).unwrap())
    );
    let problem = config(&[("llm_api_origin", " ")]).unwrap_err().to_string();
    assert!(
        problem.contains("llm_api_origin is empty: leave it unset"),
        "{problem}"
    );
}

#[test]
fn aliases_are_pairs_and_invalid_ones_are_reported() {
    let aliases =
        |list: &str| config(&[("model_aliases", list)]).map(|config| config.model_aliases);
    let pair = |alias: &str, model: &str| (alias.to_owned(), model.to_owned());
    assert_eq!(
        aliases(" gpt-4o = gemini-flash-latest ,, b=c,").unwrap(),
        [pair("gpt-4o", "gemini-flash-latest"), pair("b", "c")]
    );
    for (list, problem) in [
        ("gpt-4o", "entry 1 must be a pair"),
        ("a=", "must be a pair"),
        ("=b", "must be a pair"),
        ("a=b c", "must be a pair"),
        ("a=b/../c", "must be a pair"),
        ("a=b,a b=c", "entry 2 must be a pair"),
        (
            "a=b,c=AIzaFAKE-key-in-the-wrong-variable",
            "entry 2 must be a pair",
        ),
        ("a=b,a=c", "the name of entry 2 is a duplicate"),
    ] {
        let problems = aliases(list).unwrap_err().to_string();
        assert!(
            problems.contains(problem) && !problems.contains("AIza"),
            "{list}: {problems}"
        );
    }
    assert!(aliases(&format!("a={}", "m".repeat(129))).is_err());
    let config = config(&[("model_aliases", "a=b")]).unwrap();
    assert_eq!((config.model_of("a"), config.model_of("b")), ("b", "b"));
}

#[test]
fn the_origin_changes_the_upstream() {
    for (origin, expected) in [
        (
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/v1beta/openai/chat/completions",
        ),
        (
            "https://proxy.example/",
            "https://proxy.example/v1beta/openai/chat/completions",
        ),
    ] {
        assert_eq!(
            config(&[("llm_api_origin", origin)]).unwrap().chat_endpoint,
            expected
        );
    }
}

#[test]
fn the_endpoint_may_be_any_path_of_the_origin() {
    let set = [
        ("llm_api_origin", "http://h.example:80"),
        ("llm_api_endpoint", "http://H.example/v9/chat?x=1"),
    ];
    assert_eq!(
        config(&set).unwrap().chat_endpoint,
        "http://H.example/v9/chat?x=1"
    );
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
    assert!(
        warning.contains("gemini_api_key: entry 4 of 4"),
        "{warning}"
    );
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
                let [problems] = error.problems() else {
                    panic!("{error}");
                };
                assert!(
                    problems.starts_with("my_api_token must") && problems.contains(problem),
                    "{problems}"
                );
                assert!(!problems.contains(token), "{problems}");
            }
            (Ok(config), None) => {
                assert_eq!(
                    config.warnings().len(),
                    usize::from(warning.is_some()),
                    "{token}"
                );
                let problems = config.warnings().concat();
                assert!(
                    problems.contains(warning.unwrap_or_default()) && !problems.contains(token)
                );
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
        (
            "llm_api_endpoint",
            "https://*/v1beta/openai/chat/completions",
        ),
        ("llm_api_endpoint", "https://*.googleapis.com/v1"),
        ("allowed_origins", "https://ok.example, null"),
    ] {
        let error = config(&[(name, value)]).unwrap_err();
        let problems = error.problems().concat();
        assert!(
            problems.contains(name) && !problems.contains(value),
            "{value}: {problems}"
        );
    }
}

#[test]
fn problems_reveal_no_secret_in_the_wrong_variable() {
    let secret = "AIzaFAKE-key-in-the-wrong-variable-0001";
    for name in VARIABLES {
        if let Err(error) = config(&[(name, secret)]) {
            assert!(error.problems().concat().contains(name), "{error}");
            assert!(!error.to_string().contains("AIza"), "{error}");
        } else {
            // A host name may be any text.
            assert!(
                ["my_api_token", "gemini_api_key", "allowed_origins"].contains(&name),
                "{name}"
            );
        }
    }
    for model in [
        "two words",
        "a%2fb",
        "the-token-of-the-pool",
        &"m".repeat(129),
    ] {
        let set = [
            ("my_api_token", "the-token-of-the-pool"),
            ("llm_model", model),
        ];
        let problem = config(&set).unwrap_err().to_string();
        assert!(
            problem.contains("llm_model") && !problem.contains(model),
            "{problem}"
        );
    }
}

#[test]
fn reports_every_problem_with_its_remedy_but_no_secret() {
    let problem = config(&[
        ("llm_api_origin", "example.com/path"),
        ("enforce_origin", "perhaps"),
        ("log_commit", "later"),
        ("rate_limit_per_minute", "-3"),
        ("max_body_bytes", "20MB"),
        ("gemini_api_key", "good-key,bad key"),
        ("my_api_token", "short"),
        ("allowed_origins", "https://ok.example,a b"),
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "llm_api_origin must be only scheme, host and port",
        "enforce_origin must be true or false",
        "log_commit must be before or after",
        "rate_limit_per_minute must be a whole number of calls, 0 for no limit",
        "max_body_bytes must be a whole number of bytes",
        "my_api_token must have at least 8 characters",
        "allowed_origins: entry 2 must be an origin",
    ] {
        assert!(problem.contains(part), "{problem:?} must contain {part:?}");
    }
    assert!(
        !problem.contains("bad key") && !problem.contains("good-key"),
        "{problem}"
    );
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
        let problem = config(&[("llm_api_endpoint", endpoint)])
            .unwrap_err()
            .to_string();
        assert!(
            problem.contains("llm_api_endpoint must"),
            "{endpoint}: {problem}"
        );
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
        assert_eq!(
            config(&[("max_body_bytes", bytes)]).is_ok(),
            accepted,
            "{bytes}"
        );
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
        let problem = config(&[("public_url", url)]).unwrap_err().to_string();
        assert!(problem.contains("public_url must be"), "{url}: {problem}");
    }
}

#[test]
fn log_retention_is_a_number_of_days_or_unlimited() {
    for (days, expected) in [("0", None), ("1", Some(1)), ("3650", Some(3650))] {
        let config = config(&[("log_retention_days", days)]).unwrap();
        assert_eq!(config.log_retention_days, expected, "{days}");
    }
    for days in [
        "3651",
        "4294967295",
        "4294967296",
        "-1",
        "1.5",
        "30d",
        "never",
    ] {
        let problem = config(&[("log_retention_days", days)])
            .unwrap_err()
            .to_string();
        assert!(
            problem.contains("log_retention_days must be")
                && problem.contains("from 1 to 3650, or 0 to keep the log forever"),
            "{days}: {problem}"
        );
    }
}

#[test]
fn every_variable_is_declared_passed_on_and_documented() {
    let manifest = include_str!("../../spin.toml");
    for name in VARIABLES {
        for (text, line) in [
            (manifest, format!("\n{name} = {{ default = ")),
            (manifest, format!("\n{name} = \"{{{{ {name} }}}}\"\n")),
            (
                include_str!("../../docs/configuration.md"),
                format!("\n| `{name}` | "),
            ),
            (
                include_str!("../../docs/zh-CN/configuration.md"),
                format!("\n| `{name}` | "),
            ),
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
