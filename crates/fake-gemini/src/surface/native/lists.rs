//! The bytes of token counts, embeddings and the list of models.

use super::generate::Modality;
use crate::ids;
use crate::models::Model;
use crate::surface::{Scene, Success};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_tokens: u64,
    prompt_tokens_details: [Modality; 1],
}

pub(super) fn count(scene: &Scene<'_>) -> Success {
    let tokens = scene.request.prompt_tokens;
    Success::pretty(&Count {
        total_tokens: tokens,
        prompt_tokens_details: [Modality::text(tokens)],
    })
}

#[derive(Serialize)]
struct Single {
    embedding: Vector,
}

#[derive(Serialize)]
struct Batch {
    embeddings: Vec<Vector>,
}

#[derive(Serialize)]
struct Vector {
    values: Vec<f32>,
}

fn vectors(scene: &Scene<'_>) -> Vec<Vector> {
    let request = scene.request;
    request
        .texts
        .iter()
        .map(|text| Vector {
            values: ids::vector(&text.text, text.dimensions),
        })
        .collect()
}

pub(super) fn embedding(scene: &Scene<'_>) -> Success {
    let vector = vectors(scene).pop();
    Success::pretty(&Single {
        embedding: vector.unwrap_or(Vector { values: Vec::new() }),
    })
}

pub(super) fn embeddings(scene: &Scene<'_>) -> Success {
    Success::pretty(&Batch {
        embeddings: vectors(scene),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_token_limit: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    supported_generation_methods: &'static [&'static str],
}

impl<'a> Entry<'a> {
    fn of(model: &'a Model) -> Self {
        Self {
            name: format!("models/{}", model.id),
            display_name: model.display_name.as_deref(),
            input_token_limit: model.input_token_limit(),
            supported_generation_methods: model.methods(),
        }
    }
}

/// A page's token: where it begins, in a form that nobody takes for a number.
const TOKEN: &str = "page-from-";

/// Where the page of that token begins; `None` for one that was never given out.
pub(super) fn start_of(token: &str) -> Option<usize> {
    token.strip_prefix(TOKEN)?.parse().ok()
}

/// The token of the page that begins there.
pub(super) fn token(start: usize) -> String {
    format!("{TOKEN}{start}")
}

pub(super) fn models(scene: &Scene<'_>) -> Success {
    let page = scene.request.page;
    let end = page.start.saturating_add(page.size);
    let models = scene.models.iter().skip(page.start).take(page.size);
    Success::pretty(&List {
        models: models.map(Entry::of).collect(),
        next_page_token: (end < scene.models.len()).then(|| token(end)),
    })
}

pub(super) fn model(scene: &Scene<'_>) -> Success {
    Success::pretty(&Entry::of(&scene.model()))
}
