//! The request that each attempt sends: the client's own, changed only where it must be.

use super::Failure;
use super::affinity::Uses;
use super::incoming::Incoming;
use crate::config::Config;
use crate::pool::{AnswerShape, Demand, UnixMillis};
use crate::wire::conversation::conversation;
use crate::wire::gemini::{RequestTraits, UnknownField};
use crate::wire::json::{
    Field, steps, with_models, without, without_any, without_nulls_in_messages,
};
use crate::wire::naming::is_model;
use crate::wire::openai::signatures::{self, ToolCall};
use crate::wire::openai::{ChatRequest, asks_for_base64, model_of, repair};
use crate::wire::request_traits::traits_of;
use crate::wire::target::{Subject, Target, advice, forwarded_query};
use crate::wire::{Kind, Surface};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::memmem;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Fields left out of a request at most.
const MOST_LEFT_OUT: usize = 20;
/// The longest path to a field that is left out, in bytes.
const LONGEST_PLACE: usize = 256;
/// The length of the list of fields that were left out, in bytes, give or take a field.
const LONGEST_LIST: usize = 1_000;
/// Fields without which a request asks for the same, in lower case and without `_`.
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
    // Parts of earlier answers that clients send back.
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
/// A field that the pool's own repair puts into answers, and Google refuses when it comes back.
const REPAIRED_FIELD: &str = "messages[].tool_calls[].index";

/// `off` turns repair off for one request.
const REPAIR: HeaderName = HeaderName::from_static("x-keypool-repair");

/// See the module's documentation.
pub(super) struct UpstreamRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: Uri,
    /// The requested path, percent-decoded, if a client wrote a part of it.
    pub(super) path: String,
    /// The client's headers.
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) form: AnswerForm,
    /// Whose quota it uses: a model, or the collection that it is about.
    pub(super) subject: String,
    /// What it is like, as far as it decides whose fault a refusal is.
    pub(super) traits: RequestTraits,
    is_repeatable: bool,
    /// Fields that were left out because Google does not know them, by Google's names.
    dropped: BTreeSet<String>,
    /// Thought signatures that were put back into the request.
    restored: BTreeSet<String>,
}

/// What the answer is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerForm {
    pub(super) surface: Surface,
    pub(super) kind: Kind,
    /// Whether it arrives bit by bit, with pauses, or may.
    pub(super) may_pause: bool,
    /// Whether it is a JSON array that grows.
    pub(super) is_array: bool,
    /// What repairing it takes, if it is repaired.
    pub(super) repair: Option<repair::Context>,
}

impl<'a> UpstreamRequest<'a> {
    /// The client's request, with the default model filled in and aliases resolved.
    ///
    /// # Errors
    /// It is not a valid request, or names no possible model.
    pub(super) fn new(
        config: &Config,
        incoming: &Incoming<'a>,
        body: Vec<u8>,
        now: UnixMillis,
    ) -> Result<Self, Failure> {
        let Incoming { id, head, target } = incoming;
        let query = head.uri.query();
        let repairs = target.surface == Surface::OpenAi
            && config.repair
            && head.headers.get(REPAIR).is_none_or(|value| value != "off");
        let parsed = ParsedBody::parse(config, target, body)?;
        let repair = repairs.then(|| repair::Context {
            model: parsed.subject.clone(),
            created: now.0.div_euclid(1000),
            // Generated ids differ from request to request.
            seed: BuildHasherDefault::<DefaultHasher>::default().hash_one(*id),
            requested: parsed.requested,
        });
        Ok(Self {
            method: &head.method,
            uri: endpoint(config, target, query)
                .ok_or_else(|| Failure::UnknownPath(advice(&target.path)))?,
            path: match target.kind {
                // The same for every chat.
                Kind::Chat => String::new(),
                Kind::Generate | Kind::Other => target.decoded_path().into_owned(),
            },
            headers: &head.headers,
            body: parsed.body,
            form: AnswerForm {
                surface: target.surface,
                kind: target.kind,
                may_pause: parsed.may_pause,
                is_array: target.is_growing_array(query),
                repair,
            },
            subject: parsed.subject,
            traits: RequestTraits::default(),
            is_repeatable: target.is_repeatable,
            dropped: BTreeSet::new(),
            restored: BTreeSet::new(),
        })
    }

    /// Reads what decides whose fault a refusal is.
    pub(super) fn read_traits(&mut self, target: &Target, uses: &Uses) {
        self.traits = traits_of(target, &self.subject, uses.names_resource(), &self.body);
    }

    /// What the request asks of the pool.
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
    pub(super) fn unsigned_calls(&self) -> BTreeSet<ToolCall> {
        if self.is_repaired_chat() {
            signatures::unsigned(&self.body)
        } else {
            BTreeSet::new()
        }
    }

    /// Puts known thought signatures back where they are missing.
    pub(super) fn restore_signatures(&mut self, known: HashMap<ToolCall, String>) {
        if let Some(body) = signatures::signed(&self.body, &known) {
            self.body = body;
            self.restored.extend(known.into_values());
        }
    }

    /// Puts a placeholder wherever a thought signature is missing.
    pub(super) fn put_placeholders(&mut self) -> Change {
        self.sign(&BTreeSet::new())
    }

    /// Also replaces signatures that were put back, which were refused.
    pub(super) fn replace_restored_signatures(&mut self) -> Change {
        let restored = std::mem::take(&mut self.restored);
        match restored.is_empty() {
            true => Change::None,
            false => self.sign(&restored),
        }
    }

    fn sign(&mut self, refused: &BTreeSet<String>) -> Change {
        if !self.is_repaired_chat() {
            return Change::None;
        }
        match signatures::with_placeholders(&self.body, refused) {
            Some(body) => {
                self.body = body;
                Change::Made
            }
            None => Change::None,
        }
    }

    fn is_repaired_chat(&self) -> bool {
        self.form.kind == Kind::Chat && self.form.repair.is_some()
    }

    /// Leaves out the unsupported fields that the request has, and what the pool's own repair has put
    /// into earlier answers.
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
        let own = (self.form.kind == Kind::Chat && has_repaired_field()).then_some(REPAIRED_FIELD);
        let learned = unsupported.into_iter().flatten().map(String::as_str);
        let known: Vec<&str> = own.into_iter().chain(learned).collect();
        let fields: Vec<(&str, Field<&str>)> = known
            .into_iter()
            .filter_map(|known| {
                let (place, name) = known.rsplit_once('.').unwrap_or(("", known));
                (is_dispensable(place, name)).then_some(())?;
                Some((known, (steps(place)?, name)))
            })
            .collect();
        let (known, fields): (Vec<&str>, Vec<_>) = fields.into_iter().unzip();
        if fields.is_empty() {
            return;
        }
        if let Some((body, found)) = without_any(&self.body, &fields) {
            self.body = body;
            let found = found.into_iter().filter_map(|number| known.get(number));
            let reported = found.filter(|known| **known != REPAIRED_FIELD);
            self.dropped
                .extend(reported.map(|known| (*known).to_owned()));
        }
    }

    /// Leaves out fields that an error has named, and returns them as they are remembered, with `[]`
    /// for every element. `None` if the request is unchanged and would fail in the same way: only
    /// [dispensable](DISPENSABLE) fields are left out, and no more than [`MOST_LEFT_OUT`].
    pub(super) fn leave_out(&mut self, unknown: &[UnknownField]) -> Option<Vec<String>> {
        self.form.repair.as_ref()?;
        let is_optional = |field: &UnknownField| is_dispensable(&field.place, &field.name);
        if !(1..=MOST_LEFT_OUT).contains(&unknown.len()) || !unknown.iter().all(is_optional) {
            return None;
        }
        let fields: Option<Vec<Field<&str>>> = unknown
            .iter()
            .map(|field| Some((steps(&field.place)?, field.name.as_str())))
            .collect();
        self.body = without(&self.body, &fields?)?;
        let full_name = |place: &str, name: &str| match place {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        };
        let named = unknown.iter();
        self.dropped
            .extend(named.map(|field| full_name(&field.place, &field.name)));
        let patterns: BTreeSet<String> = unknown
            .iter()
            .map(|field| full_name(&without_positions(&field.place), &field.name))
            .collect();
        Some(patterns.into_iter().collect())
    }

    /// The fields that were left out, for a header.
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

/// Whether a request was changed, so that it may fare better than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Made,
    None,
}

/// Whether a field is one of [`DISPENSABLE`], in a path that can be one.
fn is_dispensable(place: &str, name: &str) -> bool {
    let is_of_place = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
    let plain = name.replace('_', "").to_ascii_lowercase();
    DISPENSABLE.contains(&plain.as_str())
        && place.len() <= LONGEST_PLACE
        && place.bytes().all(is_of_place)
}

/// `messages[3].content[0]` as `messages[].content[]`.
fn without_positions(place: &str) -> String {
    let pieces = place.split('[').map(|piece| match piece.split_once(']') {
        Some((_, behind)) => format!("]{behind}"),
        None => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("[")
}

/// What is read of a body.
struct ParsedBody {
    /// Whose quota the request uses.
    subject: String,
    /// The body with aliases of models resolved.
    body: Vec<u8>,
    /// See [`AnswerForm::may_pause`].
    may_pause: bool,
    requested: repair::Requested,
}

impl ParsedBody {
    fn parse(config: &Config, target: &Target, body: Vec<u8>) -> Result<Self, Failure> {
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
                    // An upload is content, whatever it contains.
                    Subject::BodyOr(_) if !target.is_upload() => model_of(&body),
                    Subject::Path(_) | Subject::BodyOr(_) => None,
                };
                if target.surface == Surface::OpenAi && target.rest == "embeddings" {
                    requested = repair::Requested::Embeddings {
                        as_base64: asks_for_base64(&body),
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
        let renamed = match config.model_aliases.is_empty() || target.is_upload() {
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

/// A model's name as it is in paths: OpenAI's clients may put `models/` before it.
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
