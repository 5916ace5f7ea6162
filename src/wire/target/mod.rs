//! What a request is for, by its path: which of Google's two surfaces, where there, whose quota it uses, and what its
//! answer is like.
//!
//! | path here | at Google | surface |
//! |---|---|---|
//! | `/v1beta/openai/…`, `/v1/…` | `/v1beta/openai/…` | OpenAI's |
//! | `/v1beta/…`, `/v1alpha/…`, `/upload/…`, `/download/…` | the same | Gemini's |
//! | `/v1/…` where the path can only be Gemini's, such as `/v1/models/M:generateContent`, or may be and Google's kind of credential came with it | the same | Gemini's |
//!
//! Addresses that are typed otherwise are read as what is meant (`address`). Paths that nobody knows are forwarded all
//! the same, since the upstream grows; those that Google is known not to have are not.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, <https://ai.google.dev/api>.

mod address;

pub use address::advice;

use crate::wire::naming::{is_model, word};
use crate::wire::redact::reveals;
use crate::wire::{Kind, Surface};
use http::Method;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

const COMPATIBLE: &str = "/v1beta/openai/";
const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];
/// What comes before the version in paths of large bodies.
const MEDIA: [&str; 2] = ["/upload", "/download"];
/// Collections that OpenAI's API does not have.
const GEMINIS_OWN: [&str; 7] = [
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
/// Query parameters that carry a credential, in lower case and without `-` and `_`; so does whatever ends in
/// [`CREDENTIAL_ENDINGS`].
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
/// How the name of a credential ends, but for [`PAGING`].
const CREDENTIAL_ENDINGS: [&str; 4] = ["token", "apikey", "authorization", "clientsecret"];
/// How the name of a place in a list ends.
const PAGING: &str = "pagetoken";
/// Of Google's system parameters that begin with `$`, those that only say what an answer looks like. Others change the
/// method, the headers or the caller of a request.
///
/// Source: <https://docs.cloud.google.com/apis/docs/system-parameters>.
const SYSTEM_PARAMETERS: [&str; 3] = ["$alt", "$fields", "$prettyPrint"];
/// Collections of models.
const MODELS: [&str; 2] = ["models/", "tunedModels/"];
/// How the path ends of a method whose answer comes bit by bit.
const STREAMED: &str = ":streamGenerateContent";

/// A method of Gemini's models, `models/M:name`. Others are forwarded, too.
struct MethodOfModel {
    name: &'static str,
    /// Its answer is what a model says.
    generates: bool,
    /// It uses the model's own quota.
    shares_quota: bool,
    /// See [`Target::is_repeatable`].
    is_repeatable: bool,
}

impl MethodOfModel {
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

    fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|method| method.name == name)
    }
}

/// Whose quota a request uses, beside the key's: the log's `model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The model that the path names; of a method with a quota of its own, with its name: `gemini-flash:countTokens`.
    Path(String),
    /// The model that the body names, or else this collection.
    BodyOr(String),
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which API.
    pub surface: Surface,
    /// How its answer is read.
    pub kind: Kind,
    /// The path at the upstream, encoded as it came.
    pub path: String,
    /// The path below the version, or OpenAI's `/v1/`.
    pub rest: String,
    /// Whose quota.
    pub subject: Subject,
    /// Doing it twice does no more than doing it once, but for its price; so it may be tried again after a failure that
    /// leaves open whether it was done.
    pub is_repeatable: bool,
}

impl Target {
    /// What `method` and `path` ask for; `None` for a path that is none of Google's ([`advice`] says what to do).
    /// `credential`: the API whose clients send credentials as this request does, which decides about
    /// paths below `/v1/` that both APIs have.
    pub fn of(method: &Method, path: &str, credential: Surface) -> Option<Self> {
        let meant = address::meant(path, credential);
        let decoded = slashes_of_ids(&meant);
        let path = decoded.as_deref().unwrap_or(&meant);
        if !is_plain(path) || address::missing(path).is_some() {
            return None;
        }
        let compatible = path.strip_prefix(COMPATIBLE);
        let either = path.strip_prefix("/v1/");
        match (compatible, either) {
            (Some(rest), _) => Some(Self::compatible(method, rest)),
            (None, Some(rest))
                if credential == Surface::OpenAi && !address::is_geminis(rest)
                    || address::is_openais(rest) =>
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
            is_repeatable: is_reading(method)
                || is_creation
                    && ["chat/completions", "embeddings", "images/generations"].contains(&rest),
        }
    }

    fn native(method: &Method, path: &str) -> Option<Self> {
        let below = MEDIA
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
        let method_of_model = verb
            .filter(|_| method == Method::POST)
            .and_then(MethodOfModel::named);
        Some(Self {
            surface: Surface::Gemini,
            kind: match method_of_model {
                Some(method) if method.generates => Kind::Generate,
                Some(_) | None => Kind::Other,
            },
            path: path.to_owned(),
            rest: rest.to_owned(),
            subject: native_subject(rest),
            is_repeatable: is_reading(method)
                || method_of_model.is_some_and(|method| method.is_repeatable),
        })
    }

    /// The same with another name for the model that the path names.
    pub fn renamed(&self, name_of: impl Fn(&str) -> String) -> Self {
        let renamed = || {
            let name = self.rest.strip_prefix("models/")?;
            let end = name.find(['/', ':']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            let name = percent_decode_str(name).decode_utf8().ok()?;
            let other = name_of(&name);
            if other == name {
                return None;
            }
            let rest = format!("models/{other}{behind}");
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

    /// The collection that the request is about: `models`, `files`.
    pub fn collection(&self) -> &str {
        collection(&self.rest)
    }

    /// The path, percent-decoded.
    pub fn decoded_path(&self) -> Cow<'_, str> {
        percent_decode_str(&self.path).decode_utf8_lossy()
    }

    /// Whether the path names a model that can be none.
    pub fn names_no_model(&self) -> bool {
        let decoded = percent_decode_str(&self.rest).decode_utf8_lossy();
        let Some(named) = MODELS
            .iter()
            .find_map(|collection| decoded.strip_prefix(collection))
        else {
            return false;
        };
        let name = match named.find("/operations/") {
            Some(end) => named.get(..end).unwrap_or(named),
            None => named.rsplit_once(':').map_or(named, |(name, _)| name),
        };
        !is_model(name)
    }

    /// Whether the request is a part of an upload, its body content.
    pub fn is_upload(&self) -> bool {
        self.path.starts_with("/upload/")
    }

    /// Whether the answer may come bit by bit, with pauses: all but what a model generates in one piece. Whether a chat's
    /// does says its body.
    pub fn may_be_slow(&self) -> bool {
        self.kind != Kind::Generate || self.path.ends_with(STREAMED)
    }

    /// Whether the answer is a JSON array that grows.
    pub fn is_growing_array(&self, query: Option<&str>) -> bool {
        let asks_for_events = || {
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .any(|(name, value)| (name == "alt" || name == "$alt") && value == "sse")
        };
        self.kind == Kind::Generate && self.path.ends_with(STREAMED) && !asks_for_events()
    }
}

/// What of a query the upstream gets, as it came; `None` where nothing is left. Parameters that carry a credential stay
/// here, by their name or by a value that is one of `secrets` or looks like a key, and so do system parameters of Google's
/// (`$…`) but for those that only say what an answer looks like.
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
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(passes)
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// The value of `key=…` in a query, as Google's clients send their credential.
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
        || CREDENTIAL_ENDINGS
            .iter()
            .any(|ending| name.ends_with(ending))
            && !name.ends_with(PAGING)
}

/// OpenAI's clients encode the slash of an id such as `batches/abc`, which at Google is one of the path.
fn slashes_of_ids(path: &str) -> Option<String> {
    let is_openais = path.starts_with(COMPATIBLE) || path.starts_with("/v1/");
    let has_any = path.contains("%2F") || path.contains("%2f");
    (is_openais && has_any).then(|| path.replace("%2F", "/").replace("%2f", "/"))
}

fn is_reading(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// No segment that is empty, or that a server on the way could take for a step up.
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
        let shares_quota = MethodOfModel::named(verb).is_some_and(|method| method.shares_quota);
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
