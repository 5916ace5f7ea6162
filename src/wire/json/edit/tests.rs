use super::*;
use proptest::prelude::*;

fn path(steps: &[&str]) -> Vec<Step> {
    steps
        .iter()
        .map(|step| match step.parse() {
            Ok(position) => Step::Element(position),
            Err(_) => Step::Field((*step).to_owned()),
        })
        .collect()
}

#[test]
fn removes_a_field_and_nothing_else() {
    for (body, steps, name, expected) in [
        (
            r#"{"a":1,"seed":2,"b":3}"#,
            vec![],
            "seed",
            r#"{"a":1,"b":3}"#,
        ),
        (r#"{"seed":2,"b":3}"#, vec![], "seed", r#"{"b":3}"#),
        (r#"{"b":3,"seed":2}"#, vec![], "seed", r#"{"b":3}"#),
        (r#"{"seed":2}"#, vec![], "seed", "{}"),
        (
            r#" { "a" : 1.0e+2 , "seed" : [ {"x":1} ] , "b" : "é" } "#,
            vec![],
            "seed",
            r#" { "a" : 1.0e+2 , "b" : "é" } "#,
        ),
        (
            r#"{"seed":1,"seed":2,"a":1,"seed":3}"#,
            vec![],
            "seed",
            r#"{"a":1}"#,
        ),
        (r#"{"\u0073eed":1,"a":1}"#, vec![], "seed", r#"{"a":1}"#),
        (
            r#"{"tools":[{"x":1},{"function":{"name":"f","strict":true}}],"strict":1}"#,
            vec!["tools", "1", "function"],
            "strict",
            r#"{"tools":[{"x":1},{"function":{"name":"f"}}],"strict":1}"#,
        ),
        (
            r#"{"responseFormat":{"jsonSchema":{"strict":true,"a":1}}}"#,
            vec!["response_format", "json_schema"],
            "strict",
            r#"{"responseFormat":{"jsonSchema":{"a":1}}}"#,
        ),
    ] {
        let changed = without_fields(body.as_bytes(), &[(path(&steps), name)]);
        assert_eq!(
            changed
                .map(|body| String::from_utf8(body).unwrap())
                .as_deref(),
            Some(expected),
            "{body}"
        );
    }
    for (body, steps) in [
        (r#"{"a":1}"#, vec![]),
        ("[1]", vec![]),
        ("{", vec![]),
        (r#"{"a":[1]}"#, vec!["a", "3"]),
        (r#"{"a":"text"}"#, vec!["a"]),
    ] {
        assert_eq!(
            without_fields(body.as_bytes(), &[(path(&steps), "seed")]),
            None,
            "{body}"
        );
    }
}

#[test]
fn removes_several_fields_at_once() {
    let body = r#"{"a":1, "seed":2,"tools":[{"function":{"strict":true,"name":"f"},"x":1},{"x":2}], "b":3}"#;
    let fields = [
        (vec![], "seed"),
        (path(&["tools", "0", "function"]), "strict"),
        (path(&["tools", "1"]), "x"),
        (vec![], "b"),
        (vec![], "a"),
    ];
    assert_eq!(
        without_fields(body.as_bytes(), &fields).map(|body| String::from_utf8(body).unwrap()),
        Some(r#"{"tools":[{"function":{"name":"f"},"x":1},{}]}"#.to_owned())
    );
    let with_another = [fields.as_slice(), &[(vec![], "missing")]].concat();
    assert_eq!(without_fields(body.as_bytes(), &with_another), None);
    let within_another = [(vec![], "tools"), (path(&["tools", "0"]), "x")];
    let left = without_fields(body.as_bytes(), &within_another).unwrap();
    assert_eq!(
        String::from_utf8(left).unwrap(),
        r#"{"a":1, "seed":2, "b":3}"#
    );
}

#[test]
fn removes_a_field_from_every_element() {
    let body = r#"{"messages":[{"content":[{"text":"a","cache_control":{}},{"text":"b"}]},{"content":"c"},{"content":[{"cacheControl":1}]}],"seed":1}"#;
    let fields = ["messages[].content[]", "messages[]", ""];
    let names = ["cache_control", "cache_control", "seed"];
    let fields: Vec<_> =
        std::iter::zip(fields.map(|path| parse_path(path).unwrap()), names).collect();
    let (left, found) = without_any(body.as_bytes(), &fields).unwrap();
    assert_eq!(
        String::from_utf8(left).unwrap(),
        r#"{"messages":[{"content":[{"text":"a"},{"text":"b"}]},{"content":"c"},{"content":[{}]}]}"#
    );
    assert_eq!(found, BTreeSet::from([0, 2]));
    assert_eq!(
        without_any(br#"{"messages":{"content":[]}}"#, &fields),
        None
    );
}

#[test]
fn removes_nulls_in_messages_except_content() {
    let body = r#"{"user":null,"messages":[{"role":"assistant","content":null,"refusal":null,"audio":null,"parsed":0},{"content":"null"},null,[null]]}"#;
    let left = without_nulls_in_messages(body.as_bytes()).unwrap();
    assert_eq!(
        String::from_utf8(left.clone()).unwrap(),
        r#"{"user":null,"messages":[{"role":"assistant","content":null,"parsed":0},{"content":"null"},null,[null]]}"#
    );
    for same in [left.as_slice(), b"{\"messages\":null}", b"[null", b"{}"] {
        assert_eq!(without_nulls_in_messages(same), None);
    }
}

#[test]
fn parses_paths() {
    assert_eq!(parse_path(""), Some(vec![]));
    assert_eq!(
        parse_path("tools[10].function"),
        Some(path(&["tools", "10", "function"]))
    );
    assert_eq!(parse_path("a[1][2]"), Some(path(&["a", "1", "2"])));
    let every = [
        Step::Field("a".into()),
        Step::Elements,
        Step::Field("b".into()),
    ];
    assert_eq!(parse_path("a[].b"), Some(every.into()));
    for odd in [".", "a..b", "a[x]", "a[1", "[1]"] {
        assert_eq!(parse_path(odd), None, "{odd}");
    }
}

#[test]
fn renames_every_model_in_a_body() {
    let rename = |name: &str| match name {
        "models/a" => Some("models/new".to_owned()),
        "a" => Some("new".to_owned()),
        _ => None,
    };
    for (body, expected) in [
        (
            r#"{"requests":[{"model":"models/a","content":{"model":"a"}},{"model":"models/b"}]}"#,
            Some(
                r#"{"requests":[{"model":"models/new","content":{"model":"a"}},{"model":"models/b"}]}"#,
            ),
        ),
        (
            r#"{"generateContentRequest":{"model":"models/a"},"model":"a"}"#,
            Some(r#"{"generateContentRequest":{"model":"models/new"},"model":"new"}"#),
        ),
        (r#"{"model":"b"}"#, None),
        (r#"{"model":1,"requests":{}}"#, None),
        ("[", None),
    ] {
        let changed = with_models(body.as_bytes(), rename);
        assert_eq!(changed.as_deref(), expected.map(str::as_bytes), "{body}");
    }
}

proptest! {
    #[test]
    fn removal_preserves_all_other_fields(
        fields in prop::collection::vec(("[a-d]", any::<i16>(), "[ \n]{0,2}"), 0..6),
        name in "[a-d]",
    ) {
        let members: Vec<String> = fields
            .iter()
            .map(|(name, value, blank)| format!("{blank}\"{name}\"{blank}:{blank}{value}{blank}"))
            .collect();
        let body = format!("{{{}}}", members.join(","));
        let expected: Vec<&(String, i16, String)> = fields.iter().filter(|(its, ..)| *its != name).collect();
        match without_fields(body.as_bytes(), &[(vec![], &name)]) {
            None => prop_assert_eq!(expected.len(), fields.len()),
            Some(left) => {
                let Members(left) = serde_json::from_slice(&left).unwrap();
                let left: Vec<(String, String)> = left.iter().map(|(name, value)| (name.to_string(), value.get().to_owned())).collect();
                let expected: Vec<(String, String)> = expected.iter().map(|(name, value, _)| (name.clone(), value.to_string())).collect();
                prop_assert_eq!(left, expected);
            }
        }
    }

    #[test]
    fn accepts_any_bytes(body in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        let _ = without_fields(body.as_bytes(), &[(vec![Step::Field("a".into())], "b"), (vec![], "c")]);
        let _ = with_models(body.as_bytes(), |_| Some("m".to_owned()));
        let _ = without_nulls_in_messages(body.as_bytes());
        let _ = without_any(body.as_bytes(), &[(vec![Step::Elements, Step::Field("a".into())], "b"), (vec![], "c")]);
    }
}
