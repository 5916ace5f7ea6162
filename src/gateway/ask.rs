//! What is asked of the upstream in each attempt: the client's request, changed only where it must be.

use super::Failure;
use super::attempt::Form;
use crate::config::Config;
use crate::gemini::{RequestTraits, UnknownField};
use crate::naming::is_model;
use crate::openai::{
    ChatRequest, Step, asks_for_base64, fields, model_of, repair, steps, with_models, without,
};
use crate::pool::UnixMillis;
use crate::target::{Kind, Subject, Surface, Target, forwarded_query};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Fields that are left out of a request at most.
const MOST_LEFT_OUT: usize = 20;
/// The longest name of a field that is left out.
const LONGEST_FIELD: usize = 64;
/// The longest path to a field that is left out.
const LONGEST_PLACE: usize = 256;
/// Bytes of the list of fields that were left out, about.
const LONGEST_LIST: usize = 1_000;
/// Fields of a body without which a request would be another one, in lower case and without `_`.
const ESSENTIAL: [&str; 17] = [
    "cachedcontent",
    "contents",
    "functions",
    "generationconfig",
    "input",
    "instances",
    "messages",
    "model",
    "prompt",
    "requests",
    "responseformat",
    "stream",
    "systeminstruction",
    "text",
    "toolchoice",
    "toolconfig",
    "tools",
];

/// `off` has requests and answers of OpenAI's API pass as they are.
const REPAIR: HeaderName = HeaderName::from_static("x-keypool-repair");

/// See the module's documentation.
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: Uri,
    /// The path that was asked for, percent-decoded, where a client has a part in it.
    pub(super) path: String,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) form: Form,
    /// Whose quota it uses: a model, or what it is about.
    pub(super) subject: String,
    /// What it is like, as far as it decides whose fault a refusal is.
    pub(super) traits: RequestTraits,
    /// Fields that were left out since Google does not know them, as Google calls them.
    pub(super) dropped: BTreeSet<String>,
}

impl<'a> Ask<'a> {
    /// The client's request, with the default model and the models that aliases stand for put in.
    pub(super) fn new(
        config: &Config,
        target: &Target,
        request: &'a Parts,
        request_id: &str,
        body: Vec<u8>,
        now: UnixMillis,
    ) -> Result<Self, Failure> {
        let query = request.uri.query();
        let repairs = target.surface == Surface::OpenAi
            && config.repair
            && request
                .headers
                .get(REPAIR)
                .is_none_or(|value| value != "off");
        let Asked {
            subject,
            body,
            is_slow,
            answer,
        } = asked(config, target, body)?;
        let repair = repairs.then(|| repair::Context {
            model: subject.clone(),
            created: now.0.div_euclid(1000),
            // Ids that are made are this request's own.
            seed: BuildHasherDefault::<DefaultHasher>::default().hash_one(request_id),
            asked: answer,
        });
        Ok(Self {
            method: &request.method,
            uri: endpoint(config, target, query).ok_or(Failure::UnknownPath)?,
            path: match target.kind {
                // It says nothing but that.
                Kind::Chat => String::new(),
                Kind::Generate | Kind::Other => target.decoded_path().into_owned(),
            },
            headers: &request.headers,
            body,
            form: Form {
                surface: target.surface,
                kind: target.kind,
                is_slow,
                is_array: target.is_growing_array(query),
                repair,
            },
            subject,
            traits: RequestTraits::default(),
            dropped: BTreeSet::new(),
        })
    }

    /// Leaves out those of these fields of the body that are there.
    pub(super) fn leave_out_known(&mut self, unsupported: Option<&BTreeSet<String>>) {
        let Some(unsupported) = unsupported.filter(|_| self.form.repair.is_some()) else {
            return;
        };
        let there: BTreeSet<String> = fields(&self.body)
            .into_iter()
            .filter(|field| unsupported.contains(field))
            .filter(|name| {
                is_dispensable(&UnknownField {
                    place: String::new(),
                    name: name.clone(),
                })
            })
            .collect();
        let places: Vec<(Vec<Step>, &String)> =
            there.iter().map(|field| (Vec::new(), field)).collect();
        if let Some(body) = without(&self.body, &places) {
            self.body = body;
            self.dropped.extend(there);
        }
    }

    /// Leaves out fields that an error has named. Gives those of the body itself; `None` where nothing was left out, so that
    /// the same request would fail in the same way: a request says too little without an [essential](ESSENTIAL) field, and
    /// who sends more than [`MOST_LEFT_OUT`] that are unknown has to hear of it.
    pub(super) fn leave_out(&mut self, unknown: &[UnknownField]) -> Option<Vec<String>> {
        self.form.repair.as_ref()?;
        if !(1..=MOST_LEFT_OUT).contains(&unknown.len()) || !unknown.iter().all(is_dispensable) {
            return None;
        }
        let places: Option<Vec<(Vec<Step>, &str)>> = unknown
            .iter()
            .map(|field| Some((steps(&field.place)?, field.name.as_str())))
            .collect();
        self.body = without(&self.body, &places?)?;
        let own: BTreeSet<&String> = unknown
            .iter()
            .filter(|field| field.place.is_empty())
            .map(|field| &field.name)
            .collect();
        let own = own.into_iter().cloned().collect();
        self.dropped
            .extend(unknown.iter().map(|field| match &*field.place {
                "" => field.name.clone(),
                place => format!("{place}.{}", field.name),
            }));
        Some(own)
    }

    /// The fields that were left out, for a header; `None` without any.
    pub(super) fn dropped_header(&self) -> Option<HeaderValue> {
        let mut list = String::new();
        for (index, field) in self.dropped.iter().enumerate() {
            if list.len() + field.len() > LONGEST_LIST {
                list.push_str(&format!(", and {} more", self.dropped.len() - index));
                break;
            }
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(field);
        }
        HeaderValue::from_str(&list)
            .ok()
            .filter(|_| !list.is_empty())
    }
}

/// Whether a field has the name of one, in a place that is one, and may be missing.
fn is_dispensable(field: &UnknownField) -> bool {
    let UnknownField { place, name } = field;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = starts_well
        && name.len() <= LONGEST_FIELD
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_place = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
    let plain = name.replace('_', "").to_ascii_lowercase();
    let is_essential = place.is_empty() && ESSENTIAL.contains(&plain.as_str());
    is_name && place.len() <= LONGEST_PLACE && place.bytes().all(is_place) && !is_essential
}

/// What is read of a request.
struct Asked {
    /// Whose quota it uses.
    subject: String,
    /// Its body with the models that it means.
    body: Vec<u8>,
    /// See [`Form::is_slow`].
    is_slow: bool,
    /// What kind of answer is asked for.
    answer: repair::Asked,
}

fn asked(config: &Config, target: &Target, body: Vec<u8>) -> Result<Asked, Failure> {
    let mut answer = repair::Asked::Other;
    let (asked, body, is_slow) = match target.kind {
        Kind::Chat => {
            let chat = ChatRequest::parse(body, &config.default_model)?;
            answer = match chat.stream {
                true => repair::Asked::Stream {
                    include_usage: chat.include_usage,
                },
                false => repair::Asked::Completion,
            };
            (Some(chat.model), chat.body, chat.stream)
        }
        Kind::Generate | Kind::Other => {
            let asked = match &target.subject {
                // What is uploaded is content, whatever it says.
                Subject::BodyOr(_) if !target.is_upload() => model_of(&body),
                Subject::Path(_) | Subject::BodyOr(_) => None,
            };
            if target.surface == Surface::OpenAi && target.rest == "embeddings" {
                answer = repair::Asked::Embeddings {
                    as_base64: asks_for_base64(&body),
                };
            }
            (asked, body, target.may_be_slow())
        }
    };
    if asked
        .as_deref()
        .is_some_and(|model| !is_model(model) || !is_model(bare(model)))
    {
        return Err(Failure::no_model_name());
    }
    let subject = match (asked, &target.subject) {
        (Some(asked), _) => config.model_of(bare(&asked)).to_owned(),
        (None, Subject::Path(name) | Subject::BodyOr(name)) => name.clone(),
    };
    let renamed = if config.model_aliases.is_empty() || target.is_upload() {
        None
    } else {
        with_models(&body, |name: &str| {
            let model = config.model_of(bare(name));
            let before = name.strip_suffix(bare(name)).unwrap_or_default();
            (model != bare(name)).then(|| format!("{before}{model}"))
        })
    };
    Ok(Asked {
        subject,
        body: renamed.unwrap_or(body),
        is_slow,
        answer,
    })
}

/// A model's name as it is in the path: OpenAI's clients may put `models/` before it.
fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

fn endpoint(config: &Config, target: &Target, query: Option<&str>) -> Option<Uri> {
    let query = query.and_then(|query| forwarded_query(query, config.secrets()));
    match (target.kind, query) {
        (Kind::Chat, None) => Some(config.chat_endpoint.clone()),
        (Kind::Chat, Some(query)) => {
            let own = config.chat_endpoint.query();
            let query = own.map_or_else(|| query.clone(), |own| format!("{own}&{query}"));
            config.upstream_url(config.chat_endpoint.path(), Some(&query))
        }
        (Kind::Generate | Kind::Other, query) => {
            config.upstream_url(&target.path, query.as_deref())
        }
    }
}
