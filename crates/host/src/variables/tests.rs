//! Tests of variables and templates.

use super::*;
use crate::manifest;
use crate::testing::{assert_error, temp_file};

fn app(variables: &str, component_variables: &str, host: &str) -> App {
    let text = format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[variables]\n{variables}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n\
         [component.c]\nsource = \"c.wasm\"\n\
         allowed_outbound_hosts = [{host:?}]\n[component.c.variables]\n{component_variables}\n"
    );
    let (_folder, path) = temp_file("spin.toml", text);
    manifest::load(&path).unwrap()
}

fn environment(arguments: &[(&str, &str)], variables: &[(&str, &str)]) -> Environment {
    let map = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    Environment {
        arguments: map(arguments),
        environment: map(variables),
    }
}

#[test]
fn sources_have_an_order_of_precedence() {
    let app = app(
        "a = { default = \"1\" }\nb = { default = \"1\" }\nc = { default = \"1\" }",
        "all = \"{{ a }}-{{b}}-{{ c }}.\"",
        "http://{{ a }}:80",
    );
    let environment = environment(
        &[("c", "3")],
        &[
            ("SPIN_VARIABLE_B", "2"),
            ("SPIN_VARIABLE_C", "2"),
            ("B", "9"),
        ],
    );
    let resolved = resolve(&app, &environment).unwrap();
    assert_eq!(resolved.component["all"], "1-2-3.");
    let [host] = resolved.allowed_outbound_hosts.as_slice() else {
        panic!("one host");
    };
    assert_eq!(host.value, "http://1:80");
    assert_eq!(host.remedy(), " (set by SPIN_VARIABLE_A, see [variables])");
    assert_eq!(Expanded::plain("http://x").remedy(), "");
}

#[test]
fn missing_variables_are_named_with_their_environment_variables() {
    let app = app(
        "first_one = { required = true }\nsecond = { required = true }",
        "",
        "http://x",
    );
    let resolved = resolve(&app, &Environment::default());
    assert_error(
        resolved,
        &["SPIN_VARIABLE_FIRST_ONE", "SPIN_VARIABLE_SECOND"],
    );
}

#[test]
fn unknown_names_are_reported_without_values() {
    let app = app("token = { default = \"\" }", "", "http://x");
    let environment = environment(
        &[("token", "s3cret"), ("typo", "s3cret")],
        &[
            ("SPIN_VARIABLE_TOKEN", "s3cret"),
            ("SPIN_VARIABLE_TOKNE", "s3cret"),
            ("SPIN_VARIABLE_token", "s3cret"),
            ("OTHER", "s3cret"),
        ],
    );
    let ignored =
        |what: &str| format!("{what} is ignored: the manifest has no such variable in [variables]");
    assert_eq!(
        environment.unknown(&app),
        [
            ignored("--variable typo"),
            ignored("SPIN_VARIABLE_TOKNE"),
            ignored("SPIN_VARIABLE_token"),
        ]
    );
}

#[test]
fn argument_may_name_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (value, json, toml) = (
        file("value", "of a file\n"),
        file("values.json", r#"{"b": "2"}"#),
        file("values.toml", "c = \"3\""),
    );
    let mut environment = Environment::default();
    for argument in [
        format!("a=@{value}"),
        format!("@{json}"),
        format!("@{toml}"),
    ] {
        environment.add_argument(&argument).unwrap();
    }
    assert_eq!(environment.get("a"), Some("of a file\n"));
    assert_eq!(environment.get("b"), Some("2"));
    assert_eq!(environment.get("c"), Some("3"));

    for (argument, expected) in [
        ("s3cret".to_owned(), "NAME=VALUE"),
        (format!("@{value}"), ".json or .toml"),
        ("a=@no/such/file".to_owned(), "no/such/file"),
        (
            format!("@{}", file("bad.json", "{\n\"a\": s3cret}")),
            "line 2",
        ),
        (
            format!("@{}", file("bad.toml", "a = s3cret")),
            "names and values",
        ),
        (
            format!("@{}", file("numbers.json", r#"{"a": 1}"#)),
            "names and values",
        ),
    ] {
        assert_error(environment.add_argument(&argument), &[expected]);
    }
}

#[test]
fn malformed_line_of_env_file_is_named_by_number() {
    for (text, line) in [
        ("no assignment\n", 1),
        ("# s3cret\nA=1\n\n  s3cret\nB=2\n", 4),
        ("A=1\nB=\"s3cret\n", 2),
        ("A=\"1\n2\"\nB=a s3cret\n", 3),
    ] {
        let added = Environment::default().add_env_file(text);
        assert_error(added, &[&format!(".env, line {line},")]);
    }
}

#[test]
fn invalid_template_is_named() {
    for (template, expected) in [
        ("{{ other }}", "names no variable of [variables]"),
        ("{{ a", "has no `}}`"),
        ("{{ }}", "names no variable"),
    ] {
        let app = app(
            "a = { default = \"1\" }",
            &format!("x = \"{template}\""),
            "http://x",
        );
        let resolved = resolve(&app, &Environment::default());
        assert_error(resolved, &["[component.c.variables] x", expected]);
    }
}

#[test]
fn values_are_not_expanded() {
    let app = app(
        "a = { default = \"{{ b }}\" }",
        "x = \"{{ a }}\"",
        "http://x",
    );
    let resolved = resolve(&app, &Environment::default()).unwrap();
    assert_eq!(resolved.component["x"], "{{ b }}");
}
