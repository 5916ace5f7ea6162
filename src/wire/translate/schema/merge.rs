//! The conjunction of two schemas, of which Gemini knows none: `allOf`, and what stands beside a
//! `$ref`.
//!
//! Where two keywords cannot be combined, the first is kept, and the other becomes a sentence. The
//! result is never stricter than both schemas together.

use super::tree::{Fields, Tree, set, take};
use super::words;
use std::borrow::Cow;
use std::collections::HashSet;

/// A schema that accepts what both accept.
pub(super) fn both<'a>(mut first: Fields<'a>, second: Fields<'a>) -> Fields<'a> {
    let mut sentences = Vec::new();
    for (keyword, value) in second {
        let Some(position) = first.iter().position(|(known, _)| *known == keyword) else {
            first.push((keyword, value));
            continue;
        };
        let Some((_, known)) = first.get_mut(position) else {
            continue;
        };
        if *known == value {
            continue;
        }
        let sentence = words::sentence(&keyword, &value);
        let old = std::mem::replace(known, Tree::literal("null"));
        let (combined, is_complete) = combine(&keyword, old, value);
        *known = combined;
        sentences.extend(sentence.filter(|_| !is_complete));
    }
    for sentence in sentences {
        words::note(&mut first, &sentence);
    }
    first
}

/// Combines two values of a keyword, and says whether the result covers both.
fn combine<'a>(keyword: &str, first: Tree<'a>, second: Tree<'a>) -> (Tree<'a>, bool) {
    match (keyword, first, second) {
        (
            "properties" | "patternProperties" | "$defs",
            Tree::Object(first),
            Tree::Object(second),
        ) => (Tree::Object(by_name(first, second)), true),
        ("required", Tree::Array(mut first), Tree::Array(second)) => {
            for name in second {
                if !first.contains(&name) {
                    first.push(name);
                }
            }
            (Tree::Array(first), true)
        }
        ("type", first, second) => match common_types(&first, &second) {
            Some(types) => (types, true),
            None => (first, false),
        },
        ("enum", Tree::Array(mut first), Tree::Array(second)) => {
            first.retain(|value| second.contains(value));
            (Tree::Array(first), true)
        }
        (
            "minimum" | "exclusiveMinimum" | "minItems" | "minLength" | "minProperties",
            first,
            second,
        ) => (
            outermost(first, second, |first, second| first >= second),
            true,
        ),
        (
            "maximum" | "exclusiveMaximum" | "maxItems" | "maxLength" | "maxProperties",
            first,
            second,
        ) => (
            outermost(first, second, |first, second| first <= second),
            true,
        ),
        ("items" | "additionalProperties", first, second) => (schemas(first, second), true),
        ("description", first, second) => (descriptions(&first, second), true),
        // Annotations of the outer schema take precedence.
        (
            "title" | "default" | "examples" | "$id" | "$anchor" | "$comment" | "$schema",
            first,
            _,
        ) => (first, true),
        (_, first, _) => (first, false),
    }
}

fn by_name<'a>(mut first: Fields<'a>, second: Fields<'a>) -> Fields<'a> {
    for (name, schema) in second {
        match first.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                let old = std::mem::replace(known, Tree::literal("null"));
                *known = schemas(old, schema);
            }
            None => first.push((name, schema)),
        }
    }
    first
}

fn schemas<'a>(first: Tree<'a>, second: Tree<'a>) -> Tree<'a> {
    match (first, second) {
        (Tree::Object(first), Tree::Object(second)) => Tree::Object(both(first, second)),
        (first, second) if first.is("true") => second,
        (first, second) if second.is("true") => first,
        (first, second) if first.is("false") || second.is("false") => Tree::literal("false"),
        (first, _) => first,
    }
}

/// The types that both name; `None` if there are none.
fn common_types<'a>(first: &Tree<'a>, second: &Tree<'a>) -> Option<Tree<'a>> {
    let names = |tree: &Tree<'_>| match tree.as_text() {
        Some(name) => vec![name],
        None => tree.as_texts().unwrap_or_default(),
    };
    let (first, second) = (names(first), names(second));
    let sets = [&first, &second].map(|names| names.iter().map(String::as_str).collect());
    let is_in = |names: &HashSet<&str>, name: &str| {
        names.contains(name) || (name == "integer" && names.contains("number"))
    };
    let mut seen = HashSet::new();
    let names = first.iter().chain(&second).map(String::as_str);
    let common: Vec<&str> = names
        .filter(|name| sets.iter().all(|names| is_in(names, name)) && seen.insert(*name))
        .collect();
    match common.as_slice() {
        [] => None,
        [name] => Some(Tree::text(name)),
        names => Some(Tree::Array(
            names.iter().map(|name| Tree::text(name)).collect(),
        )),
    }
}

fn outermost<'a>(first: Tree<'a>, second: Tree<'a>, is_first: fn(f64, f64) -> bool) -> Tree<'a> {
    match (first.as_f64(), second.as_f64()) {
        (Some(a), Some(b)) if is_first(a, b) => first,
        (_, Some(_)) => second,
        (_, None) => first,
    }
}

fn descriptions<'a>(first: &Tree<'a>, second: Tree<'a>) -> Tree<'a> {
    let Some(text) = second.as_text() else {
        return first.clone();
    };
    let mut fields: Fields<'a> = vec![(Cow::Borrowed("description"), first.clone())];
    words::note(&mut fields, &text);
    take(&mut fields, "description").unwrap_or(second)
}

/// Makes `alternatives` the branches of a schema, each together with the schema's constraints.
pub(super) fn distribute<'a>(
    annotations: &mut Fields<'a>,
    constraints: &Fields<'a>,
    alternatives: Vec<Tree<'a>>,
) {
    let branches = alternatives.into_iter().map(|branch| match branch {
        Tree::Object(branch) => Tree::Object(both(branch, constraints.clone())),
        branch if branch.is("true") => Tree::Object(constraints.clone()),
        Tree::Array(_) | Tree::Scalar(_) => branch,
    });
    set(annotations, "anyOf", Tree::Array(branches.collect()));
}
