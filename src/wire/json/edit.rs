//! Changes in a request's body, made in the caller's own bytes: everything else stays as it was sent.

use crate::wire::json::Patch;
use crate::wire::json::{Members, find, read};
use memchr::memmem;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// One step into a body: a field of an object, or an element of an array.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// By name.
    Field(String),
    /// By position, from 0.
    Element(usize),
    /// Every element.
    Elements,
}

/// The steps of a path as Google writes it, `tools[0].function`, or with every element meant, `tools[].function`. `None` if
/// it is none.
pub fn steps(place: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in place.split('.').filter(|_| !place.is_empty()) {
        let mut pieces = part.split('[');
        let field = pieces.next().filter(|field| !field.is_empty())?;
        steps.push(Step::Field(field.to_owned()));
        for piece in pieces {
            steps.push(match piece.strip_suffix(']')? {
                "" => Step::Elements,
                position => Step::Element(position.parse().ok()?),
            });
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

/// A field: the way to its object, and its name. Names count as equal in snake and in camel case, as they do for Google.
pub type Field<N> = (Vec<Step>, N);

/// `body` without these fields, however often each is there; `None` if one of them is not.
pub fn without<N: AsRef<str>>(body: &[u8], fields: &[Field<N>]) -> Option<Vec<u8>> {
    let (body, found) = without_any(body, fields)?;
    (found.len() == fields.len()).then_some(body)
}

/// `body` without those of these fields that are there, and which they were, by position; `None` if none is.
pub fn without_any<N: AsRef<str>>(
    body: &[u8],
    fields: &[Field<N>],
) -> Option<(Vec<u8>, BTreeSet<usize>)> {
    let text = std::str::from_utf8(body).ok()?;
    let object: &RawValue = serde_json::from_str(text).ok()?;
    let fields: Vec<Sought<'_>> = fields
        .iter()
        .enumerate()
        .map(|(number, (path, name))| Sought {
            number,
            path,
            name: name.as_ref(),
        })
        .collect();
    let mut found = BTreeSet::new();
    let mut patch = Patch::of(body);
    cut(object, &fields, &mut patch, &mut found);
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| (edits.apply(body.to_vec()), found))
}

/// `body` without what is null in its messages, but for `content`: clients send it back of answers, and Google refuses the
/// names that it does not know. `None` where nothing changes.
pub fn without_nulls_in_messages(body: &[u8]) -> Option<Vec<u8>> {
    memmem::find(body, b"null")?;
    let Members(own) = serde_json::from_slice(body).ok()?;
    let messages: Vec<&RawValue> = read(find(&own, "messages")?)?;
    let mut patch = Patch::of(body);
    for message in messages {
        let Some(Members(members)) = read(message) else {
            continue;
        };
        let is_null = |name: &str| {
            let mut named = members.iter().filter(|(its, _)| its == name);
            name != "content" && named.all(|(_, value)| value.get() == "null")
        };
        patch.cut(message.get(), &members, is_null);
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

/// A field that is to be cut, as seen from an object on the way to it.
#[derive(Clone, Copy)]
struct Sought<'s> {
    number: usize,
    path: &'s [Step],
    name: &'s str,
}

/// Removes fields from a value, and notes those that were there.
fn cut<'a>(
    value: &'a RawValue,
    fields: &[Sought<'_>],
    patch: &mut Patch<'a>,
    found: &mut BTreeSet<usize>,
) {
    let mut deeper: BTreeMap<&Step, Vec<Sought<'_>>> = BTreeMap::new();
    for field in fields {
        if let Some((first, path)) = field.path.split_first() {
            deeper
                .entry(first)
                .or_default()
                .push(Sought { path, ..*field });
        }
    }
    if value.get().starts_with('[') {
        let elements = read::<Vec<&RawValue>>(value).unwrap_or_default();
        for (step, fields) in deeper {
            let meant = match step {
                Step::Field(_) => &[],
                Step::Element(position) => elements
                    .get(*position)
                    .map(std::slice::from_ref)
                    .unwrap_or_default(),
                Step::Elements => elements.as_slice(),
            };
            for element in meant {
                cut(element, &fields, patch, found);
            }
        }
        return;
    }
    let Some(Members(members)) = read(value).filter(|_| value.get().starts_with('{')) else {
        return;
    };
    for (step, fields) in deeper {
        let named = members
            .iter()
            .rev()
            .find(|(its, _)| matches!(step, Step::Field(field) if is_same(its, field)));
        if let Some((_, inner)) = named {
            cut(inner, &fields, patch, found);
        }
    }
    let own: Vec<&Sought<'_>> = fields
        .iter()
        .filter(|field| field.path.is_empty())
        .filter(|field| members.iter().any(|(its, _)| is_same(its, field.name)))
        .collect();
    found.extend(own.iter().map(|field| field.number));
    patch.cut(value.get(), &members, |its| {
        own.iter().any(|field| is_same(its, field.name))
    });
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
    fn a_field_of_every_element_goes_wherever_it_is() {
        let body = r#"{"messages":[{"content":[{"text":"a","cache_control":{}},{"text":"b"}]},{"content":"c"},{"content":[{"cacheControl":1}]}],"seed":1}"#;
        let fields = ["messages[].content[]", "messages[]", ""];
        let names = ["cache_control", "cache_control", "seed"];
        let fields: Vec<_> =
            std::iter::zip(fields.map(|place| steps(place).unwrap()), names).collect();
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
    fn nulls_in_messages_go_but_for_content() {
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
    fn a_path_is_read_step_by_step() {
        assert_eq!(steps(""), Some(vec![]));
        assert_eq!(
            steps("tools[10].function"),
            Some(path(&["tools", "10", "function"]))
        );
        assert_eq!(steps("a[1][2]"), Some(path(&["a", "1", "2"])));
        let every = [
            Step::Field("a".into()),
            Step::Elements,
            Step::Field("b".into()),
        ];
        assert_eq!(steps("a[].b"), Some(every.into()));
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
            let _ = without_nulls_in_messages(body.as_bytes());
            let _ = without_any(body.as_bytes(), &[(vec![Step::Elements, Step::Field("a".into())], "b"), (vec![], "c")]);
        }
    }
}
