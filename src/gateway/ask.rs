//! What is asked of the upstream in each attempt: the client's request, changed only where it must be.

use super::Failure;
use super::attempt::Form;
use crate::config::Config;
use crate::pool::UnixMillis;
use crate::wire::gemini::{RequestTraits, UnknownField};
use crate::wire::json::{
    Field, steps, with_models, without, without_any, without_nulls_in_messages,
};
use crate::wire::naming::is_model;
use crate::wire::openai::signatures::{self, ToolCall};
use crate::wire::openai::{ChatRequest, asks_for_base64, model_of, repair};
use crate::wire::target::{Subject, Target, advice, forwarded_query};
use crate::wire::{Kind, Surface};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::memmem;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Fields that are left out of a request at most.
const MOST_LEFT_OUT: usize = 20;
/// The longest path to a field that is left out.
const LONGEST_PLACE: usize = 256;
/// Bytes of the list of fields that were left out, about.
const LONGEST_LIST: usize = 1_000;
/// Fields that a request may lack without asking for something else, in lower case and without `_`.
const DISPENSABLE: [&str; 34] = [
    // How the answer is drawn.
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
    // What is cached or kept of it, for whom, and how it is accounted for.
    "cachecontrol",
    "metadata",
    "promptcachekey",
    "promptcacheretention",
    "safetyidentifier",
    "servicetier",
    "store",
    "streamoptions",
    "user",
    // What clients send back of earlier answers.
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
/// What the pool's own repair puts into answers, and Google refuses when it comes back.
const OWN: &str = "messages[].tool_calls[].index";

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
    /// Thought signatures that were put back into the request.
    restored: BTreeSet<String>,
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
            uri: endpoint(config, target, query)
                .ok_or_else(|| Failure::UnknownPath(advice(&target.path)))?,
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
            restored: BTreeSet::new(),
        })
    }

    /// The tool calls in the request that have no thought signature.
    pub(super) fn unsigned_calls(&self) -> BTreeSet<ToolCall> {
        if self.is_repaired_chat() {
            signatures::unsigned(&self.body)
        } else {
            BTreeSet::new()
        }
    }

    /// Puts these thought signatures back where they are missing.
    pub(super) fn restore_signatures(&mut self, known: HashMap<ToolCall, String>) {
        if let Some(body) = signatures::signed(&self.body, &known) {
            self.body = body;
            self.restored.extend(known.into_values());
        }
    }

    /// Puts placeholders where the model wants a thought signature and none is known; whether there was any such place.
    pub(super) fn put_placeholders(&mut self) -> bool {
        self.sign(&BTreeSet::new())
    }

    /// The same, and in the place of signatures that were put back, which were refused.
    pub(super) fn replace_restored_signatures(&mut self) -> bool {
        let restored = std::mem::take(&mut self.restored);
        !restored.is_empty() && self.sign(&restored)
    }

    fn sign(&mut self, refused: &BTreeSet<String>) -> bool {
        if !self.is_repaired_chat() {
            return false;
        }
        let Some(body) = signatures::with_placeholders(&self.body, refused) else {
            return false;
        };
        self.body = body;
        true
    }

    fn is_repaired_chat(&self) -> bool {
        self.form.kind == Kind::Chat && self.form.repair.is_some()
    }

    /// Leaves out those of these fields that are there, and what the pool's own repair has put into earlier answers.
    pub(super) fn leave_out_known(&mut self, unsupported: Option<&BTreeSet<String>>) {
        if self.form.repair.is_none() {
            return;
        }
        if self.form.kind == Kind::Chat
            && let Some(body) = without_nulls_in_messages(&self.body)
        {
            self.body = body;
        }
        let has_own = || {
            [&b"\"tool_calls\""[..], b"\"index\""]
                .iter()
                .all(|name| memmem::find(&self.body, name).is_some())
        };
        let own = (self.form.kind == Kind::Chat && has_own()).then_some(OWN);
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
            let told = found.filter(|known| **known != OWN);
            self.dropped.extend(told.map(|known| (*known).to_owned()));
        }
    }

    /// Leaves out fields that an error has named. Gives them as they are to be remembered, with `[]` for every element;
    /// `None` where nothing was left out, so that the same request would fail in the same way: only what is
    /// [dispensable](DISPENSABLE) may go, and who sends more than [`MOST_LEFT_OUT`] that are unknown has to hear of it.
    pub(super) fn leave_out(&mut self, unknown: &[UnknownField]) -> Option<Vec<String>> {
        self.form.repair.as_ref()?;
        let may_go = |field: &UnknownField| is_dispensable(&field.place, &field.name);
        if !(1..=MOST_LEFT_OUT).contains(&unknown.len()) || !unknown.iter().all(may_go) {
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

/// Whether a field is one of [`DISPENSABLE`], in a place that is one.
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
