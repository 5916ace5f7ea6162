//! Sessions of operators in a browser.
//!
//! A session is a cookie with what its holder may do and until when, signed with the operator's
//! token. So it needs no table, every instance knows it, and it ends when the token changes.
//!
//! A browser sends the cookie with whatever a page requests. `SameSite=Strict` excludes pages of
//! other sites, but not those of other ports or subdomains, so requests for changes must also come
//! from a page of the pool itself.

use super::affinity::pool_base;
use super::authentication::{Permission, has_bearer};
use super::{Failure, Reply, cors};
use crate::config::{Config, Secret, origin};
use crate::pool::{HOUR_MS, UnixMillis};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::Sha256;

const COOKIE: &str = "keypool_session";
/// How long a session lasts: 12 hours.
const LIFETIME_MS: i64 = 12 * HOUR_MS;
/// What else is signed, so that a signature has one meaning only.
const PURPOSE: &[u8] = b"keypool session 1:";

/// Where the page that sends a request comes from, as the browser knows it. Browsers send this to
/// `https` and to the machine itself only: <https://www.w3.org/TR/fetch-metadata/>.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A session of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    permission: Permission,
    ends_at: UnixMillis,
}

/// What an operator may do, and until when.
#[derive(Default, Serialize)]
struct Report {
    /// `null` without a session.
    permission: Option<&'static str>,
    /// `null` with a token instead of a session.
    ends_at: Option<String>,
    /// Why there is no session.
    code: Option<String>,
}

/// Checks that there is neither a query nor a body, other than an empty object.
pub(super) fn check_parameters(request: &Parts, body: &[u8]) -> Result<(), Failure> {
    let has_query = request.uri.query().is_some_and(|query| !query.is_empty());
    match body.trim_ascii() {
        b"" | b"{}" if !has_query => Ok(()),
        _ => Err(Failure::InvalidRequest(
            "A session has no parameters. Send neither a query nor a body.".to_owned(),
            None,
        )),
    }
}

/// Begins a session of an operator who has presented a token.
pub(super) fn begin<D, B, S>(
    config: &Config,
    request: &Parts,
    permission: Permission,
    now: UnixMillis,
) -> Result<Reply<D, B, S>, Failure> {
    let session = Session {
        permission,
        ends_at: now.plus(LIFETIME_MS),
    };
    let mut reply = report(permission, Some(session))?;
    let cookie = session.cookie(config).unwrap_or_default();
    set_cookie(&mut reply, &cookie, LIFETIME_MS, is_secure(config, request));
    Ok(reply)
}

/// Tells an operator who has been admitted what they may do.
pub(super) fn show<D, B, S>(
    config: &Config,
    request: &Parts,
    permission: Permission,
    now: UnixMillis,
) -> Result<Reply<D, B, S>, Failure> {
    let session = Session::of_request(config, &request.headers, now);
    let session = session.filter(|_| !has_bearer(request));
    report(permission, session)
}

/// Tells a page why there is no session: a page asks for it when it is opened, and that nobody has
/// signed in is no error then.
pub(super) fn show_none<D, B, S>(request: &Parts, why: Failure) -> Result<Reply<D, B, S>, Failure> {
    let signed_out = [
        Failure::OperatorTokenNotConfigured,
        Failure::OperatorTokenMissing,
        Failure::SessionEnded,
    ];
    if has_bearer(request) || !signed_out.contains(&why) {
        return Err(why);
    }
    check_parameters(request, b"")?;
    reply_with(&Report {
        code: Some(why.describe().body.code),
        ..Report::default()
    })
}

/// Removes the cookie of an operator.
pub(super) fn end<D, B, S>(config: &Config, request: &Parts) -> Reply<D, B, S> {
    let mut reply = Reply::empty(StatusCode::NO_CONTENT);
    set_cookie(&mut reply, "", 0, is_secure(config, request));
    reply
}

/// Admits an operator by the session of a request; `None` if it has no cookie, or a token.
pub(super) fn admit(
    config: &Config,
    request: &Parts,
    needed: Permission,
    now: UnixMillis,
) -> Option<Result<Permission, Failure>> {
    if has_bearer(request) {
        return None;
    }
    config
        .admin_token
        .as_ref()
        .or(config.admin_read_token.as_ref())?;
    cookies(&request.headers).next()?;
    let Some(session) = Session::of_request(config, &request.headers, now) else {
        return Some(Err(Failure::SessionEnded));
    };
    Some(if session.permission < needed {
        Err(Failure::ReadOnlyToken)
    } else if is_own_page(config, request) {
        Ok(session.permission)
    } else if request.method.is_safe() {
        // A page of another origin cannot read the response.
        cors::check_origin(config, &request.headers).map(|()| session.permission)
    } else {
        Err(Failure::PageRefused)
    })
}

/// Whether a page of the pool itself sends the request.
pub(super) fn is_own_page(config: &Config, request: &Parts) -> bool {
    if let Some(site) = request.headers.get(SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    let page = origin::of_request(&request.headers);
    let pool = pool_base(config, request);
    page.is_some_and(|page| pool.is_some_and(|pool| origin::is_of_server(&page, &pool)))
}

fn report<D, B, S>(
    permission: Permission,
    session: Option<Session>,
) -> Result<Reply<D, B, S>, Failure> {
    reply_with(&Report {
        permission: Some(name_of(permission)),
        ends_at: session.map(|session| session.ends_at.to_iso()),
        ..Report::default()
    })
}

fn reply_with<D, B, S>(report: &Report) -> Result<Reply<D, B, S>, Failure> {
    let mut reply = Reply::of(report)?;
    let no_store = HeaderValue::from_static("no-store");
    reply.headers.insert(header::CACHE_CONTROL, no_store);
    Ok(reply)
}

impl Session {
    /// The session of a request; `None` if its cookie is not valid, or no longer.
    fn of_request(config: &Config, headers: &HeaderMap, now: UnixMillis) -> Option<Self> {
        let mut sessions = cookies(headers).filter_map(|cookie| Self::read(config, cookie));
        sessions.find(|session| now < session.ends_at)
    }

    /// The cookie for this session; `None` if no operator has its permission.
    fn cookie(self, config: &Config) -> Option<String> {
        let claims = format!("{}.{}", name_of(self.permission), self.ends_at.0);
        let signature = mac(config, self.permission, &claims)?.finalize();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.into_bytes());
        Some(format!("{claims}.{signature}"))
    }

    fn read(config: &Config, cookie: &str) -> Option<Self> {
        let (claims, signature) = cookie.rsplit_once('.')?;
        let (permission, ends_at) = claims.split_once('.')?;
        let permission = [Permission::Read, Permission::Change]
            .into_iter()
            .find(|it| name_of(*it) == permission)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Compares in constant time.
        let is_valid = mac(config, permission, claims)?.verify_slice(&signature);
        is_valid.ok()?;
        Some(Self {
            permission,
            ends_at: UnixMillis(ends_at.parse().ok()?),
        })
    }
}

/// Whether the browser reaches the pool over TLS.
fn is_secure(config: &Config, request: &Parts) -> bool {
    let page = origin::of_request(&request.headers);
    let pool = pool_base(config, request);
    [page, pool]
        .into_iter()
        .flatten()
        .any(|url| url.starts_with("https://"))
}

fn mac(config: &Config, permission: Permission, claims: &str) -> Option<Hmac<Sha256>> {
    let token = match permission {
        Permission::Read => &config.admin_read_token,
        Permission::Change => &config.admin_token,
    };
    let key = token.as_ref().map(Secret::expose)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(PURPOSE);
    mac.update(claims.as_bytes());
    Some(mac)
}

/// The name of a permission, in cookies and reports.
fn name_of(permission: Permission) -> &'static str {
    match permission {
        Permission::Read => "read",
        Permission::Change => "change",
    }
}

/// The values of the session's cookies. Another application on the same host may have set more.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    // Other cookies may have any bytes.
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn set_cookie<D, B, S>(reply: &mut Reply<D, B, S>, value: &str, age_ms: i64, is_secure: bool) {
    let secure = if is_secure { "; Secure" } else { "" };
    let age = age_ms / 1000;
    let cookie =
        format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers.insert(header::SET_COOKIE, cookie);
    }
}
