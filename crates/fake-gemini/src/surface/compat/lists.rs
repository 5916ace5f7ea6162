//! The bytes of embeddings and of the list of models.

use crate::ids;
use crate::models::{Model, bare};
use crate::surface::{Scene, Success};
use serde::Serialize;

#[derive(Serialize)]
struct Embeddings {
    data: Vec<Embedding>,
    model: String,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Embedding {
    embedding: Vec<f32>,
    index: usize,
    object: &'static str,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Always numbers, even where the client asks for base64.
pub(super) fn embeddings(scene: &Scene<'_>) -> Success {
    let request = scene.request;
    let body = Embeddings {
        data: request
            .texts
            .iter()
            .enumerate()
            .map(|(index, text)| Embedding {
                embedding: ids::vector(&text.text, text.dimensions),
                index,
                object: "embedding",
            })
            .collect(),
        model: format!("models/{}", request.bare_model()),
        object: "list",
        usage: scene.embedding_usage.then_some(Usage {
            prompt_tokens: request.prompt_tokens,
            total_tokens: request.prompt_tokens,
        }),
    };
    Success::compact(&body)
}

/// Unlike elsewhere on this surface, the keys are not in alphabetical order.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: String,
    object: &'static str,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(model: &'a Model) -> Self {
        Self {
            id: format!("models/{}", bare(&model.id)),
            object: "model",
            owned_by: "google",
            display_name: model.display_name.as_deref(),
        }
    }
}

pub(super) fn models(scene: &Scene<'_>) -> Success {
    let list = List {
        object: "list",
        data: scene.models.iter().map(Entry::of).collect(),
    };
    Success::compact(&list)
}

/// One entry of the list. No recording of this is public.
pub(super) fn model(scene: &Scene<'_>) -> Success {
    Success::compact(&Entry::of(&scene.model()))
}
