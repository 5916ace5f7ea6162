//! The models that the fake offers: some of each kind, as seen in 2026.

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Embedding,
    Video,
}

/// A model of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Model {
    /// Without `models/`.
    pub(crate) id: &'static str,
    pub(crate) display_name: &'static str,
    pub(crate) kind: Kind,
}

impl Model {
    const fn new(kind: Kind, id: &'static str, display_name: &'static str) -> Self {
        Self {
            id,
            display_name,
            kind,
        }
    }

    /// `supportedGenerationMethods` of the native list.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Chat => &["generateContent", "countTokens", "createCachedContent"],
            Kind::Embedding => &["embedContent", "countTextTokens", "countTokens"],
            Kind::Video => &["predictLongRunning"],
        }
    }

    /// Whether it generates images.
    pub(crate) fn draws(&self) -> bool {
        self.id.contains("-image")
    }

    /// Whether it generates speech.
    pub(crate) fn speaks(&self) -> bool {
        self.id.contains("-tts")
    }
}

const MODELS: [Model; 11] = [
    Model::new(Kind::Chat, "gemini-2.5-flash", "Gemini 2.5 Flash"),
    Model::new(Kind::Chat, "gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite"),
    Model::new(Kind::Chat, "gemini-2.5-flash-image", "Nano Banana"),
    Model::new(
        Kind::Chat,
        "gemini-2.5-flash-preview-tts",
        "Gemini 2.5 Flash Preview TTS",
    ),
    Model::new(Kind::Chat, "gemini-2.5-pro", "Gemini 2.5 Pro"),
    Model::new(Kind::Chat, "gemini-3.5-flash", "Gemini 3.5 Flash"),
    Model::new(Kind::Chat, "gemini-3.8-flash", "Gemini 3.8 Flash"),
    Model::new(Kind::Chat, "gemini-flash-latest", "Gemini Flash Latest"),
    Model::new(
        Kind::Chat,
        "gemini-flash-lite-latest",
        "Gemini Flash-Lite Latest",
    ),
    Model::new(Kind::Embedding, "gemini-embedding-001", "Gemini Embedding"),
    Model::new(Kind::Video, "veo-3.1-generate-preview", "Veo 3.1"),
];

/// All models, in the order of the list.
pub(crate) fn all() -> &'static [Model] {
    &MODELS
}

/// The model with that id, which may start with `models/`.
pub(crate) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == bare(id))
}

/// The id without `models/`.
pub(crate) fn bare(id: &str) -> &str {
    id.strip_prefix("models/").unwrap_or(id)
}

/// Whether the model is Gemini 3 or newer. Names without a number stand for the latest.
pub(crate) fn is_gemini_3(id: &str) -> bool {
    let version = bare(id).strip_prefix("gemini-").unwrap_or_default();
    let major = version.split(['.', '-']).next().unwrap_or_default();
    major.parse().is_ok_and(|major: u32| major >= 3) || version.ends_with("-latest")
}

/// The budget that leaves the amount of thinking to the model.
pub(crate) const DYNAMIC_BUDGET: i64 = -1;

/// How the thinking of a model can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// In tokens. Where it can be turned `off`, the budget may be 0 as well.
    Budget { least: i64, most: i64, off: bool },
    /// By these levels.
    Levels(&'static [&'static str]),
    /// Of no model that thinks, as far as is known.
    Unknown,
}

/// How the model's thinking can be limited (<https://ai.google.dev/gemini-api/docs/thinking>, as of
/// September 2026).
pub(crate) fn thinking(id: &str) -> Thinking {
    let id = bare(id);
    let has = |word: &str| id.contains(word);
    if is_gemini_3(id) {
        return Thinking::Levels(match () {
            () if has("-image") => &["MINIMAL", "HIGH"],
            () if has("-lite") || has("-3-flash") || has("-3.5-") || has("-3.6-") => {
                &["MINIMAL", "LOW", "MEDIUM", "HIGH"]
            }
            () => &["LOW", "MEDIUM", "HIGH"],
        });
    }
    let budget = |least, most, off| Thinking::Budget { least, most, off };
    match id.strip_prefix("gemini-2.5-").unwrap_or_default() {
        model if model.starts_with("flash-lite") => budget(512, 24_576, true),
        model if model.contains("-image") || model.contains("-tts") => Thinking::Unknown,
        model if model.starts_with("flash") => budget(0, 24_576, true),
        model if model.starts_with("pro") => budget(128, 32_768, false),
        _ => Thinking::Unknown,
    }
}

/// Whether the model refuses tool calls without their thought signatures.
pub(crate) fn requires_signatures(id: &str) -> bool {
    is_gemini_3(id) && !id.contains("-image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gemini_3_and_newer_require_signatures() {
        for (id, required) in [
            ("models/gemini-3-flash-preview", true),
            ("gemini-4-argon", true),
            ("gemini-flash-latest", true),
            ("gemini-3-pro-image", false),
            ("gemini-2.5-pro", false),
            ("gemma-4-31b-it", false),
            ("", false),
        ] {
            assert_eq!(requires_signatures(id), required, "{id}");
        }
    }
}
