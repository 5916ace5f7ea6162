//! Edits request bodies in the caller's bytes, leaving everything else unchanged.

use crate::wire::json::{Members, Patch, find, parse, read};
use memchr::memmem;
use serde_json::value::RawValue;

/// A step of a path into a body: a field of an object or an element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field by name.
    Field(String),
    /// An element by index, from 0.
    Element(usize),
    /// Every element.
    Elements,
}

/// Parses a path in Google's notation: `tools[0].function`, or `tools[].function` for every
/// element. Returns `None` if it is not a path.
pub fn parse_path(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|_| !path.is_empty()) {
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

/// Renames the models in `body`: its own, those of its `requests`, and that of its
/// `generateContentRequest`. Returns `None` if nothing changes.
pub fn with_models(body: &[u8], name_of: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let Members(top_level) = serde_json::from_str(text).ok()?;
    let mut objects = vec![];
    for (name, value) in &top_level {
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
        .chain(&top_level);
    let mut patch = Patch::of(body);
    for (_, value) in members.filter(|(name, _)| name == "model") {
        if let Some(other) = read::<String>(value).and_then(|model| name_of(&model)) {
            patch.replace(value, &serde_json::Value::from(other).to_string());
        }
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

/// A field: the path to its object, and its name. As at Google, names match in snake case and camel
/// case.
pub type Field<N> = (Vec<Step>, N);

/// A body from which fields were removed.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// What is left.
    pub body: Vec<u8>,
    /// The indices of the fields that it had, each once.
    pub indices: Vec<usize>,
}

/// Removes every occurrence of these fields from `body`; `None` if any of them is missing.
pub fn without_fields<N: AsRef<str>>(body: &[u8], fields: &[Field<N>]) -> Option<Vec<u8>> {
    let removed = without_any(body, fields)?;
    (removed.indices.len() == fields.len()).then_some(removed.body)
}

/// Removes those of these fields that `body` has; `None` if it has none.
pub fn without_any<N: AsRef<str>>(body: &[u8], fields: &[Field<N>]) -> Option<Removed> {
    let text = std::str::from_utf8(body).ok()?;
    let object: &RawValue = serde_json::from_str(text).ok()?;
    let fields: Vec<FieldToRemove<'_>> = fields
        .iter()
        .enumerate()
        .map(|(index, (path, name))| FieldToRemove {
            index,
            path,
            name: name.as_ref(),
        })
        .collect();
    let mut found = Vec::new();
    let mut patch = Patch::of(body);
    remove_fields(object, &fields, &mut patch, &mut found);
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| Removed {
        body: edits.apply(body.to_vec()),
        indices: found,
    })
}

/// Removes null fields other than `content` from the messages in `body`; `None` if nothing changes.
///
/// Clients send messages of earlier answers back with such fields, and Google refuses unknown
/// names.
pub fn without_nulls_in_messages(body: &[u8]) -> Option<Vec<u8>> {
    memmem::find(body, b"null")?;
    let Members(top_level) = parse(body)?;
    let messages: Vec<&RawValue> = read(find(&top_level, "messages")?)?;
    let mut patch = Patch::of(body);
    for message in messages {
        let Some(Members(members)) = read(message) else {
            continue;
        };
        let is_null = |name: &str| {
            let mut matching = members.iter().filter(|(member, _)| member == name);
            name != "content" && matching.all(|(_, value)| value.get() == "null")
        };
        patch.cut(message.get(), &members, is_null);
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

/// A field to remove, relative to an object on the path to it.
#[derive(Clone, Copy)]
struct FieldToRemove<'s> {
    index: usize,
    path: &'s [Step],
    name: &'s str,
}

/// Removes fields from a value and records those that were found.
fn remove_fields<'a>(
    value: &'a RawValue,
    fields: &[FieldToRemove<'_>],
    patch: &mut Patch<'a>,
    found: &mut Vec<usize>,
) {
    let deeper = by_first_step(fields);
    if value.get().starts_with('[') {
        let elements = read::<Vec<&RawValue>>(value).unwrap_or_default();
        for (step, fields) in deeper {
            let selected = match step {
                Step::Field(_) => &[],
                Step::Element(position) => elements
                    .get(*position)
                    .map(std::slice::from_ref)
                    .unwrap_or_default(),
                Step::Elements => elements.as_slice(),
            };
            for element in selected {
                remove_fields(element, &fields, patch, found);
            }
        }
        return;
    }
    let Some(Members(members)) = read(value).filter(|_| value.get().starts_with('{')) else {
        return;
    };
    for (step, fields) in deeper {
        let matching = members
            .iter()
            .rev()
            .find(|(member, _)| matches!(step, Step::Field(field) if same_name(member, field)));
        if let Some((_, inner)) = matching {
            remove_fields(inner, &fields, patch, found);
        }
    }
    let present: Vec<&FieldToRemove<'_>> = fields
        .iter()
        .filter(|field| field.path.is_empty())
        .filter(|field| {
            members
                .iter()
                .any(|(member, _)| same_name(member, field.name))
        })
        .collect();
    for FieldToRemove { index, .. } in &present {
        if !found.contains(index) {
            found.push(*index);
        }
    }
    patch.cut(value.get(), &members, |member| {
        present.iter().any(|field| same_name(member, field.name))
    });
}

/// The fields on a path, relative to what its first step leads to.
fn by_first_step<'s>(fields: &[FieldToRemove<'s>]) -> Vec<(&'s Step, Vec<FieldToRemove<'s>>)> {
    let mut groups: Vec<(&Step, Vec<FieldToRemove<'_>>)> = Vec::new();
    for field in fields {
        let Some((first, path)) = field.path.split_first() else {
            continue;
        };
        let field = FieldToRemove { path, ..*field };
        match groups.iter_mut().find(|(step, _)| *step == first) {
            Some((_, group)) => group.push(field),
            None => groups.push((first, vec![field])),
        }
    }
    groups
}

fn same_name(a: &str, b: &str) -> bool {
    let normalized = |name: &str| {
        name.chars()
            .filter(|c| *c != '_')
            .map(|c| c.to_ascii_lowercase())
            .collect::<String>()
    };
    a == b || normalized(a) == normalized(b)
}

#[cfg(test)]
mod tests;
