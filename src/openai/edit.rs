//! Changes in a request's body, made in the caller's own bytes: everything else stays as it was sent.

use super::patch::Patch;
use crate::skim::{Members, read};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One step into a body: a field of an object, or an element of an array.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// By name.
    Field(String),
    /// By position, from 0.
    Element(usize),
}

/// The steps of a path as Google writes it: `tools[0].function`. `None` if it is none.
pub fn steps(place: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in place.split('.').filter(|_| !place.is_empty()) {
        let mut pieces = part.split('[');
        let field = pieces.next().filter(|field| !field.is_empty())?;
        steps.push(Step::Field(field.to_owned()));
        for piece in pieces {
            steps.push(Step::Element(piece.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// `body` with other names for the models that it names: its own, those of its `requests`, and that of its
/// `generateContentRequest`; `None` where nothing changes.
pub fn with_models(body: &[u8], name_of: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let Members(own) = serde_json::from_str(text).ok()?;
    let mut objects = vec![];
    for (name, value) in &own {
        match &**name {
            "requests" => objects.extend(read::<Vec<&RawValue>>(value).unwrap_or_default()),
            "generateContentRequest" => objects.push(value),
            _ => {}
        }
    }
    let inner: Vec<_> = objects
        .into_iter()
        .filter_map(read::<Members<'_>>)
        .collect();
    let members = inner
        .iter()
        .flat_map(|Members(members)| members)
        .chain(&own);
    let mut patch = Patch::of(body);
    for (_, value) in members.filter(|(name, _)| name == "model") {
        if let Some(other) = read::<String>(value).and_then(|model| name_of(&model)) {
            patch.replace(value, &serde_json::Value::from(other).to_string());
        }
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

/// Names of the fields of a body, in order; none if it is no object.
pub fn fields(body: &[u8]) -> Vec<String> {
    match serde_json::from_slice(body) {
        Ok(Members(members)) => members
            .into_iter()
            .map(|(name, _)| name.into_owned())
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// `body` without these fields, each named in the object that its path leads to, however often it is there; `None` if one
/// of them is not. Names count as equal in snake and in camel case, as they do for Google.
pub fn without<N: AsRef<str>>(body: &[u8], fields: &[(Vec<Step>, N)]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let object: &RawValue = serde_json::from_str(text).ok()?;
    let fields: Vec<(&[Step], &str)> = fields
        .iter()
        .map(|(path, name)| (path.as_slice(), name.as_ref()))
        .collect();
    let mut patch = Patch::of(body);
    cut(object, &fields, &mut patch)?;
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

/// Removes fields from a value; `None` if one of them is not there.
fn cut<'a>(value: &'a RawValue, fields: &[(&[Step], &str)], patch: &mut Patch<'a>) -> Option<()> {
    let own: Vec<&str> = fields
        .iter()
        .filter(|(path, _)| path.is_empty())
        .map(|(_, name)| *name)
        .collect();
    let mut deeper: BTreeMap<&Step, Vec<(&[Step], &str)>> = BTreeMap::new();
    for (path, name) in fields {
        if let Some((first, rest)) = path.split_first() {
            deeper.entry(first).or_default().push((rest, name));
        }
    }
    let members = if value.get().starts_with('{') {
        read::<Members<'_>>(value)?.0
    } else {
        Vec::new()
    };
    for (step, fields) in deeper {
        let inner = match step {
            Step::Field(field) => members.iter().rev().find(|(its, _)| is_same(its, field))?.1,
            Step::Element(position) => *read::<Vec<&RawValue>>(value)?.get(*position)?,
        };
        cut(inner, &fields, patch)?;
    }
    let is_there = |name: &&str| members.iter().any(|(its, _)| is_same(its, name));
    own.iter().all(is_there).then(|| {
        patch.cut(value.get(), &members, |its| {
            own.iter().any(|name| is_same(its, name))
        });
    })
}

fn is_same(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        name.chars()
            .filter(|letter| *letter != '_')
            .map(|letter| letter.to_ascii_lowercase())
            .collect::<String>()
    };
    a == b || plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
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
    fn a_field_goes_and_nothing_else_changes() {
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
            let changed = without(body.as_bytes(), &[(path(&steps), name)]);
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
                without(body.as_bytes(), &[(path(&steps), "seed")]),
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn several_fields_go_at_once() {
        let body = r#"{"a":1, "seed":2,"tools":[{"function":{"strict":true,"name":"f"},"x":1},{"x":2}], "b":3}"#;
        let fields = [
            (vec![], "seed"),
            (path(&["tools", "0", "function"]), "strict"),
            (path(&["tools", "1"]), "x"),
            (vec![], "b"),
            (vec![], "a"),
        ];
        assert_eq!(
            without(body.as_bytes(), &fields).map(|body| String::from_utf8(body).unwrap()),
            Some(r#"{"tools":[{"function":{"name":"f"},"x":1},{}]}"#.to_owned())
        );
        let with_another = [fields.as_slice(), &[(vec![], "missing")]].concat();
        assert_eq!(without(body.as_bytes(), &with_another), None);
        let within_another = [(vec![], "tools"), (path(&["tools", "0"]), "x")];
        let left = without(body.as_bytes(), &within_another).unwrap();
        assert_eq!(
            String::from_utf8(left).unwrap(),
            r#"{"a":1, "seed":2, "b":3}"#
        );
    }

    #[test]
    fn a_path_is_read_step_by_step() {
        assert_eq!(steps(""), Some(vec![]));
        assert_eq!(
            steps("tools[10].function"),
            Some(path(&["tools", "10", "function"]))
        );
        assert_eq!(steps("a[1][2]"), Some(path(&["a", "1", "2"])));
        for odd in [".", "a..b", "a[x]", "a[1", "[1]"] {
            assert_eq!(steps(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_model_that_a_body_names_is_renamed_alike() {
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
        fn what_is_left_is_the_same_without_the_field(
            fields in prop::collection::vec(("[a-d]", any::<i16>(), "[ \n]{0,2}"), 0..6),
            name in "[a-d]",
        ) {
            let members: Vec<String> = fields
                .iter()
                .map(|(name, value, blank)| format!("{blank}\"{name}\"{blank}:{blank}{value}{blank}"))
                .collect();
            let body = format!("{{{}}}", members.join(","));
            let expected: Vec<&(String, i16, String)> = fields.iter().filter(|(its, ..)| *its != name).collect();
            match without(body.as_bytes(), &[(vec![], &name)]) {
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
        fn any_bytes_get_an_answer(body in "[{}\\[\\]\":,a-z0-9]{0,60}") {
            let _ = without(body.as_bytes(), &[(vec![Step::Field("a".into())], "b"), (vec![], "c")]);
            let _ = with_models(body.as_bytes(), |_| Some("m".to_owned()));
            let _ = fields(body.as_bytes());
        }
    }
}
