use super::*;
use proptest::prelude::*;

fn path(text: &str) -> Vec<Step> {
    parse_path(text).unwrap()
}

/// The body without these fields, given as the path to the object and the name.
fn without(body: &str, fields: &[(&str, &str)]) -> Option<String> {
    let fields: Vec<_> = fields.iter().map(|(at, name)| (path(at), name)).collect();
    let left = without_fields(body.as_bytes(), &fields)?;
    Some(String::from_utf8(left).unwrap())
}

#[test]
fn removes_a_field_and_nothing_else() {
    for case in [
        r#"{"a":1,"seed":2,"b":3} -> {"a":1,"b":3}"#,
        r#"{"seed":2,"b":3} -> {"b":3}"#,
        r#"{"b":3,"seed":2} -> {"b":3}"#,
        r#"{"seed":2} -> {}"#,
        r#" { "a" : 1.0e2 , "seed" : [ {"x":1} ] , "b" : "é" }  ->  { "a" : 1.0e2 , "b" : "é" } "#,
        r#"{"seed":1,"seed":2,"a":1,"seed":3} -> {"a":1}"#,
        r#"{"\u0073eed":1,"a":1} -> {"a":1}"#,
    ] {
        let (body, expected) = case.split_once(" -> ").unwrap();
        let left = without(body, &[("", "seed")]);
        assert_eq!(left.as_deref(), Some(expected), "{body}");
    }
    let nested = r#"{"tools":[{"x":1},{"function":{"name":"f","strict":true}}],"strict":1}"#;
    let left = without(nested, &[("tools[1].function", "strict")]);
    assert_eq!(left, Some(nested.replace(r#","strict":true"#, "")));
    let camel_case = r#"{"responseFormat":{"jsonSchema":{"strict":true,"a":1}}}"#;
    let left = without(camel_case, &[("response_format.json_schema", "strict")]);
    assert_eq!(left, Some(camel_case.replace(r#""strict":true,"#, "")));
    for (body, at) in [
        (r#"{"a":1}"#, ""),
        ("[1]", ""),
        ("{", ""),
        (r#"{"a":[1]}"#, "a[3]"),
        (r#"{"a":"text"}"#, "a"),
    ] {
        assert_eq!(without(body, &[(at, "seed")]), None, "{body}");
    }
}

#[test]
fn removes_several_fields_at_once() {
    let body = r#"{"a":1, "seed":2,"tools":[{"function":{"strict":true,"name":"f"},"x":1},{"x":2}], "b":3}"#;
    let fields = [
        ("", "seed"),
        ("tools[0].function", "strict"),
        ("tools[1]", "x"),
        ("", "b"),
        ("", "a"),
    ];
    let expected = r#"{"tools":[{"function":{"name":"f"},"x":1},{}]}"#;
    assert_eq!(without(body, &fields).as_deref(), Some(expected));
    let with_another = [fields.as_slice(), &[("", "missing")]].concat();
    assert_eq!(without(body, &with_another), None);
    let within_another = without(body, &[("", "tools"), ("tools[0]", "x")]);
    let expected = r#"{"a":1, "seed":2, "b":3}"#;
    assert_eq!(within_another.as_deref(), Some(expected));
}

#[test]
fn removes_a_field_from_every_element() {
    let body = r#"{"messages":[{"content":[{"text":"a","cache_control":{}},{"text":"b"}]},{"content":"c"},{"content":[{"cacheControl":1}]}],"seed":1}"#;
    let fields = [
        (path("messages[].content[]"), "cache_control"),
        (path("messages[]"), "cache_control"),
        (path(""), "seed"),
    ];
    let removed = without_any(body.as_bytes(), &fields).unwrap();
    assert_eq!(
        String::from_utf8(removed.body).unwrap(),
        r#"{"messages":[{"content":[{"text":"a"},{"text":"b"}]},{"content":"c"},{"content":[{}]}]}"#
    );
    assert_eq!(removed.indices, [0, 2]);
    let none = br#"{"messages":{"content":[]}}"#;
    assert_eq!(without_any(none, &fields), None);
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
    let [a, b] = ["a", "b"].map(|name| Step::Field(name.to_owned()));
    let [first, second] = [1, 2].map(Step::Element);
    for (text, expected) in [
        ("", vec![]),
        ("a[1].b", vec![a.clone(), first.clone(), b.clone()]),
        ("a[1][2]", vec![a.clone(), first, second]),
        ("a[10]", vec![a.clone(), Step::Element(10)]),
        ("a[].b", vec![a, Step::Elements, b]),
    ] {
        assert_eq!(parse_path(text), Some(expected), "{text}");
    }
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
    for template in [
        r#"{"requests":[{"model":"models/OLD","content":{"model":"a"}},{"model":"models/b"}]}"#,
        r#"{"generateContentRequest":{"model":"models/OLD"},"model":"OLD"}"#,
    ] {
        let [body, expected] = ["a", "new"].map(|name| template.replace("OLD", name));
        let changed = with_models(body.as_bytes(), rename);
        assert_eq!(changed, Some(expected.into_bytes()), "{body}");
    }
    for same in [r#"{"model":"b"}"#, r#"{"model":1,"requests":{}}"#, "["] {
        assert_eq!(with_models(same.as_bytes(), rename), None, "{same}");
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
