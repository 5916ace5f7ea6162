//! A translated request.

/// What a translation depends on besides the request.
pub struct Context<'a> {
    /// The model for requests that name none.
    pub default_model: &'a str,
    /// Resolves aliases of models.
    pub model_of: &'a dyn Fn(&str) -> String,
    /// When the request arrived, in seconds since 1970.
    pub created: i64,
    /// Makes generated ids differ between requests.
    pub seed: u64,
}

impl Context<'_> {
    /// The model for a request that names this one.
    pub(crate) fn model(&self, requested: Option<&str>) -> String {
        let requested = requested.filter(|name| !name.trim().is_empty());
        let name = requested.unwrap_or(self.default_model);
        (self.model_of)(name.strip_prefix("models/").unwrap_or(name))
    }
}

/// A request for Gemini, and how to translate its answer.
#[derive(Debug)]
pub struct Translated<F> {
    /// The model.
    pub model: String,
    /// The model's method.
    pub method: Method,
    /// The body.
    pub body: Vec<u8>,
    /// The form of the answer.
    pub form: F,
    /// The parameters that were left out although they mean something, by their paths with `[]` in
    /// place of each index.
    pub left_out: Vec<&'static str>,
}

impl<F> Translated<F> {
    /// The same request, with its form as one of several.
    pub(crate) fn map_form<G>(self, wrap: impl FnOnce(F) -> G) -> Translated<G> {
        Translated {
            model: self.model,
            method: self.method,
            body: self.body,
            form: wrap(self.form),
            left_out: self.left_out,
        }
    }
}

/// What is left out if a request has both a web search and functions. Codex declares both unasked.
/// Gemini 2.5 refuses the combination. Gemini 3 allows it
/// (<https://ai.google.dev/gemini-api/docs/tool-combination>), but Google charges for searches and
/// answers many projects without billing with a 429, so Codex could not use a pool of free keys.
pub(crate) const SEARCH_BESIDE_FUNCTIONS: &str = "tools[].web_search";

/// A method of Gemini's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `generateContent`
    Generate,
    /// `streamGenerateContent`, as events.
    Stream,
    /// `countTokens`
    CountTokens,
}

impl Method {
    /// The path and query for a model.
    pub fn path(self, model: &str) -> String {
        match self {
            Self::Generate => format!("/v1beta/models/{model}:generateContent"),
            Self::Stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Self::CountTokens => format!("/v1beta/models/{model}:countTokens"),
        }
    }
}
