//! The request that each attempt sends: the client's request with the few changes that it needs.

use super::Failure;
use super::affinity::Uses;
use super::answer_form::AnswerForm;
use super::incoming::Incoming;
use crate::config::Config;
use crate::pool::{AnswerShape, Demand, UnixMillis};
use crate::wire::conversation::conversation;
use crate::wire::gemini::{UnknownField, signatures as native_signatures};
use crate::wire::json::{
    Field, Removed, parse_path, with_models, without_any, without_fields, without_nulls_in_messages,
};
use crate::wire::naming::is_model;
use crate::wire::openai::signatures::{self, ToolCall};
use crate::wire::openai::{ChatRequest, asks_for_base64, model_of, repair};
use crate::wire::request_traits::{RequestTraits, traits_of};
use crate::wire::target::{Subject, Target, advice, forwarded_query};
use crate::wire::translate;
use crate::wire::{Kind, Surface};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::memmem;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// The most fields that one error may remove from a request.
const MAX_REMOVED_FIELDS: usize = 20;
/// The longest path of the object that contains a removed field, in bytes.
const MAX_PATH_BYTES: usize = 256;
/// The approximate length of the header that lists the removed fields, in bytes.
const MAX_LIST_BYTES: usize = 1_000;
/// Fields that may be removed without changing what a request asks for, in lower case and without
/// `_`.
const DISPENSABLE: [&str; 34] = [
    // Sampling.
    "frequencypenalty",
    "logitbias",
    "logprobs",
    "minp",
    "prediction",
    "presencepenalty",
    "repetitionpenalty",
    "seed",
    "strict",
    "temperature",
    "topa",
    "topk",
    "toplogprobs",
    "topp",
    "typicalp",
    "verbosity",
    // Caching, storage and accounting.
    "cachecontrol",
    "metadata",
    "promptcachekey",
    "promptcacheretention",
    "safetyidentifier",
    "servicetier",
    "store",
    "streamoptions",
    "user",
    // Parts of earlier answers, which clients send back.
    "annotations",
    "index",
    "parsed",
    "parsedarguments",
    "providerspecificfields",
    "reasoning",
    "reasoningcontent",
    "reasoningdetails",
    "refusal",
];
/// A field that the pool's repair adds to answers and that Google rejects in requests.
const REPAIRED_FIELD: &str = "messages[].tool_calls[].index";

/// `off` turns repair off for one request.
const REPAIR: HeaderName = HeaderName::from_static("x-keypool-repair");

/// A request to the upstream, which attempts may change.
pub(super) struct UpstreamRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: Uri,
    /// The requested path, percent-decoded. Empty if it contains nothing that the client chose.
    pub(super) path: String,
    /// The client's headers.
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) form: AnswerForm,
    /// What the quota is counted for: a model, or a collection such as `files`.
    pub(super) subject: String,
    /// Properties that determine whose fault a refusal is.
    pub(super) traits: RequestTraits,
    is_repeatable: bool,
    /// The fields that were removed because Google does not know them, by Google's names.
    removed_fields: BTreeSet<String>,
    /// The thought signatures that were put back into the request.
    restored: BTreeSet<String>,
}

impl<'a> UpstreamRequest<'a> {
    /// Fills in the default model of the client's request and resolves aliases.
    ///
    /// # Errors
    /// The request is invalid, or its model name is malformed.
    pub(super) fn new(
        config: &Config,
        incoming: &Incoming<'a>,
        body: Vec<u8>,
        now: UnixMillis,
    ) -> Result<Self, Failure> {
        let Incoming {
            id, head, target, ..
        } = incoming;
        // Anthropic's parameters mean nothing to Google.
        let is_anthropics = incoming.translation == Some(translate::Form::Model);
        let query = head.uri.query().filter(|_| !is_anthropics);
        let repairs = target.surface == Surface::OpenAi
            && config.repair
            && head.headers.get(REPAIR).is_none_or(|value| value != "off");
        let parsed = ParsedBody::parse(config, incoming, body)?;
        let repair = repairs.then(|| repair::Context {
            model: parsed.subject.clone(),
            created: now.0.div_euclid(1000),
            // Makes generated ids differ between requests.
            seed: BuildHasherDefault::<DefaultHasher>::default().hash_one(*id),
            requested: parsed.requested,
        });
        Ok(Self {
            method: &head.method,
            uri: endpoint(config, target, query)
                .ok_or_else(|| Failure::UnknownPath(advice(&target.path)))?,
            path: match target.kind {
                // The path is the same for every chat.
                Kind::Chat => String::new(),
                Kind::Generate | Kind::Other => target.decoded_path().into_owned(),
            },
            headers: &head.headers,
            body: parsed.body,
            form: AnswerForm {
                api: incoming.api,
                surface: target.surface,
                kind: target.kind,
                may_pause: parsed.may_pause,
                is_array: target.is_growing_array(query),
                repair,
                translation: incoming.translation.clone(),
            },
            subject: parsed.subject,
            traits: RequestTraits::default(),
            is_repeatable: target.is_repeatable,
            removed_fields: incoming
                .left_out
                .iter()
                .copied()
                .map(str::to_owned)
                .collect(),
            restored: BTreeSet::new(),
        })
    }

    /// Reads the [traits](Self::traits) from the body.
    pub(super) fn read_traits(&mut self, target: &Target, uses: &Uses) {
        self.traits = RequestTraits {
            names_resource: uses.names_resource(),
            ..traits_of(target, &self.subject, &self.body)
        };
    }

    /// What the request needs from the pool.
    pub(super) fn demand(&self, config: &Config, uses: &Uses) -> Demand {
        let AnswerForm {
            surface,
            kind,
            may_pause,
            ..
        } = self.form;
        Demand {
            client_timeout_ms: super::headers::client_timeout_ms(self.headers),
            is_repeatable: self.is_repeatable,
            answer: match (kind, may_pause) {
                (_, false) => AnswerShape::Whole,
                (Kind::Other, true) => AnswerShape::Unknown,
                (Kind::Chat | Kind::Generate, true) => AnswerShape::Stream,
            },
            size: self.traits.size,
            owner: uses.owner.clone(),
            conversation: match config.sticky {
                true => conversation(surface, kind, &self.subject, &self.body),
                false => None,
            },
            asks_all_projects: false,
        }
    }

    /// The tool calls in the request that lack a thought signature.
    pub(super) fn unsigned_calls(&self) -> HashSet<ToolCall> {
        match self.signature_format() {
            Some(SignatureFormat::Chat) => signatures::unsigned(&self.body),
            Some(SignatureFormat::Native) => native_signatures::unsigned(&self.body),
            None => HashSet::new(),
        }
    }

    /// Restores known thought signatures where they are missing.
    pub(super) fn restore_signatures(&mut self, known: HashMap<ToolCall, String>) {
        let signed = match self.signature_format() {
            Some(SignatureFormat::Chat) => signatures::signed(&self.body, &known),
            Some(SignatureFormat::Native) => native_signatures::signed(&self.body, &known),
            None => None,
        };
        if let Some(body) = signed {
            self.body = body;
            self.restored.extend(known.into_values());
        }
    }

    /// Inserts a placeholder wherever a thought signature is missing.
    pub(super) fn put_placeholders(&mut self) -> Edit {
        let body = match self.signature_format() {
            Some(SignatureFormat::Chat) => {
                signatures::with_placeholders(&self.body, &BTreeSet::new())
            }
            Some(SignatureFormat::Native) => native_signatures::with_placeholders(&self.body),
            None => None,
        };
        self.replace_body(body)
    }

    /// Replaces signatures by placeholders after the upstream rejected one: those that were
    /// restored, and in a translated request all.
    pub(super) fn replace_signatures(&mut self) -> Edit {
        let restored = std::mem::take(&mut self.restored);
        let body = match self.signature_format() {
            Some(SignatureFormat::Chat) if !restored.is_empty() => {
                signatures::with_placeholders(&self.body, &restored)
            }
            Some(SignatureFormat::Native) => native_signatures::without_signatures(&self.body),
            Some(SignatureFormat::Chat) | None => None,
        };
        self.replace_body(body)
    }

    fn replace_body(&mut self, body: Option<Vec<u8>>) -> Edit {
        match body {
            Some(body) => {
                self.body = body;
                Edit::Made
            }
            None => Edit::None,
        }
    }

    /// How the request carries thought signatures, if the pool may edit them.
    fn signature_format(&self) -> Option<SignatureFormat> {
        if self.form.translation.is_some() {
            Some(SignatureFormat::Native)
        } else {
            let is_repaired = self.form.kind == Kind::Chat && self.form.repair.is_some();
            is_repaired.then_some(SignatureFormat::Chat)
        }
    }

    /// Removes the known unsupported fields, and those that the pool's repair added to earlier
    /// answers.
    pub(super) fn leave_out_known(&mut self, unsupported: Option<&BTreeSet<String>>) {
        if self.form.repair.is_none() {
            return;
        }
        if self.form.kind == Kind::Chat
            && let Some(body) = without_nulls_in_messages(&self.body)
        {
            self.body = body;
        }
        let has_repaired_field = || {
            [&b"\"tool_calls\""[..], b"\"index\""]
                .iter()
                .all(|name| memmem::find(&self.body, name).is_some())
        };
        let repaired =
            (self.form.kind == Kind::Chat && has_repaired_field()).then_some(REPAIRED_FIELD);
        let learned = unsupported.into_iter().flatten().map(String::as_str);
        let known: Vec<&str> = repaired.into_iter().chain(learned).collect();
        let fields: Vec<(&str, Field<&str>)> = known
            .into_iter()
            .filter_map(|known| {
                let (path, name) = known.rsplit_once('.').unwrap_or(("", known));
                is_dispensable(path, name).then_some(())?;
                Some((known, (parse_path(path)?, name)))
            })
            .collect();
        let (known, fields): (Vec<&str>, Vec<_>) = fields.into_iter().unzip();
        if fields.is_empty() {
            return;
        }
        if let Some(Removed { body, indices }) = without_any(&self.body, &fields) {
            self.body = body;
            let found = indices.into_iter().filter_map(|number| known.get(number));
            let reported = found.filter(|known| **known != REPAIRED_FIELD);
            self.removed_fields
                .extend(reported.map(|known| (*known).to_owned()));
        }
    }

    /// Removes the fields that an error named, and returns them with `[]` in place of each index.
    ///
    /// `None` if the request is unchanged, because a field is not [dispensable](DISPENSABLE) or
    /// there are more than [`MAX_REMOVED_FIELDS`].
    pub(super) fn leave_out(&mut self, unknown: &[UnknownField]) -> Option<Vec<String>> {
        self.form.repair.as_ref()?;
        let is_optional = |field: &UnknownField| is_dispensable(&field.path, &field.name);
        if !(1..=MAX_REMOVED_FIELDS).contains(&unknown.len()) || !unknown.iter().all(is_optional) {
            return None;
        }
        let fields: Option<Vec<Field<&str>>> = unknown
            .iter()
            .map(|field| Some((parse_path(&field.path)?, field.name.as_str())))
            .collect();
        self.body = without_fields(&self.body, &fields?)?;
        let full_name = |path: &str, name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let removed = unknown.iter();
        self.removed_fields
            .extend(removed.map(|field| full_name(&field.path, &field.name)));
        // `collect` would add a sort of its own, 5 kB, to the component.
        let mut patterns = BTreeSet::new();
        patterns.extend(
            unknown
                .iter()
                .map(|field| full_name(&without_indices(&field.path), &field.name)),
        );
        Some(patterns.into_iter().collect())
    }

    /// The header that lists the removed fields; `None` if there are none.
    pub(super) fn dropped_header(&self) -> Option<HeaderValue> {
        let mut list = String::new();
        for (index, field) in self.removed_fields.iter().enumerate() {
            if list.len() + field.len() > MAX_LIST_BYTES {
                let remaining = self.removed_fields.len() - index;
                list.push_str(&format!(", and {remaining} more"));
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

/// Where a request carries thought signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignatureFormat {
    /// In the messages of OpenAI's API.
    Chat,
    /// In the contents of Gemini's own API.
    Native,
}

/// Whether a request was changed, so that a retry may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Made,
    None,
}

/// Whether a field is one of [`DISPENSABLE`] in an object with a valid path.
fn is_dispensable(path: &str, name: &str) -> bool {
    let is_path_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
    let normalized = name.replace('_', "").to_ascii_lowercase();
    DISPENSABLE.contains(&normalized.as_str())
        && path.len() <= MAX_PATH_BYTES
        && path.bytes().all(is_path_byte)
}

/// Turns `messages[3].content[0]` into `messages[].content[]`.
fn without_indices(path: &str) -> String {
    let pieces = path.split('[').map(|piece| match piece.split_once(']') {
        Some((_, rest)) => format!("]{rest}"),
        None => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("[")
}

/// A body with what was parsed from it.
struct ParsedBody {
    /// See [`UpstreamRequest::subject`].
    subject: String,
    /// The body with model aliases resolved.
    body: Vec<u8>,
    /// See [`AnswerForm::may_pause`].
    may_pause: bool,
    requested: repair::Requested,
}

impl ParsedBody {
    fn parse(config: &Config, incoming: &Incoming<'_>, body: Vec<u8>) -> Result<Self, Failure> {
        let target = &incoming.target;
        let mut requested = repair::Requested::Other;
        let (model, body, may_pause) = match target.kind {
            Kind::Chat => {
                let chat = ChatRequest::parse(body, &config.default_model)?;
                requested = match chat.stream {
                    true => repair::Requested::Stream {
                        include_usage: chat.include_usage,
                    },
                    false => repair::Requested::Completion,
                };
                (Some(chat.model), chat.body, chat.stream)
            }
            Kind::Generate | Kind::Other => {
                let model = match &target.subject {
                    // An upload is opaque content.
                    Subject::BodyOr(_) if !target.is_upload() => model_of(&body),
                    Subject::Path(_) | Subject::BodyOr(_) => None,
                };
                if target.surface == Surface::OpenAi && target.rest == "embeddings" {
                    requested = match asks_for_base64(&body) {
                        true => repair::Requested::Base64Embeddings,
                        false => repair::Requested::Embeddings,
                    };
                }
                (model, body, target.may_be_slow())
            }
        };
        let is_valid = |model: &str| is_model(model) && is_model(bare(model));
        if model.as_deref().is_some_and(|model| !is_valid(model)) {
            return Err(Failure::no_model_name());
        }
        let subject = match (model, &target.subject) {
            (Some(model), _) => config.model_of(bare(&model)).to_owned(),
            (None, Subject::Path(name) | Subject::BodyOr(name)) => name.clone(),
        };
        // A translated request names the model itself.
        let keeps_names = target.is_upload() || incoming.translation.is_some();
        let renamed = match config.model_aliases.is_empty() || keeps_names {
            true => None,
            false => with_models(&body, |name: &str| {
                let model = config.model_of(bare(name));
                let prefix = name.strip_suffix(bare(name)).unwrap_or_default();
                (model != bare(name)).then(|| format!("{prefix}{model}"))
            }),
        };
        Ok(Self {
            subject,
            body: renamed.unwrap_or(body),
            may_pause,
            requested,
        })
    }
}

/// A model's name without `models/`, which OpenAI's clients may put before it.
fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

fn endpoint(config: &Config, target: &Target, query: Option<&str>) -> Option<Uri> {
    let query = query.and_then(|query| forwarded_query(query, config.secrets()));
    match (target.kind, query) {
        (Kind::Chat, None) => Some(config.chat_endpoint.clone()),
        (Kind::Chat, Some(query)) => {
            let query = match config.chat_endpoint.query() {
                Some(configured) => format!("{configured}&{query}"),
                None => query,
            };
            config.upstream_url(config.chat_endpoint.path(), Some(&query))
        }
        (Kind::Generate | Kind::Other, query) => {
            config.upstream_url(&target.path, query.as_deref())
        }
    }
}
