//! The list of models: the union over the projects of the pool, read anew every few minutes.

use super::ask::Ask;
use super::forward::Way;
use super::headers::UPLOAD_URL;
use super::ports::{System, Upstream};
use super::{Body, Failure, Gateway, Reply};
use crate::config::Config;
use crate::model_list::{ModelList, Page};
use crate::openai::repair;
use crate::pool::{Moment, Policy};
use crate::store::{self, Database};
use crate::target::{Surface, Target};
use crate::traits::traits_of;
use http::request::Parts;
use http::{Method, StatusCode};

/// Projects that are asked. What eight have in common is what the pool offers; a thousand would be a thousand calls.
const MOST_PROJECTS: u32 = 8;
/// One page has all of Google's models.
const ALL: &str = "pageSize=1000";

/// Whether a request is for the list.
pub(super) fn is_list(target: &Target, method: &Method) -> bool {
    target.rest == "models" && method == Method::GET
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    pub(super) async fn list_models(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        request_id: &str,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let page = Page::of_query(request.uri.query()).ok_or_else(|| {
            let message = "`pageToken` is not one that the pool has given".to_owned();
            Failure::InvalidRequest(message, Some("pageToken"))
        })?;
        let now = self.system.now();
        let mut ask = Ask::new(config, target, request, request_id, Vec::new(), now)?;
        ask.traits = traits_of(target, &ask.subject, false, &[]);
        let database = &*self.kept()?.database;
        let kept = store::kept_models(database, &target.path, self.system.now()).await?;
        if let Some(list) = kept.and_then(|entries| ModelList::of_kept(target.surface, &entries)) {
            return Ok(answer(config, list, page, ask.form.repair.is_some()));
        }

        if target.surface == Surface::Gemini {
            ask.uri = config
                .upstream_url(&target.path, Some(ALL))
                .ok_or(Failure::UnknownPath)?;
        }
        let policy = Policy {
            max_attempts: MOST_PROJECTS.max(config.failover.max_attempts),
            ..config.failover
        };
        let mut way = Way::new(self, policy, request, request_id, &ask, true, None)?;
        way.failover.ask_all_projects();
        let mut list = ModelList::new(target.surface);
        let mut latest = None;
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
                        return Ok(reply);
                    }
                    latest = Some(reply);
                }
                Err(failure) if latest.is_none() => return way.ended(Err(failure), &ask),
                Err(_) => break,
            }
            let now = Moment::new(self.system.now());
            if !way.has_new_project(&now) {
                break;
            }
        }
        let entries = list.to_kept();
        if let Err(error) =
            store::keep_models(database, &target.path, &entries, self.system.now()).await
        {
            self.system.log(&format!(
                "request={request_id} the list of models is not kept: {error}"
            ));
        }
        Ok(way.labelled(answer(config, list, page, ask.form.repair.is_some()), &ask))
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
