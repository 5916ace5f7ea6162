//! Determines from its path what a request is for: the API surface, the path at the upstream, the
//! quota it uses, and the format of its answer.
//!
//! | path here | at Google | surface |
//! |---|---|---|
//! | `/v1beta/openai/…`, `/v1/…` | `/v1beta/openai/…` | OpenAI's |
//! | `/v1/responses`, `/v1/messages` and others of [`Endpoint`] | none: the request is translated | Gemini's |
//! | `/v1beta/…`, `/v1alpha/…`, `/upload/…`, `/download/…` | the same | Gemini's |
//! | `/v1/…` if the path can only be Gemini's, such as `/v1/models/M:generateContent`, or is ambiguous and the request has Google's kind of credential | the same | Gemini's |
//!
//! Mistyped addresses are resolved (`address`). Unknown paths are forwarded, since the upstream may
//! gain new ones; paths that Google is known to lack are not.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, <https://ai.google.dev/api>.

mod address;

pub use address::advice;

use crate::wire::naming::{is_model, word};
use crate::wire::redact::reveals;
use crate::wire::translate::Endpoint;
use crate::wire::{ClientApi, Kind, Surface};
use http::Method;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

const COMPATIBLE: &str = "/v1beta/openai/";
const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];
/// Prefixes before the version, for media paths.
const MEDIA_PREFIXES: [&str; 2] = ["/upload", "/download"];
/// Collections that OpenAI's API lacks.
const GEMINI_ONLY: [&str; 7] = [
    "auth_tokens",
    "cachedContents",
    "corpora",
    "fileSearchStores",
    "interactions",
    "operations",
    "tunedModels",
];
/// Collections of both APIs.
const SHARED: [&str; 3] = ["models", "files", "batches"];
/// Query parameters that carry a credential, in lower case and without `-` and `_`. So do those
/// with one of [`CREDENTIAL_SUFFIXES`].
const CREDENTIALS: [&str; 9] = [
    "key",
    "auth",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "password",
    "secret",
    "googkey",
];
/// Suffixes of parameters that carry a credential, except for [`PAGE_TOKEN_SUFFIX`].
const CREDENTIAL_SUFFIXES: [&str; 4] = ["token", "apikey", "authorization", "clientsecret"];
/// Suffix of page tokens.
const PAGE_TOKEN_SUFFIX: &str = "pagetoken";
/// Google's `$` system parameters that only affect the format of the answer. Others change the
/// method, the headers or the caller of a request.
///
/// Source: <https://docs.cloud.google.com/apis/docs/system-parameters>.
const SYSTEM_PARAMETERS: [&str; 3] = ["$alt", "$fields", "$prettyPrint"];
/// Collections of models.
const MODELS: [&str; 2] = ["models/", "tunedModels/"];
/// Suffix of paths whose method streams its answer.
const STREAMED_SUFFIX: &str = ":streamGenerateContent";

/// A method of Gemini's models, `models/M:name`. Unlisted methods are forwarded, too.
struct ModelMethod {
    name: &'static str,
    /// The answer is generated content.
    generates: bool,
    /// The method uses the model's own quota.
    shares_quota: bool,
    /// See [`Target::is_repeatable`].
    is_repeatable: bool,
}

impl ModelMethod {
    const ALL: &[Self] = &[
        Self::new("generateContent", true, true, true),
        Self::new("streamGenerateContent", true, true, true),
        Self::new("countTokens", false, false, true),
        Self::new("embedContent", false, true, true),
        Self::new("batchEmbedContents", false, true, true),
        Self::new("predict", false, true, true),
        Self::new("predictLongRunning", false, true, false),
    ];

    const fn new(
        name: &'static str,
        generates: bool,
        shares_quota: bool,
        is_repeatable: bool,
    ) -> Self {
        Self {
            name,
            generates,
            shares_quota,
            is_repeatable,
        }
    }

    fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|method| method.name == name)
    }
}

/// Whose quota a request uses, apart from the key's. Logged as `model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The model named by the path. For a method with a separate quota, its name is appended:
    /// `gemini-flash:countTokens`.
    Path(String),
    /// The model named by the body, or else this collection.
    BodyOr(String),
}

/// The target of a request; see the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The API.
    pub surface: Surface,
    /// How the answer is read.
    pub kind: Kind,
    /// The path at the upstream, still percent-encoded.
    pub path: String,
    /// The path below the version, or below OpenAI's `/v1/`.
    pub rest: String,
    /// Whose quota is used.
    pub subject: Subject,
    /// Repeating the request has no effect other than its cost, so it may be retried after a
    /// failure that leaves open whether it was processed.
    pub is_repeatable: bool,
    /// The endpoint if Google does not serve it, so that the request must be translated.
    pub endpoint: Option<Endpoint>,
}

impl Target {
    /// Determines the target of `method` and `path`; `None` if Google has no such path ([`advice`]
    /// says what to do).
    ///
    /// `credential` is the API whose clients send credentials the way this request does. It decides
    /// about paths below `/v1/` that both APIs have.
    pub fn of(method: &Method, path: &str, credential: Surface) -> Option<Self> {
        let resolved = address::resolve(path, credential);
        let decoded = slashes_of_ids(&resolved);
        let path = decoded.as_deref().unwrap_or(&resolved);
        let compatible = path.strip_prefix(COMPATIBLE);
        let either = path.strip_prefix("/v1/");
        if let Some(rest) = compatible.or(either)
            && let Some(endpoint) = Endpoint::of(rest)
        {
            return Some(Self::translated(endpoint, rest));
        }
        if !is_plain(path) || address::advice_if_unavailable(path).is_some() {
            return None;
        }
        match (compatible, either) {
            (Some(rest), _) => Some(Self::compatible(method, rest)),
            (None, Some(rest))
                if credential == Surface::OpenAi && !address::is_gemini_only(rest)
                    || address::is_openai_only(rest) =>
            {
                Some(Self::compatible(method, rest))
            }
            _ => Self::native(method, path),
        }
    }

    fn compatible(method: &Method, rest: &str) -> Self {
        let is_creation = method == Method::POST;
        Self {
            surface: Surface::OpenAi,
            kind: if rest == "chat/completions" {
                Kind::Chat
            } else {
                Kind::Other
            },
            path: format!("{COMPATIBLE}{rest}"),
            rest: rest.to_owned(),
            subject: Subject::BodyOr(word(collection(rest)).to_owned()),
            is_repeatable: is_read(method)
                || is_creation
                    && ["chat/completions", "embeddings", "images/generations"].contains(&rest),
            endpoint: None,
        }
    }

    /// Returns the same path of Gemini's own API, if the target is a model or the list of models.
    pub fn native_models(&self, method: &Method) -> Option<Self> {
        match self.collection() {
            "models" => Self::native(method, &format!("/v1beta/{}", self.rest)),
            _ => None,
        }
    }

    fn translated(endpoint: Endpoint, rest: &str) -> Self {
        Self {
            surface: Surface::Gemini,
            kind: Kind::Generate,
            path: format!("/v1/{rest}"),
            rest: rest.to_owned(),
            subject: Subject::BodyOr(word(collection(rest)).to_owned()),
            is_repeatable: true,
            endpoint: Some(endpoint),
        }
    }

    /// The API that the client speaks.
    pub fn api(&self) -> ClientApi {
        self.endpoint.map_or(self.surface.into(), Endpoint::api)
    }

    fn native(method: &Method, path: &str) -> Option<Self> {
        let below = MEDIA_PREFIXES
            .iter()
            .find_map(|media| path.strip_prefix(media))
            .unwrap_or(path);
        let rest = VERSIONS.iter().find_map(|version| {
            below
                .strip_prefix('/')?
                .strip_prefix(version)?
                .strip_prefix('/')
        })?;
        let verb = rest.rsplit_once(':').map(|(_, verb)| verb);
        let model_method = verb
            .filter(|_| method == Method::POST)
            .and_then(ModelMethod::by_name);
        Some(Self {
            surface: Surface::Gemini,
            kind: match model_method {
                Some(method) if method.generates => Kind::Generate,
                Some(_) | None => Kind::Other,
            },
            path: path.to_owned(),
            rest: rest.to_owned(),
            subject: native_subject(rest),
            is_repeatable: is_read(method)
                || model_method.is_some_and(|method| method.is_repeatable),
            endpoint: None,
        })
    }

    /// Returns the target with the model in its path renamed.
    pub fn renamed(&self, name_of: impl Fn(&str) -> String) -> Self {
        let renamed = || {
            let name = self.rest.strip_prefix("models/")?;
            let end = name.find(['/', ':']).unwrap_or(name.len());
            let (name, suffix) = name.split_at(end);
            let name = percent_decode_str(name).decode_utf8().ok()?;
            let new_name = name_of(&name);
            if new_name == name {
                return None;
            }
            let rest = format!("models/{new_name}{suffix}");
            let before = self.path.strip_suffix(&self.rest)?;
            Some(Self {
                path: format!("{before}{rest}"),
                subject: match self.surface {
                    Surface::OpenAi => self.subject.clone(),
                    Surface::Gemini => native_subject(&rest),
                },
                rest,
                ..self.clone()
            })
        };
        renamed().unwrap_or_else(|| self.clone())
    }

    /// The collection that the request is about, such as `models` or `files`.
    pub fn collection(&self) -> &str {
        collection(&self.rest)
    }

    /// The percent-decoded path.
    pub fn decoded_path(&self) -> Cow<'_, str> {
        percent_decode_str(&self.path).decode_utf8_lossy()
    }

    /// Whether the path contains an invalid model name.
    pub fn has_invalid_model(&self) -> bool {
        let decoded = percent_decode_str(&self.rest).decode_utf8_lossy();
        let Some(model_and_method) = MODELS
            .iter()
            .find_map(|collection| decoded.strip_prefix(collection))
        else {
            return false;
        };
        let name = match model_and_method.find("/operations/") {
            Some(end) => model_and_method.get(..end).unwrap_or(model_and_method),
            None => model_and_method
                .rsplit_once(':')
                .map_or(model_and_method, |(name, _)| name),
        };
        !is_model(name)
    }

    /// Whether the request is part of an upload, so that its body is content.
    pub fn is_upload(&self) -> bool {
        self.path.starts_with("/upload/")
    }

    /// Whether the answer may arrive with pauses: all except content generated in one piece.
    /// Whether a chat streams depends on its body.
    pub fn may_be_slow(&self) -> bool {
        self.kind != Kind::Generate || self.path.ends_with(STREAMED_SUFFIX)
    }

    /// Whether the answer is an incrementally sent JSON array.
    pub fn is_growing_array(&self, query: Option<&str>) -> bool {
        let asks_for_events = || {
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .any(|(name, value)| (name == "alt" || name == "$alt") && value == "sse")
        };
        self.kind == Kind::Generate && self.path.ends_with(STREAMED_SUFFIX) && !asks_for_events()
    }
}

/// Returns the part of a query to forward, as it was sent; `None` if nothing remains.
///
/// Removes parameters with a credential, which are recognized by name, by a value among `secrets`,
/// or by a value that looks like a key; and Google's system parameters (`$…`), except for those
/// that only affect the format of the answer.
pub fn forwarded_query<'a>(
    query: &str,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    let passes = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes()).all(|(name, value)| {
            let is_system = name.starts_with('$');
            (!is_system || SYSTEM_PARAMETERS.contains(&&*name))
                && !is_credential(&name)
                && !reveals(&name, secrets.clone())
                && !reveals(&value, secrets.clone())
        })
    };
    let forwarded: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(passes)
        .collect();
    (!forwarded.is_empty()).then(|| forwarded.join("&"))
}

/// Returns the value of `key=…` in a query, where Google's clients send their credential.
pub fn key_of_query(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "key")
        .map(|(_, value)| value.into_owned())
}

fn is_credential(name: &str) -> bool {
    let name: String = name
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric())
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let name = name.strip_prefix('x').unwrap_or(&name);
    CREDENTIALS.contains(&name)
        || CREDENTIAL_SUFFIXES
            .iter()
            .any(|ending| name.ends_with(ending))
            && !name.ends_with(PAGE_TOKEN_SUFFIX)
}

/// Decodes the slash in ids such as `batches/abc`: OpenAI's clients encode it, but Google expects
/// it in the path.
fn slashes_of_ids(path: &str) -> Option<String> {
    let is_openai = path.starts_with(COMPATIBLE) || path.starts_with("/v1/");
    let has_any = path.contains("%2F") || path.contains("%2f");
    (is_openai && has_any).then(|| path.replace("%2F", "/").replace("%2f", "/"))
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Whether no segment is empty or could be taken for a step up by an intermediate server.
fn is_plain(path: &str) -> bool {
    let mut segments = path.split('/');
    segments.next() == Some("")
        && segments.all(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8_lossy();
            !segment.is_empty()
                && decoded != "."
                && decoded != ".."
                && !decoded.contains(['/', '\\'])
                && !decoded.contains(char::is_control)
        })
}

fn collection(rest: &str) -> &str {
    rest.split(['/', ':']).next().unwrap_or(rest)
}

fn native_subject(rest: &str) -> Subject {
    let collection = collection(rest);
    let path = || {
        // `models/M:verb`, and nothing below it.
        let (name, verb) = rest.rsplit_once(':')?;
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        let model = match collection {
            "models" => decoded.strip_prefix("models/")?,
            "tunedModels" => &decoded,
            _ => return None,
        };
        let model = model.to_owned();
        let shares_quota = ModelMethod::by_name(verb).is_some_and(|method| method.shares_quota);
        Some(if shares_quota {
            model
        } else {
            format!("{model}:{}", word(verb))
        })
    };
    match path() {
        Some(model) => Subject::Path(model),
        None => Subject::BodyOr(word(collection).to_owned()),
    }
}

#[cfg(test)]
mod tests;
