//! The models that the fake knows: of those that were seen in 2026, of each kind some.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/models>, and ids that users published. The limits are those of the
//! documentation; the order is the fake's own.

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text in, text out.
    Chat,
    /// Text in, vectors out.
    Embedding,
    /// Text in, pictures out.
    Image,
    /// Text in, a video out.
    Video,
    /// Something that none of the fake's surfaces serves; it is listed all the same.
    Other,
}

/// A model in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Without `models/`.
    pub id: String,
    /// What it is called on Google's pages, where the list says so.
    pub display_name: Option<String>,
    /// What it can be asked for.
    pub kind: Kind,
}

impl Model {
    /// A model without a display name. `id` may have `models/` in front.
    pub fn new(id: &str, kind: Kind) -> Self {
        Self {
            id: bare(id).to_owned(),
            display_name: None,
            kind,
        }
    }

    /// `supportedGenerationMethods` of the native list.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Chat => &["generateContent", "countTokens", "createCachedContent"],
            Kind::Embedding => &["embedContent", "countTextTokens", "countTokens"],
            Kind::Image => &["predict"],
            Kind::Video => &["predictLongRunning"],
            Kind::Other if self.id == "aqa" => &["generateAnswer"],
            Kind::Other if self.is_live() => &["bidiGenerateContent"],
            Kind::Other => &[],
        }
    }

    /// Input that it takes, in tokens; `None` where that is not known.
    pub(crate) fn input_token_limit(&self) -> Option<u64> {
        match self.kind {
            Kind::Chat => Some(1_048_576),
            Kind::Embedding => Some(2048),
            Kind::Image | Kind::Video => Some(480),
            Kind::Other if self.id == "aqa" => Some(7168),
            Kind::Other if self.is_live() => Some(131_072),
            Kind::Other => None,
        }
    }

    fn is_live(&self) -> bool {
        self.id.ends_with("-live")
    }

    /// Whether it chats in pictures, too.
    pub(crate) fn draws(&self) -> bool {
        self.kind == Kind::Chat && self.id.contains("-image")
    }
}

/// The model's id without `models/`.
pub(crate) fn bare(id: &str) -> &str {
    id.strip_prefix("models/").unwrap_or(id)
}

/// Whether it is of Gemini 3 or newer. The names without a number lead to the latest. `id` is bare.
pub(crate) fn is_gemini_3(id: &str) -> bool {
    let version = id.strip_prefix("gemini-").unwrap_or_default();
    let major = version.split(['.', '-']).next().unwrap_or_default();
    major.parse().is_ok_and(|major: u32| major >= 3)
        || (!version.is_empty() && version.ends_with("-latest"))
}

/// Whether it refuses tool calls without their thought signatures. Models that draw do not. `id` is bare.
pub(crate) fn wants_signatures(id: &str) -> bool {
    is_gemini_3(id) && !id.contains("-image")
}

/// The list that a fake starts with.
pub(crate) fn known() -> Vec<Model> {
    let chat = [
        ("gemini-2.5-flash", Some("Gemini 2.5 Flash")),
        ("gemini-2.5-flash-lite", Some("Gemini 2.5 Flash-Lite")),
        ("gemini-2.5-pro", Some("Gemini 2.5 Pro")),
        ("gemini-3-flash-preview", Some("Gemini 3 Flash Preview")),
        ("gemini-3.1-pro-preview", Some("Gemini 3.1 Pro Preview")),
        ("gemini-3.1-flash-lite", Some("Gemini 3.1 Flash-Lite")),
        ("gemini-3.5-flash", Some("Gemini 3.5 Flash")),
        ("gemini-3.5-flash-lite", Some("Gemini 3.5 Flash-Lite")),
        ("gemini-3.6-flash", Some("Gemini 3.6 Flash")),
        ("gemini-3.7-flash", Some("Gemini 3.7 Flash")),
        ("gemini-3.8-flash", Some("Gemini 3.8 Flash")),
        ("gemini-flash-latest", Some("Gemini Flash Latest")),
        ("gemini-flash-lite-latest", Some("Gemini Flash-Lite Latest")),
        ("gemini-2.5-flash-image", None),
        ("gemma-4-31b-it", None),
    ];
    let embedding = [("gemini-embedding-001", None), ("gemini-embedding-2", None)];
    let image = [("imagen-4.0-generate-001", None)];
    let video = [("veo-3.1-generate-preview", None)];
    let other = [("gemini-3.8-live", None), ("aqa", None)];
    let of = |kind| {
        move |(id, name): (&str, Option<&str>)| Model {
            display_name: name.map(str::to_owned),
            ..Model::new(id, kind)
        }
    };
    chat.into_iter()
        .map(of(Kind::Chat))
        .chain(embedding.into_iter().map(of(Kind::Embedding)))
        .chain(image.into_iter().map(of(Kind::Image)))
        .chain(video.into_iter().map(of(Kind::Video)))
        .chain(other.into_iter().map(of(Kind::Other)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_models_want_signatures() {
        for (id, wants) in [
            ("gemini-3-flash-preview", true),
            ("gemini-3.8-flash", true),
            ("gemini-4-argon", true),
            ("gemini-flash-latest", true),
            ("gemini-3-pro-image", false),
            ("gemini-2.5-pro", false),
            ("gemini-embedding-001", false),
            ("gemma-4-31b-it", false),
            ("tunedModels/gemini-3", false),
            ("", false),
        ] {
            assert_eq!(wants_signatures(id), wants, "{id}");
        }
    }
}
