//! What is asked of the upstream in each attempt: the client's request, changed only where it must be.

use super::Failure;
use super::attempt::Form;
use crate::config::Config;
use crate::gemini::{RequestTraits, UnknownField};
use crate::openai::{ChatRequest, fields, model_of, repair, steps, with_models, without};
use crate::pool::UnixMillis;
use crate::target::{Kind, Subject, Surface, Target, without_credentials};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Uri};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// `off` has requests and answers of OpenAI's API pass as they are.
const REPAIR: HeaderName = HeaderName::from_static("x-keypool-repair");

/// See the module's documentation.
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: Uri,
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
            include_usage,
        } = asked(config, target, body)?;
        let repair = repairs.then(|| repair::Context {
            model: subject.clone(),
            created: now.0.div_euclid(1000),
            // Ids that are made are this request's own.
            seed: BuildHasherDefault::<DefaultHasher>::default().hash_one(request_id),
            include_usage,
        });
        Ok(Self {
            method: &request.method,
            uri: endpoint(config, target, query).ok_or(Failure::UnknownPath)?,
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
        let there: Vec<String> = fields(&self.body)
            .into_iter()
            .filter(|field| unsupported.contains(field))
            .collect();
        for field in there {
            if let Some(body) = without(&self.body, &[], &field) {
                self.body = body;
                self.dropped.insert(field);
            }
        }
    }

    /// Leaves out fields that an error has named. Gives those of the body itself; `None` where nothing was left out, so that
    /// the same request would fail in the same way.
    pub(super) fn leave_out(&mut self, unknown: &[UnknownField]) -> Option<Vec<String>> {
        self.form.repair.as_ref()?;
        let mut body = self.body.clone();
        for field in unknown {
            body = without(&body, &steps(&field.place)?, &field.name)?;
        }
        if unknown.is_empty() {
            return None;
        }
        self.body = body;
        let own = unknown.iter().filter(|field| field.place.is_empty());
        let own = own.map(|field| field.name.clone()).collect();
        self.dropped
            .extend(unknown.iter().map(|field| match &*field.place {
                "" => field.name.clone(),
                place => format!("{place}.{}", field.name),
            }));
        Some(own)
    }
}

/// What is read of a request.
struct Asked {
    /// Whose quota it uses.
    subject: String,
    /// Its body with the models that it means.
    body: Vec<u8>,
    /// See [`Form::is_slow`].
    is_slow: bool,
    /// A stream's tokens are asked for.
    include_usage: bool,
}

fn asked(config: &Config, target: &Target, body: Vec<u8>) -> Result<Asked, Failure> {
    let mut include_usage = false;
    let (asked, body, is_slow) = match target.kind {
        Kind::Chat => {
            let chat = ChatRequest::parse(body, &config.default_model)?;
            include_usage = chat.include_usage;
            (Some(chat.model), chat.body, chat.stream)
        }
        Kind::Generate | Kind::Other => {
            let asked = match &target.subject {
                Subject::Path(_) => None,
                Subject::BodyOr(_) => model_of(&body),
            };
            (asked, body, target.may_be_slow())
        }
    };
    let subject = match (asked, &target.subject) {
        (Some(asked), _) => config.model_of(bare(&asked)).to_owned(),
        (None, Subject::Path(name) | Subject::BodyOr(name)) => name.clone(),
    };
    let renamed = if config.model_aliases.is_empty() {
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
        include_usage,
    })
}

/// A model's name as it is in the path: OpenAI's clients may put `models/` before it.
fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

fn endpoint(config: &Config, target: &Target, query: Option<&str>) -> Option<Uri> {
    let query = query.and_then(without_credentials);
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
