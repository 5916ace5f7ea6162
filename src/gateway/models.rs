//! The list of models: the union over the projects of the pool, read anew every few minutes.

use super::ask::Ask;
use super::forward::Way;
use super::headers::UPLOAD_URL;
use super::kept::Kept;
use super::ports::{System, Upstream};
use super::{Body, Failure, Gateway, Reply};
use crate::config::Config;
use crate::pool::{Moment, Policy};
use crate::store::{self, Database};
use crate::sync::Flight;
use crate::wire::Surface;
use crate::wire::model_list::{ModelList, Page};
use crate::wire::openai::repair;
use crate::wire::request_traits::traits_of;
use crate::wire::target::{Target, advice};
use http::request::Parts;
use http::{Method, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;

/// Projects that are asked. What eight have in common is what the pool offers; a thousand would be a thousand calls.
const MOST_PROJECTS: u32 = 8;
/// One page has all of Google's models.
const ALL: &str = "pageSize=1000";

/// Whether a request is for the list.
pub(super) fn is_list(target: &Target, method: &Method) -> bool {
    target.rest == "models" && method == Method::GET
}

/// What fetching a list came to.
#[derive(Debug)]
pub(super) enum Listed {
    /// Its entries, to be kept.
    Entries(String),
    /// No project gave one.
    Failed(Failure),
    /// The upstream answers with something else, which is handed on.
    Foreign,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    pub(super) async fn list_models(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        request_id: &str,
        kept: &Rc<Kept<D>>,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let page = Page::of_query(request.uri.query()).ok_or_else(|| {
            let message = "`pageToken` is not one that the pool has given".to_owned();
            Failure::InvalidRequest(message, Some("pageToken"))
        })?;
        let now = self.system.now();
        let ask = Ask::new(config, target, request, request_id, Vec::new(), now)?;
        let repairs = ask.form.repair.is_some();
        let answer = |entries: &str| {
            let list = ModelList::of_kept(target.surface, entries)
                .ok_or_else(|| Failure::UnknownPath(advice(&target.path)))?;
            Ok(answer(config, list, page, repairs))
        };
        // Concurrent callers wait for the first, and share its result.
        let once = kept.model_list(&target.path);
        let own = RefCell::new(None);
        let listed = once
            .get(kept.new_notify(), async || {
                let database = &*kept.database;
                let known = store::kept_models(database, &target.path, self.system.now()).await;
                let known = known.map(|known| {
                    known.filter(|entries| ModelList::of_kept(target.surface, entries).is_some())
                });
                let listed = match known {
                    Ok(Some(entries)) => Listed::Entries(entries),
                    Err(error) => Listed::Failed(Failure::Database(error)),
                    Ok(None) => {
                        let (listed, reply) = self
                            .fetch_models(config, target, request, request_id, kept, page)
                            .await;
                        own.replace(reply);
                        listed
                    }
                };
                Flight::Share(Rc::new(listed))
            })
            .await;
        kept.end_model_list(&target.path, &once);
        if let Some(reply) = own.take() {
            return reply;
        }
        match &*listed {
            Listed::Entries(entries) => answer(entries),
            Listed::Failed(failure) => Err(failure.clone()),
            Listed::Foreign => {
                let (_, reply) = self
                    .fetch_models(config, target, request, request_id, kept, page)
                    .await;
                reply.unwrap_or_else(|| Err(Failure::UnknownPath(advice(&target.path))))
            }
        }
    }

    /// Asks one project after the other. Gives what came of it for all who wait, and the reply for the request itself.
    async fn fetch_models(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        request_id: &str,
        kept: &Rc<Kept<D>>,
        page: Page,
    ) -> (Listed, Option<Result<Reply<D, U::Body, S>, Failure>>) {
        let failed = |failure: Failure| (Listed::Failed(failure.clone()), Some(Err(failure)));
        let now = self.system.now();
        let mut ask = match Ask::new(config, target, request, request_id, Vec::new(), now) {
            Ok(ask) => ask,
            Err(failure) => return failed(failure),
        };
        ask.traits = traits_of(target, &ask.subject, false, &[]);
        if target.surface == Surface::Gemini {
            ask.uri = match config.upstream_url(&target.path, Some(ALL)) {
                Some(uri) => uri,
                None => return failed(Failure::UnknownPath(advice(&target.path))),
            };
        }
        let policy = Policy {
            max_attempts: MOST_PROJECTS.max(config.failover.max_attempts),
            ..config.failover
        };
        let mut way = Way::new(self, policy, request, request_id, &ask, true, kept, None);
        way.failover.ask_all_projects();
        let mut list = ModelList::new(target.surface);
        let mut has_list = false;
        for _ in 0..MOST_PROJECTS {
            match self.go(&mut way, config, &mut ask).await {
                Ok(reply) => {
                    let is_list = match &reply.body {
                        Body::Whole(bytes) => list.add(bytes),
                        Body::Stream(_) => false,
                    };
                    if !is_list {
                        // Whoever answered so does not know the list as Google has it: as it is, then.
                        let mut reply = way.labelled(reply, &ask);
                        reply.headers.remove(UPLOAD_URL);
                        return (Listed::Foreign, Some(Ok(reply)));
                    }
                    has_list = true;
                }
                Err(failure) if !has_list => {
                    let listed = Listed::Failed(failure.clone());
                    return (listed, Some(way.ended(Err(failure), &ask)));
                }
                Err(_) => break,
            }
            let now = Moment::new(self.system.now());
            if !way.has_new_project(&now) {
                break;
            }
        }
        let entries = list.to_kept();
        let database = &*kept.database;
        if let Err(error) =
            store::keep_models(database, &target.path, &entries, self.system.now()).await
        {
            self.system.log(&format!(
                "request={request_id} the list of models is not kept: {error}"
            ));
        }
        let reply = way.labelled(answer(config, list, page, ask.form.repair.is_some()), &ask);
        (Listed::Entries(entries), Some(Ok(reply)))
    }
}

fn answer<D, B, S>(
    config: &Config,
    mut list: ModelList,
    page: Page,
    repairs: bool,
) -> Reply<D, B, S> {
    list.add_aliases(&config.model_aliases);
    let body = list.to_json(page).into_bytes();
    let body = if repairs { repair::models(body) } else { body };
    let mut reply = Reply::json(StatusCode::OK, String::new());
    reply.body = Body::Whole(body);
    reply
}
