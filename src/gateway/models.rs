//! The list of models: the union over the pool's projects, cached for a few minutes.

use super::affinity::Uses;
use super::attempt_loop::AttemptLoop;
use super::context::Context;
use super::headers::UPLOAD_URL;
use super::incoming::Incoming;
use super::ports::{System, Upstream};
use super::upstream_request::UpstreamRequest;
use super::{Body, Failure, Reply};
use crate::config::Config;
use crate::pool::Policy;
use crate::store::{self, Database};
use crate::sync::Flights;
use crate::wire::model_list::{ModelList, Page};
use crate::wire::openai::repair;
use crate::wire::target::{Target, advice};
use crate::wire::translate::messages;
use crate::wire::{ClientApi, Surface};
use http::{Method, StatusCode};
use std::cell::RefCell;

/// The most projects that are asked. Each costs a call, and more than eight add hardly any model.
const MAX_PROJECTS: u32 = 8;
/// A page size that fits all of Google's models.
const ALL: &str = "pageSize=1000";

/// Whether a request is for the list.
pub(super) fn is_list(target: &Target, method: &Method) -> bool {
    target.rest == "models" && method == Method::GET
}

/// The result of a fetch, shared by all callers that wait for it.
#[derive(Debug)]
pub(super) enum Listed {
    /// The list's entries.
    Entries(String),
    /// No project returned a list.
    Failed(Failure),
    /// The upstream answered in another format, which passes unchanged.
    Foreign,
}

/// The lists that are being fetched, by their path at the upstream.
pub(super) type ModelLists = Flights<String, Listed>;

/// The result of a fetch for the caller that made it.
struct Fetched<D, B, S> {
    listed: Listed,
    reply: Result<Reply<D, B, S>, Failure>,
}

impl<D, B, S> From<Failure> for Fetched<D, B, S> {
    fn from(failure: Failure) -> Self {
        Self {
            listed: Listed::Failed(failure.clone()),
            reply: Err(failure),
        }
    }
}

/// A request for the list of models.
pub(super) struct ModelsRequest<'a, D, U, S> {
    context: &'a Context<'a, D, U, S>,
    lists: &'a ModelLists,
    incoming: &'a Incoming<'a>,
    page: Page,
}

impl<'a, D: Database, U: Upstream, S: System> ModelsRequest<'a, D, U, S> {
    /// # Errors
    /// The page token is not from the pool.
    pub(super) fn new(
        context: &'a Context<'a, D, U, S>,
        lists: &'a ModelLists,
        incoming: &'a Incoming<'a>,
    ) -> Result<Self, Failure> {
        let page = Page::of_query(incoming.head.uri.query()).ok_or_else(|| {
            let message = "`pageToken` is not a token from this pool".to_owned();
            Failure::InvalidRequest(message, Some("pageToken".into()))
        })?;
        Ok(Self {
            context,
            lists,
            incoming,
            page,
        })
    }

    /// Returns the list from the database, or fetches it. Concurrent callers share one fetch.
    pub(super) async fn run(self) -> Result<Reply<D, U::Body, S>, Failure> {
        let request = self.upstream_request()?;
        let repairs = request.form.repair.is_some();
        let path = &self.incoming.target.path;
        let own_reply = RefCell::new(None);
        let listed = self
            .lists
            .get(path.clone(), async || match self.stored().await {
                Ok(Some(entries)) => Listed::Entries(entries),
                Err(failure) => Listed::Failed(failure),
                Ok(None) => {
                    let Fetched { listed, reply } = self.fetch().await;
                    own_reply.replace(Some(reply));
                    listed
                }
            });
        let listed = listed.await;
        if let Some(reply) = own_reply.take() {
            return reply;
        }
        match &*listed {
            Listed::Entries(entries) => {
                let list = ModelList::from_cache(self.incoming.target.surface, entries)
                    .ok_or_else(|| self.unknown_path())?;
                Ok(self.reply(list, repairs))
            }
            Listed::Failed(failure) => Err(failure.clone()),
            Listed::Foreign => self.fetch().await.reply,
        }
    }

    fn upstream_request(&self) -> Result<UpstreamRequest<'_>, Failure> {
        let now = self.context.system.now();
        UpstreamRequest::new(self.context.config, self.incoming, Vec::new(), now)
    }

    fn unknown_path(&self) -> Failure {
        Failure::UnknownPath(advice(&self.incoming.target.path))
    }

    /// The entries in the database, unless they are too old or malformed.
    async fn stored(&self) -> Result<Option<String>, Failure> {
        let Target { path, surface, .. } = &self.incoming.target;
        let database = &*self.context.view.database;
        let stored = store::cached_models(database, path, self.context.system.now()).await?;
        Ok(stored.filter(|entries| ModelList::from_cache(*surface, entries).is_some()))
    }

    /// The request for a project's whole list.
    fn request_for_all(&self) -> Result<UpstreamRequest<'_>, Failure> {
        let target = &self.incoming.target;
        let mut request = self.upstream_request()?;
        request.read_traits(target, &Uses::default());
        if target.surface == Surface::Gemini {
            let uri = self.context.config.upstream_url(&target.path, Some(ALL));
            request.uri = uri.ok_or_else(|| self.unknown_path())?;
        }
        Ok(request)
    }

    /// Fetches the list from one project after another.
    async fn fetch(&self) -> Fetched<D, U::Body, S> {
        let Context { config, .. } = self.context;
        let target = &self.incoming.target;
        let mut request = match self.request_for_all() {
            Ok(request) => request,
            Err(failure) => return failure.into(),
        };
        let policy = Policy {
            max_attempts: MAX_PROJECTS.max(config.failover.max_attempts),
            ..config.failover
        };
        let mut attempts =
            AttemptLoop::over_projects(self.context, self.incoming, &request, policy);
        let mut list = ModelList::new(target.surface);
        let mut has_list = false;
        for _ in 0..MAX_PROJECTS {
            match attempts.run(&mut request).await {
                Ok(reply) => {
                    let is_list = match &reply.body {
                        Body::Whole(bytes) => list.add(bytes),
                        Body::Stream(_) | Body::Pages(_) => false,
                    };
                    if !is_list {
                        // The upstream's list is not in Google's format.
                        let mut reply = attempts.labelled(reply, &request);
                        reply.headers.remove(UPLOAD_URL);
                        return Fetched {
                            listed: Listed::Foreign,
                            reply: Ok(reply),
                        };
                    }
                    has_list = true;
                }
                Err(failure) if !has_list => {
                    return Fetched {
                        listed: Listed::Failed(failure.clone()),
                        reply: attempts.finish(Err(failure), &request),
                    };
                }
                // A partial list is better than none.
                Err(_) => break,
            }
            if !attempts.has_new_project() {
                break;
            }
        }
        let entries = list.to_cache();
        self.store(&entries).await;
        let reply = self.reply(list, request.form.repair.is_some());
        Fetched {
            listed: Listed::Entries(entries),
            reply: Ok(attempts.labelled(reply, &request)),
        }
    }

    async fn store(&self, entries: &str) {
        let Context { view, system, .. } = self.context;
        let path = &self.incoming.target.path;
        let stored = store::cache_models(&*view.database, path, entries, system.now()).await;
        if let Err(error) = stored {
            system.log(&format!(
                "request={} cannot store the list of models: {error}",
                self.incoming.id
            ));
        }
    }

    fn reply(&self, mut list: ModelList, repairs: bool) -> Reply<D, U::Body, S> {
        let config: &Config = self.context.config;
        list.add_aliases(config.model_aliases.examples());
        if let Some(token) = self.context.caller.client_token() {
            list.retain(|name| token.allows_model(config.model_of(name)));
        }
        let query = self.incoming.head.uri.query();
        let body = match self.incoming.api {
            ClientApi::Anthropic => {
                let page = messages::models::page(&list.to_cache(), query);
                page.unwrap_or_default().into_bytes()
            }
            ClientApi::OpenAi | ClientApi::Gemini | ClientApi::Admin => {
                list.to_json(self.page).into_bytes()
            }
        };
        let body = match repairs {
            true => repair::models(body),
            false => body,
        };
        let mut reply = Reply::json(StatusCode::OK, String::new());
        reply.body = Body::Whole(body);
        reply
    }
}
