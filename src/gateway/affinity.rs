//! Affinity between resources and keys: requests that use a resource go to the project that owns
//! it.

use super::client_address::last_value;
use super::headers::{UPLOAD_COMMAND, UPLOAD_URL};
use super::incoming::Incoming;
use super::ports::ByteStream;
use super::view::PoolView;
use super::{Body, Failure, Reply};
use crate::config::{Config, Proxies};
use crate::pool::{Owner, UnixMillis};
use crate::store::{self, Database};
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

/// Another URL of the upstream, which no official client uses.
const UPLOAD_CONTROL_URL: HeaderName = HeaderName::from_static("x-goog-upload-control-url");
/// The commands that continue an upload.
const CONTINUING: [&str; 4] = ["upload", "query", "cancel", "finalize"];
/// The longest resource name that is stored, in bytes. Upload names contain an id from Google.
const MAX_NAME_BYTES: usize = 1024;
/// How long an upload may take, in milliseconds: 2 days, as long as Google keeps a file.
const MAX_UPLOAD_MS: i64 = 2 * 24 * 3_600_000;

/// The resources that a request uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// The only owner whose keys can serve the request; `None` if any key can.
    pub(super) owner: Option<Owner>,
    /// The names of all resources in the request.
    named: BTreeSet<String>,
    /// Whether a resource has no known owner.
    pub(super) has_unknown: bool,
}

impl Uses {
    pub(super) fn names_resource(&self) -> bool {
        self.owner.is_some() || self.has_unknown
    }
}

/// Looks up and records the owners of resources.
pub(super) struct Affinity<'a, D> {
    pub(super) config: &'a Config,
    pub(super) view: &'a PoolView<D>,
}

impl<D: Database> Affinity<'_, D> {
    /// Looks up the owner of the resources that a request uses.
    ///
    /// # Errors
    /// The resources belong to several projects, or the database failed.
    pub(super) async fn uses(&self, incoming: &Incoming<'_>, body: &[u8]) -> Result<Uses, Failure> {
        let target = &incoming.target;
        let named = names_in(target, incoming.head.uri.query(), body);
        let owners = store::owners(&*self.view.database, &named).await?;
        let mut projects = owners.iter().filter_map(|owner| owner.project.as_deref());
        let project = projects.next();
        if projects.any(|other| Some(other) != project) {
            return Err(Failure::OwnersDiffer);
        }
        let has_unknown = owners.len() < named.len();
        // If no project is known, any owner is tried, and the upstream decides.
        let owner = owners
            .iter()
            .find(|owner| owner.project.is_some())
            .or(owners.last())
            .cloned();
        Ok(Uses {
            owner,
            named,
            has_unknown,
        })
    }

    /// Whether a request continues an upload that the pool started. Google's clients send no other
    /// credential than the upload's URL.
    pub(super) async fn continues_upload(
        &self,
        target: &Target,
        request: &Parts,
        now: UnixMillis,
    ) -> store::Result<bool> {
        let Some(id) = upload_id(request.uri.query()) else {
            return Ok(false);
        };
        let command = request.headers.get(UPLOAD_COMMAND);
        let command = command.and_then(|command| command.to_str().ok());
        let continues = command.is_some_and(|command| {
            let mut parts = command
                .split(',')
                .map(|part| part.trim().to_ascii_lowercase());
            parts.all(|part| CONTINUING.contains(&part.as_str()))
        });
        if !continues {
            return Ok(false);
        }
        let name = of_upload(&target.path, &id);
        let since = now.plus(-MAX_UPLOAD_MS);
        store::was_created_since(&*self.view.database, &name, since, now).await
    }

    /// Records the resources that an answer reports for the project of `owner`, and redirects an
    /// upload to the pool. Names that the request merely mentions are not recorded.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn record<B: ByteStream, S: super::ports::System>(
        &self,
        incoming: &Incoming<'_>,
        uses: &Uses,
        mut owner: Owner,
        reply: &mut Reply<D, B, S>,
        now: UnixMillis,
    ) -> store::Result<()> {
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
        // An error may have revealed the key's project since the request started.
        let snapshot_project = self
            .view
            .snapshot()
            .key(owner.key)
            .and_then(|key| key.project.clone());
        owner.project = snapshot_project.or(owner.project);
        let json = match &reply.body {
            Body::Whole(bytes) => Some(bytes.as_slice()),
            Body::Stream(stream) => stream.begun_interaction(),
            Body::Pages(_) => None,
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

    /// Forgets the resource at the end of a path.
    async fn forget(&self, target: &Target) -> store::Result<()> {
        for name in named_in_path(&target.rest) {
            let prefix = target.rest.strip_suffix(&name);
            if prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/')) {
                store::forget_resource(&*self.view.database, &name).await?;
            }
        }
        Ok(())
    }

    /// Filters out names that are too long or contain a secret.
    fn storable(&self, mut names: BTreeSet<String>) -> BTreeSet<String> {
        names.retain(|name| {
            name.len() <= MAX_NAME_BYTES && !self.view.reveals_secret(self.config, name)
        });
        names
    }
}

/// The names of all resources in a request.
fn names_in(target: &Target, query: Option<&str>, body: &[u8]) -> BTreeSet<String> {
    let mut named = match target.kind {
        // The path is the same for every chat.
        Kind::Chat => BTreeSet::new(),
        Kind::Generate | Kind::Other => named_in_path(&target.rest),
    };
    // An upload is opaque content.
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

/// Maps a URL of the upstream to the pool's address, as the client reaches it.
fn pool_url(config: &Config, request: &Parts, url: &Uri) -> Option<HeaderValue> {
    let base = pool_base(config, request)?;
    let query = url
        .query()
        .and_then(|query| forwarded_query(query, config.secrets()));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    HeaderValue::from_str(&format!("{base}{}{query}", url.path())).ok()
}

/// The base URL of the pool, as the client reaches it.
pub(super) fn pool_base(config: &Config, request: &Parts) -> Option<String> {
    match &config.public_url {
        Some(url) => Some(url.clone()),
        None => base_url(request, config.proxies),
    }
}

/// The base URL at which the client reached the pool, from the request or from the headers of
/// trusted proxies. Invalid headers are ignored.
fn base_url(request: &Parts, proxies: Proxies) -> Option<String> {
    let text = |name: HeaderName| request.headers.get(name)?.to_str().ok();
    // The first entry is from the proxy that the client reached.
    let forwarded = |name: HeaderName| {
        let first = text(name)
            .filter(|_| proxies == Proxies::Trusted)?
            .split(',')
            .next()?;
        Some(first.trim()).filter(|first| !first.is_empty())
    };
    let full: Option<Uri> =
        last_value(&request.headers, &FULL_URL).and_then(|url| url.parse().ok());
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
