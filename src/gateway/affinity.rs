//! What was made with a key goes back to it: which owner a request needs, and what an answer says was made.

use super::headers::UPLOAD_URL;
use super::ports::{ByteStream, System, Upstream};
use super::{Body, Failure, Gateway, Reply};
use crate::config::Config;
use crate::pool::{KeyId, Owner};
use crate::resource::{named_in_body, named_in_path, of_id, of_upload};
use crate::store::{self, Database, DatabaseError};
use crate::target::{Kind, Surface, Target, without_credentials};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The request's URL as Spin reports it.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    /// Whose keys alone can serve a request; `None` where any can.
    pub(super) async fn owner_of(
        &self,
        target: &Target,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Option<Owner>, Failure> {
        let mut names = named_in_path(&target.rest);
        names.extend(upload_id(query).map(|id| of_upload(&id)));
        names.extend(named_in_body(body));
        let mut owners = store::owners(&*self.kept()?.database, &names).await?;
        let Some(owner) = owners.pop() else {
            return Ok(None);
        };
        let is_same = |other: &Owner| {
            other.key == owner.key || (other.project.is_some() && other.project == owner.project)
        };
        if owners.iter().all(is_same) {
            Ok(Some(owner))
        } else {
            Err(Failure::OwnersDiffer)
        }
    }

    /// Whether a request goes on with an upload that the pool has begun: Google's clients send no credential with it, since
    /// its URL is one.
    pub(super) async fn continues_upload(&self, target: &Target, request: &Parts) -> bool {
        let Some(id) = upload_id(request.uri.query()).filter(|_| target.is_upload()) else {
            return false;
        };
        let Ok(kept) = self.kept() else {
            return false;
        };
        let names = BTreeSet::from([of_upload(&id)]);
        match store::owners(&*kept.database, &names).await {
            Ok(owners) => !owners.is_empty(),
            Err(error) => {
                self.system
                    .log(&format!("an upload cannot be looked up: {error}"));
                false
            }
        }
    }

    /// Remembers what an answer says was made with `key`, and has an upload go on here.
    pub(super) async fn note_made<B: ByteStream>(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        key: KeyId,
        reply: &mut Reply<D, B, S>,
    ) -> Result<(), DatabaseError> {
        let upload = reply.headers.remove(UPLOAD_URL);
        let Ok(kept) = self.kept() else {
            return Ok(());
        };
        let database = &*kept.database;
        if !reply.status.is_success() || target.kind != Kind::Other {
            return Ok(());
        }
        if request.method == Method::DELETE {
            for name in named_in_path(&target.rest) {
                let ends_so = target.rest.strip_suffix(&name);
                if ends_so.is_some_and(|before| before.is_empty() || before.ends_with('/')) {
                    store::forget_resource(database, &name).await?;
                }
            }
            return Ok(());
        }
        let mut names = match &reply.body {
            Body::Whole(bytes) => made(target, bytes),
            Body::Stream(_) => BTreeSet::new(),
        };
        if let Some(url) = upload.as_ref().and_then(|url| url.to_str().ok()) {
            names.extend(
                upload_id(url.split_once('?').map(|(_, query)| query)).map(|id| of_upload(&id)),
            );
            if let Some(here) = here(config, request, url) {
                reply.headers.insert(UPLOAD_URL, here);
            }
        }
        let project = kept.view().key(key).and_then(|key| key.project.clone());
        let owner = Owner { key, project };
        store::remember_resources(database, &names, &owner, self.system.now()).await
    }
}

impl Target {
    fn is_upload(&self) -> bool {
        self.path.starts_with("/upload/")
    }
}

/// The names of an answer.
fn made(target: &Target, body: &[u8]) -> BTreeSet<String> {
    let mut names = named_in_body(body);
    if target.surface == Surface::OpenAi {
        #[derive(Deserialize)]
        struct Identified {
            id: String,
        }
        let collection = target.rest.split('/').next().unwrap_or_default();
        let identified = serde_json::from_slice::<Identified>(body).ok();
        names.extend(identified.and_then(|made| of_id(collection, &made.id)));
    }
    names
}

fn upload_id(query: Option<&str>) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(name, _)| name == "upload_id")
        .map(|(_, id)| id.into_owned())
}

/// A URL of the upstream's as one of the pool's, as its client reaches it.
fn here(config: &Config, request: &Parts, url: &str) -> Option<HeaderValue> {
    let url: Uri = url.parse().ok()?;
    let text = |name: HeaderName| request.headers.get(name)?.to_str().ok();
    let full: Option<Uri> = text(FULL_URL).and_then(|url| url.parse().ok());
    let host = text(header::HOST)
        .or_else(|| Some(request.uri.authority()?.as_str()))
        .or_else(|| Some(full.as_ref()?.authority()?.as_str()))?;
    let forwarded = text(FORWARDED_PROTO).filter(|_| config.trust_forwarded_for);
    let scheme = match forwarded.or_else(|| full.as_ref()?.scheme_str()) {
        Some("https") => "https",
        _ => "http",
    };
    let query = url.query().and_then(without_credentials);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    HeaderValue::from_str(&format!("{scheme}://{host}{}{query}", url.path())).ok()
}
