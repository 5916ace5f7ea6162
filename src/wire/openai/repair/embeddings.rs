//! Repairs embeddings.

use super::context::Requested;
use super::models::repair_name;
use crate::wire::json::{Edits, Patch, Raw, is_blank, is_text, read, read_object, text_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stands for missing `usage`: zeros do not affect a client's totals.
const NO_USAGE: &str = r#"{"prompt_tokens":0,"total_tokens":0}"#;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    object: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    model: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    usage: Raw<'a>,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Embedding<'a> {
    #[serde(borrow, deserialize_with = "crate::wire::json::raw")]
    embedding: Raw<'a>,
}

/// Repairs a list of embeddings, requested as base64 or as numbers; anything else is returned
/// unchanged.
pub(super) fn embeddings(body: Vec<u8>, requested: Requested) -> Vec<u8> {
    edits(&body, requested).unwrap_or_default().apply(body)
}

fn edits(body: &[u8], requested: Requested) -> Option<Edits> {
    let json = text_of(body)?;
    let list: List<'_> = read_object(json)?;
    if !is_blank(list.object) && !is_text(list.object, "list") {
        return None;
    }
    let mut patch = Patch::of(body);
    if is_blank(list.usage) {
        patch.set(json, "usage", list.usage, NO_USAGE);
    }
    repair_name(&mut patch, list.model);
    let is_base64 = requested == Requested::Base64Embeddings;
    for entry in list.data.into_iter().filter(|_| is_base64) {
        let numbers = read_object(entry.get()).and_then(|Embedding { embedding }| embedding);
        if let Some((numbers, base64)) = numbers.and_then(|list| Some((list, base64_of(list)?))) {
            patch.replace(numbers, &base64);
        }
    }
    Some(patch.into_edits())
}

/// Encodes a list of numbers as the quoted base64 of little-endian `float32`; `None` if it is not
/// such a list or a number is out of range.
fn base64_of(list: &RawValue) -> Option<String> {
    let numbers: Vec<f32> = read(list)?;
    if !numbers.iter().all(|number| number.is_finite()) {
        return None;
    }
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    let mut text = String::from("\"");
    STANDARD.encode_string(bytes, &mut text);
    text.push('"');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::Requested::{Base64Embeddings, Embeddings};
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn repaired(body: &str, requested: Requested) -> String {
        String::from_utf8(embeddings(body.into(), requested)).unwrap()
    }

    /// Decodes an embedding as clients do.
    fn decoded(base64: &Value) -> Vec<f32> {
        let bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
        let (numbers, rest) = bytes.as_chunks();
        assert!(rest.is_empty());
        numbers.iter().copied().map(f32::from_le_bytes).collect()
    }

    /// As recorded from Google's batch outputs.
    const RECORDED: &str = r#"{"data":[{"object":"embedding","embedding":[-0.0149,0.5,1e-3,2],"index":0},{"object":"embedding","embedding":[1],"index":1}],"model":"models/gemini-embedding-001","object":"list"}"#;

    #[test]
    fn encodes_numbers_as_base64_on_request() {
        let expected = r#"{"usage":{"prompt_tokens":0,"total_tokens":0},"data":[{"object":"embedding","embedding":"IR90vAAAAD9vEoM6AAAAQA==","index":0},{"object":"embedding","embedding":"AACAPw==","index":1}],"model":"gemini-embedding-001","object":"list"}"#;
        assert_eq!(repaired(RECORDED, Base64Embeddings), expected);
        assert_eq!(
            repaired(expected, Base64Embeddings),
            expected,
            "it is base64 already"
        );
        let numbers: Value = serde_json::from_str(&repaired(RECORDED, Base64Embeddings)).unwrap();
        assert_eq!(
            decoded(&numbers["data"][0]["embedding"]),
            [-0.0149, 0.5, 1e-3, 2.0]
        );
    }

    #[test]
    fn numbers_stay_numbers_on_request() {
        let expected = RECORDED
            .replacen('{', r#"{"usage":{"prompt_tokens":0,"total_tokens":0},"#, 1)
            .replace("models/", "");
        assert_eq!(repaired(RECORDED, Embeddings), expected);
        assert_eq!(repaired(&expected, Embeddings), expected);
    }

    #[test]
    fn existing_usage_and_names_are_preserved() {
        for body in [
            r#"{"data":[],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#,
            r#" { "data" : [ ] , "usage" : { } } "#,
            r#"{"data":[{"index":0}],"model":7,"usage":{},"x":[1.0e2]}"#,
        ] {
            assert_eq!(repaired(body, Base64Embeddings), body);
        }
        assert_eq!(
            repaired(r#"{"usage":null,"data":[]}"#, Base64Embeddings),
            r#"{"usage":{"prompt_tokens":0,"total_tokens":0},"data":[]}"#
        );
    }

    #[test]
    fn other_embeddings_pass_unchanged() {
        for embedding in [
            "[1e39]",
            "[null]",
            "[\"1\"]",
            "{}",
            "null",
            "\"AACAPw==\"",
            "[[1]]",
        ] {
            let body = format!(r#"{{"data":[{{"embedding":{embedding}}}],"usage":{{}}}}"#);
            assert_eq!(repaired(&body, Base64Embeddings), body);
        }
        for body in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"data":null}"#,
            r#"{"data":[{"embedding":[1]}],"object":"page"}"#,
            r#"{"data":[{"embedding":[1]}]} x"#,
            r#"{"data":[{"embedding":[1]}"#,
            r#"{"error":{"code":400}}"#,
            r#"[{"error":{"code":400}}]"#,
        ] {
            assert_eq!(repaired(body, Base64Embeddings), body);
        }
    }

    proptest! {
        #[test]
        fn base64_decodes_to_the_same_numbers(lists in prop::collection::vec(prop::collection::vec(-1e30_f32..1e30, 0..5), 0..4)) {
            let data: Vec<Value> = lists.iter().map(|list| serde_json::json!({ "embedding": list, "index": 0 })).collect();
            let body = serde_json::json!({ "data": data }).to_string();
            let once = repaired(&body, Base64Embeddings);
            let answer: Value = serde_json::from_str(&once).unwrap();
            let got: Vec<Vec<f32>> = answer["data"].as_array().unwrap().iter().map(|entry| decoded(&entry["embedding"])).collect();
            prop_assert_eq!(got, lists);
            prop_assert_eq!(repaired(&once, Base64Embeddings), once);
        }

        #[test]
        fn accepts_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte: u8) {
            let _ = embeddings(body, Base64Embeddings);
            let mut corrupt = RECORDED.as_bytes().to_vec();
            let at = at.index(corrupt.len());
            corrupt[at] = byte;
            let once = embeddings(corrupt, Base64Embeddings);
            prop_assert_eq!(embeddings(once.clone(), Base64Embeddings), once);
        }
    }
}
