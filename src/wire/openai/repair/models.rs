//! Repairs model lists and single models.

use super::answer::json_text;
use crate::wire::json::{
    Edits, Patch, Raw, is_blank, is_text, read_object, text_of, text_or_blank,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `created` of models, which Google does not report: the epoch. An invented date would affect
/// sorting by age, and most clients show no date for this one.
pub const UNKNOWN_CREATED: i64 = 0;

/// Google uses resource names for models; OpenAI's clients expect the bare name.
const PREFIX: &str = "models/";

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    object: Raw<'a>,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow, deserialize_with = "crate::wire::json::raw")]
    id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    object: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    created: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "crate::wire::json::raw")]
    owned_by: Raw<'a>,
}

/// Repairs a list of models; anything else is returned unchanged.
pub fn models(body: Vec<u8>) -> Vec<u8> {
    list_edits(&body).unwrap_or_default().apply(body)
}

/// Repairs a single model; anything else is returned unchanged.
pub fn model(body: Vec<u8>) -> Vec<u8> {
    model_edits(&body).unwrap_or_default().apply(body)
}

fn list_edits(body: &[u8]) -> Option<Edits> {
    let list: List<'_> = read_object(text_of(body)?)?;
    if !is_blank(list.object) && !is_text(list.object, "list") {
        return None;
    }
    let mut patch = Patch::of(body);
    for entry in list.data {
        repair_model(&mut patch, entry.get());
    }
    Some(patch.into_edits())
}

fn model_edits(body: &[u8]) -> Option<Edits> {
    let mut patch = Patch::of(body);
    repair_model(&mut patch, text_of(body)?)?;
    Some(patch.into_edits())
}

/// Returns `None` if the JSON is not a model.
fn repair_model(patch: &mut Patch<'_>, json: &str) -> Option<()> {
    let model: Model<'_> = read_object(json)?;
    text_or_blank(model.id).filter(|id| !id.is_empty())?;
    if !is_blank(model.object) && !is_text(model.object, "model") {
        return None;
    }
    repair_name(patch, model.id);
    for (name, old, value) in [
        ("object", model.object, "\"model\""),
        ("created", model.created, &UNKNOWN_CREATED.to_string()),
        ("owned_by", model.owned_by, "\"google\""),
    ] {
        if is_blank(old) {
            patch.set(json, name, old, value);
        }
    }
    Some(())
}

/// Replaces a model's resource name by its bare name.
pub(super) fn repair_name(patch: &mut Patch<'_>, name: Raw<'_>) {
    let Some(text) = text_or_blank(name) else {
        return;
    };
    let bare = text.trim_start_matches(PREFIX);
    if let Some(name) = name.filter(|_| bare.len() < text.len() && !bare.is_empty()) {
        patch.replace(name, &json_text(bare));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(repaired: Vec<u8>) -> String {
        String::from_utf8(repaired).unwrap()
    }

    #[test]
    fn a_recorded_list_gets_bare_names_and_created() {
        let body = r#"{"object":"list","data":[{"id":"models/gemini-2.5-flash","object":"model","owned_by":"google","display_name":"Gemini 2.5 Flash"},{"id":"models/gemini-embedding-2","object":"model","owned_by":"google"},{"id":"models/veo-3.1-generate-preview","object":"model","owned_by":"google"},{"id":"models/gemini-3.8-live","object":"model","owned_by":"google"},{"id":"models/aqa","object":"model","owned_by":"google"}]}"#;
        let expected = body.replace("{\"id\":\"models/", "{\"created\":0,\"id\":\"");
        assert_eq!(text(models(body.into())), expected);
    }

    #[test]
    fn a_model_gets_a_bare_name_and_missing_fields() {
        for (body, expected) in [
            (
                r#"{"id":"models/m"}"#,
                r#"{"object":"model","created":0,"owned_by":"google","id":"m"}"#,
            ),
            (
                " {\"id\" : \"models\\/m\", \"created\":null,\"object\":\"\",\"owned_by\":\"me\",\"x\":1.0e2}\n",
                " {\"id\" : \"m\", \"created\":0,\"object\":\"model\",\"owned_by\":\"me\",\"x\":1.0e2}\n",
            ),
            (
                r#"{"id":"models/models/m","object":"model","created":5,"owned_by":"google"}"#,
                r#"{"id":"m","object":"model","created":5,"owned_by":"google"}"#,
            ),
            (
                r#"{"id":"models/","object":"model","created":5,"owned_by":"google"}"#,
                r#"{"id":"models/","object":"model","created":5,"owned_by":"google"}"#,
            ),
        ] {
            assert_eq!(text(model(body.into())), expected, "{body}");
            let list = |model: &str| format!(r#"{{"data":[{model},null,{model}]}}"#);
            assert_eq!(text(models(list(body).into())), list(expected), "{body}");
        }
    }

    #[test]
    fn anything_but_a_model_passes_unchanged() {
        for body in [
            "",
            "{}",
            "null",
            r#"["models/m"]"#,
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            r#"{"id":"models/a","id":"models/b"}"#,
            r#"{"id":"models/m","object":"list"}"#,
            r#"{"id":"models/m","object":7}"#,
            r#"{"id":"models/m"} x"#,
            r#"{"error":{"code":404}}"#,
        ] {
            assert_eq!(text(model(body.into())), body);
            let list = format!(r#"{{"object":"list","data":[{body}]}}"#);
            assert_eq!(text(models(list.clone().into())), list);
        }
        for body in [
            r#"{"object":"page","data":[{"id":"models/m"}]}"#,
            r#"{"object":"list","data":{"id":"models/m"}}"#,
            r#"{"models":[{"name":"models/m"}]}"#,
        ] {
            assert_eq!(text(models(body.into())), body);
        }
    }
}
