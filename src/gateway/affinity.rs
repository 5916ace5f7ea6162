//! What was made with a key goes back to it: which owner a request needs, and what an answer says was made.

use super::client::latest;
use super::headers::UPLOAD_URL;
use super::kept::Kept;
use super::ports::{ByteStream, System, Upstream};
use super::{Body, Failure, Gateway, Reply};
use crate::config::Config;
use crate::pool::Owner;
use crate::store::{self, Database, DatabaseError};
use crate::wire::Kind;
use crate::wire::resource::{Told, chosen_name, named_in_body, named_in_path, of_upload, told};
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
/// The path that a proxy has taken off before it handed the request on.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

const UPLOAD_COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
/// Another URL of the upstream's, which no official client uses.
const UPLOAD_CONTROL_URL: HeaderName = HeaderName::from_static("x-goog-upload-control-url");
/// Commands that begin nothing.
const GOING_ON: [&str; 4] = ["upload", "query", "cancel", "finalize"];
/// The longest name that is stored, in bytes: an upload's has an id of Google's in it.
const LONGEST_STORED: usize = 1024;
/// How long an upload may go on, in milliseconds: 2 days, as long as Google keeps a file.
const UPLOAD_MS: i64 = 2 * 24 * 3_600_000;

/// What a request uses that belongs to projects.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Whose keys alone can serve it; `None` where any can.
    pub(super) owner: Option<Owner>,
    /// All names in it.
    pub(super) named: BTreeSet<String>,
    /// Those of which nobody knows the owner.
    pub(super) unknown: BTreeSet<String>,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    /// What a request uses that only some keys can.
    pub(super) async fn used_by(
        &self,
        target: &Target,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Uses, Failure> {
        let mut named = match target.kind {
            // The path says nothing but that.
            Kind::Chat => BTreeSet::new(),
            Kind::Generate | Kind::Other => named_in_path(&target.rest),
        };
        // What is uploaded is content, whatever it mentions.
        match upload_id(query).filter(|_| target.is_upload()) {
            Some(id) => named.extend([of_upload(&target.path, &id)]),
            None if target.is_upload() => {}
            None => {
                let mut in_body = named_in_body(body, target.kind == Kind::Other);
                if let Some(chosen) = chosen_name(target, body) {
                    in_body.remove(&chosen);
                }
                named.extend(in_body);
            }
        }
        let mut owners = Vec::new();
        let mut unknown = named.clone();
        for (name, owner) in store::owners(&*self.kept()?.database, &named).await? {
            unknown.remove(&name);
            owners.push(owner);
        }
        let projects: BTreeSet<&str> = owners
            .iter()
            .filter_map(|owner| owner.project.as_deref())
            .collect();
        if projects.len() > 1 {
            return Err(Failure::OwnersDiffer);
        }
        // Of several keys whose project nobody knows one may do; the upstream will say.
        let known = owners.iter().position(|owner| owner.project.is_some());
        let owner = match known {
            Some(position) => Some(owners.swap_remove(position)),
            None => owners.pop(),
        };
        Ok(Uses {
            owner,
            named,
            unknown,
        })
    }

    /// Whether a request goes on with an upload that the pool has begun: Google's clients send no credential with it, since
    /// its URL is one.
    pub(super) async fn continues_upload(&self, target: &Target, request: &Parts) -> bool {
        let Some(id) = upload_id(request.uri.query()) else {
            return false;
        };
        let command = request.headers.get(UPLOAD_COMMAND);
        let goes_on = command
            .and_then(|command| command.to_str().ok())
            .is_some_and(|command| {
                command
                    .split(',')
                    .all(|part| GOING_ON.contains(&part.trim().to_ascii_lowercase().as_str()))
            });
        let Ok(kept) = self.kept() else {
            return false;
        };
        if !goes_on {
            return false;
        }
        let name = of_upload(&target.path, &id);
        let now = self.system.now();
        match store::is_made_since(&*kept.database, &name, now.plus(-UPLOAD_MS), now).await {
            Ok(is_known) => is_known,
            Err(error) => {
                self.system
                    .log(&format!("an upload cannot be looked up: {error}"));
                false
            }
        }
    }

    /// Remembers what an answer says of things that belong to `owner`'s project, and has an upload go on here. Nothing is
    /// learned from what a request merely names.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another fact of the request"
    )]
    pub(super) async fn note_made<B: ByteStream>(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        kept: &Kept<D>,
        mut owner: Owner,
        uses: &Uses,
        reply: &mut Reply<D, B, S>,
    ) -> Result<(), DatabaseError> {
        let upload = reply.headers.remove(UPLOAD_URL);
        reply.headers.remove(UPLOAD_CONTROL_URL);
        if target.kind != Kind::Other {
            return Ok(());
        }
        let database = &*kept.database;
        let is_deleted = reply.status.is_success() && request.method == Method::DELETE;
        let is_gone = reply.status == StatusCode::NOT_FOUND && uses.owner.is_some();
        if is_deleted || is_gone {
            for name in named_in_path(&target.rest) {
                let ends_so = target.rest.strip_suffix(&name);
                if ends_so.is_some_and(|before| before.is_empty() || before.ends_with('/')) {
                    store::forget_resource(database, &name).await?;
                }
            }
        }
        if is_deleted || !reply.status.is_success() {
            return Ok(());
        }
        // An error may have told its project meanwhile.
        let project = kept
            .view()
            .key(owner.key)
            .and_then(|key| key.project.clone());
        owner.project = project.or(owner.project);
        let mut told = match &reply.body {
            Body::Whole(bytes) => told(&request.method, target, &uses.named, bytes),
            Body::Stream(stream) => match stream.begun_interaction() {
                Some(interaction) => told(&request.method, target, &uses.named, interaction),
                None => Told::default(),
            },
        };
        let upload: Option<Uri> = upload.and_then(|url| url.to_str().ok()?.parse().ok());
        if let Some(url) = upload {
            let begun = upload_id(url.query()).map(|id| of_upload(url.path(), &id));
            told.created.extend(begun);
            if let Some(here) = here(config, request, &url) {
                reply.headers.insert(UPLOAD_URL, here);
            }
        }
        let now = self.system.now();
        let created = self.storable(config, told.created);
        let reported = self.storable(config, told.reported);
        store::remember_created(database, &created, &owner, now).await?;
        store::remember_reported(database, &reported, &owner, now).await
    }

    /// Those of these names that may be stored.
    fn storable(&self, config: &Config, mut names: BTreeSet<String>) -> BTreeSet<String> {
        names.retain(|name| name.len() <= LONGEST_STORED && !self.reveals_secret(config, name));
        names
    }
}

fn upload_id(query: Option<&str>) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(name, _)| name == "upload_id")
        .map(|(_, id)| id.into_owned())
}

/// A URL of the upstream's as one of the pool's, as its client reaches it.
fn here(config: &Config, request: &Parts, url: &Uri) -> Option<HeaderValue> {
    let base = match &config.public_url {
        Some(url) => url.clone(),
        None => reached_at(request, config.trust_forwarded_for)?,
    };
    let query = url
        .query()
        .and_then(|query| forwarded_query(query, config.secrets()));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    HeaderValue::from_str(&format!("{base}{}{query}", url.path())).ok()
}

/// The URL at which the client reached the pool: from the request, or from the headers of trusted proxies, each of which
/// counts only if it is valid.
fn reached_at(request: &Parts, trusts_proxies: bool) -> Option<String> {
    let text = |name: HeaderName| request.headers.get(name)?.to_str().ok();
    // The first of several proxies is the one that the client has reached.
    let forwarded = |name: HeaderName| {
        let first = text(name).filter(|_| trusts_proxies)?.split(',').next()?;
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
