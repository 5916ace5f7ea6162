//! Mutates JSON without breaking it, as mutations of bytes would.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Value, json};

/// Mutates the first `size` bytes, and returns the new size. Half of the time, and whenever there is
/// no JSON, the mutation is libFuzzer's own.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(seed);
    let input = data.get(..size).unwrap_or_default();
    let mutated = match random.below(2) {
        0 => mutate_line(input, &mut random),
        _ => None,
    };
    match mutated {
        Some(mutated) if mutated.len() <= max_size => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        Some(_) | None => fuzzer_mutate(data, size, max_size),
    }
}

/// Mutates the object that begins in one of the lines; `None` if it has none.
fn mutate_line(input: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let count = lines.len();
    let line = lines.get_mut(random.below(count))?;
    let start = line.iter().position(|byte| *byte == b'{')?;
    let (before, json) = line.split_at(start);
    let mut document: Value = serde_json::from_slice(json).ok()?;
    for _ in 0..=random.below(2) {
        change(&mut document, random);
    }
    let changed = [before, document.to_string().as_bytes()].concat();
    *line = &changed;
    Some(lines.join(&b'\n'))
}

/// Replaces, removes or adds a value.
fn change(document: &mut Value, random: &mut Random) {
    let size = size(document);
    let other = match random.below(2) {
        0 => odd(random),
        _ => nth(document, &mut random.below(size)).map_or(Value::Null, |other| other.clone()),
    };
    let mut names = Vec::new();
    collect_names(document, &mut names);
    let name = names.get(random.below(names.len().max(1))).cloned();
    let Some(value) = nth(document, &mut random.below(size)) else {
        return;
    };
    match (random.below(3), value) {
        (0, Value::Array(items)) if !items.is_empty() => {
            items.remove(random.below(items.len()));
        }
        (1, Value::Array(items)) => items.insert(random.below(items.len() + 1), other),
        (0, Value::Object(members)) => {
            members.remove(&name.unwrap_or_default());
        }
        (1, Value::Object(members)) => {
            members.insert(name.unwrap_or_default(), other);
        }
        (_, value) => *value = other,
    }
}

fn odd(random: &mut Random) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5e300),
        json!(u64::MAX),
        json!(""),
        json!("é𝄞\"\\\n\u{0}"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"": null}),
    ];
    odd[random.below(odd.len())].clone()
}

/// The number of values.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// The value that so many others precede.
fn nth<'a>(value: &'a mut Value, before: &mut usize) -> Option<&'a mut Value> {
    if *before == 0 {
        return Some(value);
    }
    *before -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, before)),
        Value::Object(members) => members.values_mut().find_map(|member| nth(member, before)),
        _ => None,
    }
}

fn collect_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Object(members) => {
            names.extend(members.keys().cloned());
            members
                .values()
                .for_each(|member| collect_names(member, names));
        }
        _ => {}
    }
}

/// Random numbers that libFuzzer can repeat.
struct Random(u32);

impl Random {
    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % end
    }
}
