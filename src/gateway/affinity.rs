//! Which key a request needs: what was made with a key goes back to that key's project.

use super::client_address::latest;
use super::headers::UPLOAD_URL;
use super::incoming::Incoming;
use super::ports::ByteStream;
use super::view::PoolView;
use super::{Body, Failure, Reply};
use crate::config::{Config, Proxies};
use crate::pool::{Owner, UnixMillis};
use crate::store::{self, Database, DatabaseError};
use crate::wire::Kind;
use crate::wire::resource::{
    Reported, chosen_name, named_in_body, named_in_path, of_upload, reported,
};
use crate::wire::target::{Target, forwarded_query};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Uri};
use std::collections::BTreeSet;

/// The request's URL as Spin reports it.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The path prefix that a proxy has stripped.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

const UPLOAD_COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
/// Another URL of the upstream, which no official client uses.
const UPLOAD_CONTROL_URL: HeaderName = HeaderName::from_static("x-goog-upload-control-url");
/// Commands that do not begin an upload.
const CONTINUING: [&str; 4] = ["upload", "query", "cancel", "finalize"];
/// The longest name that is stored, in bytes. That of an upload contains an id of Google's.
const LONGEST_STORED: usize = 1024;
/// How long an upload may take, in milliseconds: 2 days, as long as Google keeps a file.
const UPLOAD_MS: i64 = 2 * 24 * 3_600_000;

/// What a request uses that belongs to projects.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Whose keys alone can serve it; `None` if any can.
    pub(super) owner: Option<Owner>,
    /// All names in it.
    named: BTreeSet<String>,
    /// Whether the owner of some name is not known.
    pub(super) has_unknown: bool,
}

impl Uses {
    pub(super) fn names_resource(&self) -> bool {
        self.owner.is_some() || self.has_unknown
    }
}

/// Looks up and records which project owns what.
pub(super) struct Affinity<'a, D> {
    pub(super) config: &'a Config,
    pub(super) view: &'a PoolView<D>,
}

impl<D: Database> Affinity<'_, D> {
    /// What a request uses that belongs to projects.
    ///
    /// # Errors
    /// It uses things of several projects, or the database refused.
    pub(super) async fn uses(&self, incoming: &Incoming<'_>, body: &[u8]) -> Result<Uses, Failure> {
        let target = &incoming.target;
        let named = names_in(target, incoming.head.uri.query(), body);
        let found = store::owners(&*self.view.database, &named).await?;
        let projects: BTreeSet<&str> = found
            .values()
            .filter_map(|owner| owner.project.as_deref())
            .collect();
        if projects.len() > 1 {
            return Err(Failure::OwnersDiffer);
        }
        let has_unknown = named.iter().any(|name| !found.contains_key(name));
        // If no project is known, any of the owners is tried, and the upstream decides.
        let owner = found
            .values()
            .find(|owner| owner.project.is_some())
            .or_else(|| found.values().next_back())
            .cloned();
        Ok(Uses {
            owner,
            named,
            has_unknown,
        })
    }

    /// Whether a request continues an upload that the pool has begun. Google's clients send no
    /// credential with it, since its URL is one.
    pub(super) async fn continues_upload(
        &self,
        target: &Target,
        request: &Parts,
        now: UnixMillis,
    ) -> Result<bool, DatabaseError> {
        let Some(id) = upload_id(request.uri.query()) else {
            return Ok(false);
        };
        let command = request.headers.get(UPLOAD_COMMAND);
        let continues = command
            .and_then(|command| command.to_str().ok())
            .is_some_and(|command| {
                command
                    .split(',')
                    .all(|part| CONTINUING.contains(&part.trim().to_ascii_lowercase().as_str()))
            });
        if !continues {
            return Ok(false);
        }
        let name = of_upload(&target.path, &id);
        store::is_made_since(&*self.view.database, &name, now.plus(-UPLOAD_MS), now).await
    }

    /// Records what an answer reports of things that belong to the project of `owner`, and directs
    /// an upload to the pool. A name that a request merely mentions teaches nothing.
    ///
    /// # Errors
    /// The database refused.
    pub(super) async fn record<B: ByteStream, S: super::ports::System>(
        &self,
        incoming: &Incoming<'_>,
        uses: &Uses,
        mut owner: Owner,
        reply: &mut Reply<D, B, S>,
        now: UnixMillis,
    ) -> Result<(), DatabaseError> {
        let Incoming { head, target, .. } = incoming;
        let upload = reply.headers.remove(UPLOAD_URL);
        reply.headers.remove(UPLOAD_CONTROL_URL);
        if target.kind != Kind::Other {
            return Ok(());
        }
        let is_success = reply.status.is_success();
        let is_deleted = is_success && head.method == Method::DELETE;
        let is_gone = reply.status == StatusCode::NOT_FOUND && uses.owner.is_some();
        if is_deleted || is_gone {
            self.forget(target).await?;
        }
        if is_deleted || !is_success {
            return Ok(());
        }
        // An error may have named the key's project since.
        let snapshot_project = self
            .view
            .snapshot()
            .key(owner.key)
            .and_then(|key| key.project.clone());
        owner.project = snapshot_project.or(owner.project);
        let json = match &reply.body {
            Body::Whole(bytes) => Some(bytes.as_slice()),
            Body::Stream(stream) => stream.begun_interaction(),
        };
        let mut found = match json {
            Some(json) => reported(&head.method, target, &uses.named, json),
            None => Reported::default(),
        };
        let upload: Option<Uri> = upload.and_then(|url| url.to_str().ok()?.parse().ok());
        if let Some(url) = upload {
            let begun = upload_id(url.query()).map(|id| of_upload(url.path(), &id));
            found.created.extend(begun);
            if let Some(url) = pool_url(self.config, head, &url) {
                reply.headers.insert(UPLOAD_URL, url);
            }
        }
        let database = &*self.view.database;
        let created = self.storable(found.created);
        let listed = self.storable(found.listed);
        store::remember_created(database, &created, &owner, now).await?;
        store::remember_reported(database, &listed, &owner, now).await
    }

    /// Forgets the resource that a path ends with.
    async fn forget(&self, target: &Target) -> Result<(), DatabaseError> {
        for name in named_in_path(&target.rest) {
            let prefix = target.rest.strip_suffix(&name);
            if prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/')) {
                store::forget_resource(&*self.view.database, &name).await?;
            }
        }
        Ok(())
    }

    /// The names that may be stored.
    fn storable(&self, mut names: BTreeSet<String>) -> BTreeSet<String> {
        names.retain(|name| {
            name.len() <= LONGEST_STORED && !self.view.reveals_secret(self.config, name)
        });
        names
    }
}

/// All names in a request that belong to projects.
fn names_in(target: &Target, query: Option<&str>, body: &[u8]) -> BTreeSet<String> {
    let mut named = match target.kind {
        // The same path for every chat.
        Kind::Chat => BTreeSet::new(),
        Kind::Generate | Kind::Other => named_in_path(&target.rest),
    };
    // An upload is content, whatever it mentions.
    match upload_id(query).filter(|_| target.is_upload()) {
        Some(id) => named.extend([of_upload(&target.path, &id)]),
        None if target.is_upload() => {}
        None => {
            let mut in_body = named_in_body(body, target.kind);
            if let Some(chosen) = chosen_name(target, body) {
                in_body.remove(&chosen);
            }
            named.extend(in_body);
        }
    }
    named
}

fn upload_id(query: Option<&str>) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(name, _)| name == "upload_id")
        .map(|(_, id)| id.into_owned())
}

/// A URL of the upstream as one of the pool, under the address at which the client reaches it.
fn pool_url(config: &Config, request: &Parts, url: &Uri) -> Option<HeaderValue> {
    let base = match &config.public_url {
        Some(url) => url.clone(),
        None => reached_at(request, config.proxies())?,
    };
    let query = url
        .query()
        .and_then(|query| forwarded_query(query, config.secrets()));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    HeaderValue::from_str(&format!("{base}{}{query}", url.path())).ok()
}

/// The address at which the client reached the pool: from the request, or from the headers of
/// trusted proxies, each of which counts only if it is valid.
fn reached_at(request: &Parts, proxies: Proxies) -> Option<String> {
    let text = |name: HeaderName| request.headers.get(name)?.to_str().ok();
    // The first of several proxies is the one that the client has reached.
    let forwarded = |name: HeaderName| {
        let first = text(name)
            .filter(|_| proxies == Proxies::Trusted)?
            .split(',')
            .next()?;
        Some(first.trim()).filter(|first| !first.is_empty())
    };
    let full: Option<Uri> = latest(&request.headers, &FULL_URL).and_then(|url| url.parse().ok());
    let is_host = |host: &&str| host.parse::<Authority>().is_ok() && !host.contains('@');
    let host = forwarded(FORWARDED_HOST)
        .filter(is_host)
        .or_else(|| text(header::HOST))
        .or_else(|| Some(request.uri.authority()?.as_str()))
        .or_else(|| Some(full.as_ref()?.authority()?.as_str()))?;
    let scheme = match forwarded(FORWARDED_PROTO).or_else(|| full.as_ref()?.scheme_str()) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let prefix = forwarded(FORWARDED_PREFIX)
        .filter(|prefix| is_path(prefix))
        .unwrap_or_default();
    Some(format!("{scheme}://{host}{}", prefix.trim_end_matches('/')))
}

/// Whether a text is an absolute path without `..`, a query or escapes.
fn is_path(text: &str) -> bool {
    let fits = |segment: &str| {
        segment != ".."
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    text.starts_with('/') && !text.starts_with("//") && text.split('/').all(fits)
}
