//! The pool's settings: validates the host's variables and turns them into one [`Config`].
//!
//! All problems are reported at once, so that an operator who fixes one does not meet the next at
//! the next start. Problems never repeat the value of a secret.

mod key_list;
pub mod origin;

use crate::config::origin::{AllowedOrigins, default_port, has_broken_port};
use crate::pool::{ApiKey, Policy};
use crate::wire::naming::is_model;
use crate::wire::redact::reveals;
use http::Uri;
use key_list::KeyList;
use std::fmt;

/// The name of every variable that the component reads, as in `spin.toml`.
pub const VARIABLES: [&str; 24] = [
    "my_api_token",
    "gemini_api_key",
    "llm_api_origin",
    "llm_api_endpoint",
    "llm_model",
    "allowed_origins",
    "enforce_origin",
    "rate_limit_per_minute",
    "trust_forwarded_for",
    "public_url",
    "max_body_bytes",
    "max_held_bytes",
    "max_attempts",
    "first_byte_timeout",
    "first_content_timeout",
    "answer_timeout",
    "failover_deadline",
    "max_wait",
    "retry_empty",
    "repair",
    "model_aliases",
    "sticky",
    "log_commit",
    "log_retention_days",
];

/// The largest `max_body_bytes`: 100 MiB, the most that Google accepts inline.
const LARGEST_MAX_BODY_BYTES: usize = 100 * 1024 * 1024;
const DEFAULT_ORIGIN: &str = "https://generativelanguage.googleapis.com";
const CHAT_PATH: &str = "/v1beta/openai/chat/completions";
const DEFAULT_MODEL: &str = "gemini-flash-latest";
/// The default of `max_body_bytes`: 32 MiB, enough for a PDF of 16 MB in base64.
pub(crate) const DEFAULT_MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// The default of `max_held_bytes`: 512 MiB, enough for 16 bodies of the default size, since 16
/// requests share an instance.
const DEFAULT_MAX_HELD_BYTES: usize = 512 * 1024 * 1024;
/// The largest `max_held_bytes`: 1 GiB, since an instance has 4 GiB and sending a body takes up to
/// three copies of it.
const LARGEST_MAX_HELD_BYTES: usize = 1024 * 1024 * 1024;

/// The shortest accepted client token, in characters.
const MIN_TOKEN_LENGTH: usize = 8;
/// A client token shorter than this, in characters, causes a warning, since it may be guessed.
const SAFE_TOKEN_LENGTH: usize = 16;

const DEFAULT_MAX_ATTEMPTS: usize = 5;
/// The largest `max_attempts`: 20. Each attempt costs a call, and the caller waits for all of them.
const LARGEST_MAX_ATTEMPTS: usize = 20;
/// The default of `log_retention_days`: 30.
pub const DEFAULT_LOG_RETENTION_DAYS: usize = 30;
/// The largest `log_retention_days`: ten years.
const LARGEST_LOG_RETENTION_DAYS: usize = 3650;
const DEFAULT_FIRST_BYTE_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_FIRST_CONTENT_TIMEOUT_MS: u64 = 300_000;
const DEFAULT_MAX_WAIT_MS: u64 = 1_000;
/// The longest time that can be set: 1 h.
const MAX_TIME_MS: u64 = 3_600_000;

/// A text that must not be shown. Compares in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for redaction.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` equals the secret. The time taken depends only on the lengths.
    pub fn matches(&self, candidate: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", crate::pool::mask(&self.0))
    }
}

/// The checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The token that clients must present; `None` refuses every call.
    pub client_token: Option<Secret>,
    /// Keys to import, in the given order.
    pub import_keys: Vec<ApiKey>,
    /// The upstream's scheme, host and port.
    pub upstream: Uri,
    /// The URL of chat completions.
    pub chat_endpoint: Uri,
    /// The model for requests that name none.
    pub default_model: String,
    /// The web pages that may call.
    pub allowed_origins: AllowedOrigins,
    /// Whether to refuse pages that are not among [`allowed_origins`](Self::allowed_origins).
    pub enforce_origin: bool,
    /// Calls per client address and minute; `None` for no limit.
    pub rate_limit_per_minute: Option<u32>,
    /// Whether to take the client's address from `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// The most bytes of request bodies that an instance holds at a time.
    pub max_held_bytes: usize,
    /// The URL at which clients reach the pool, with any path prefix and without a trailing slash.
    pub public_url: Option<String>,
    /// The limits of one request.
    pub failover: Policy,
    /// Whether to repair what breaks OpenAI's clients in answers, and to omit what Google does not
    /// support from requests.
    pub repair: bool,
    /// Whether the turns of a conversation prefer one project.
    pub sticky: bool,
    /// When calls are written to the log.
    pub log_commit: LogCommit,
    /// Aliases of models, each with its model.
    pub model_aliases: Vec<(String, String)>,
    /// Days after which a call may be deleted from the log; `None` keeps all.
    pub log_retention_days: Option<u32>,
    warnings: Vec<String>,
}

/// When a call is written to the log, relative to the end of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogCommit {
    /// Before the client receives the answer's last byte, so that not even a crash loses the row.
    #[default]
    Before,
    /// A moment later, in a batch with other calls.
    After,
}

/// Everything that is wrong with the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig(Vec<String>);

impl InvalidConfig {
    /// The problems, one line each: the variable and what to set instead, never a value.
    pub fn problems(&self) -> &[String] {
        &self.0
    }

    /// The host failed to provide these variables.
    pub fn unreadable(names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| format!("the variable {name} cannot be read; check its provider"))
                .collect(),
        )
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid configuration: {}", self.0.join("; "))
    }
}

impl std::error::Error for InvalidConfig {}

/// Whether to trust the proxies in front of the pool about where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// Forwarding headers are used.
    Trusted,
    /// Forwarding headers are ignored.
    Untrusted,
}

impl Config {
    /// Whether forwarding headers are used, from `trust_forwarded_for`.
    pub fn proxies(&self) -> Proxies {
        match self.trust_forwarded_for {
            true => Proxies::Trusted,
            false => Proxies::Untrusted,
        }
    }

    /// Settings that work, but that the operator may want to change, one line each: the variable,
    /// never a value.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The secrets among the settings: the client token and the keys to import.
    pub fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        let keys = self.import_keys.iter().map(ApiKey::expose);
        self.client_secrets().chain(keys)
    }

    /// The secrets that clients present.
    pub fn client_secrets(&self) -> impl Iterator<Item = &str> + Clone {
        self.client_token.iter().map(Secret::expose)
    }

    /// The model that a name refers to: itself, unless it is an alias.
    pub fn model_of<'a>(&'a self, name: &'a str) -> &'a str {
        let found = self.model_aliases.iter().find(|(alias, _)| alias == name);
        found.map_or(name, |(_, model)| model)
    }

    /// The URL of a path and query at the upstream; `None` if they are invalid.
    pub fn upstream_url(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let path_and_query = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        join(&self.upstream, &path_and_query).ok()
    }

    /// Reads the settings through `get`, which returns a variable's value, or `None` if it is not
    /// defined. Empty and undefined variables take their defaults; only `llm_api_origin` must not
    /// be empty.
    ///
    /// # Errors
    /// Lists every invalid variable and what to set instead.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut problems = Vec::new();
        let text = |name: &str| {
            get(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };

        // Unlike the other variables, this one also defines the host's allow-list, and empty it
        // allows nothing.
        if get("llm_api_origin").is_some_and(|value| value.trim().is_empty()) {
            problems.push(format!(
                "llm_api_origin is empty: leave it unset for {DEFAULT_ORIGIN}"
            ));
        }
        let origin = text("llm_api_origin").unwrap_or_else(|| DEFAULT_ORIGIN.to_owned());
        let origin = parse_origin(&origin).unwrap_or_else(|problem| {
            problems.push(problem);
            Uri::from_static(DEFAULT_ORIGIN)
        });
        let chat_endpoint = match text("llm_api_endpoint") {
            Some(endpoint) => parse_endpoint(&endpoint, &origin),
            None => join(&origin, CHAT_PATH),
        };
        let chat_endpoint = chat_endpoint.unwrap_or_else(|problem| {
            problems.push(problem);
            Uri::from_static(DEFAULT_ORIGIN)
        });

        let public = text("public_url");
        let public_url = public.as_deref().and_then(public_url);
        if public.is_some() && public_url.is_none() {
            problems.push("public_url must be the URL at which clients reach the pool, such as https://pool.example.com or https://example.com/gemini".to_owned());
        }

        let mut flag = |name: &str, default: bool| match text(name)
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None => default,
            Some("false" | "0" | "no" | "off") => false,
            Some("true" | "1" | "yes" | "on") => true,
            Some(_) => {
                problems.push(format!("{name} must be true or false"));
                default
            }
        };
        let enforce_origin = flag("enforce_origin", false);
        let trust_forwarded_for = flag("trust_forwarded_for", false);
        let retry_empty = flag("retry_empty", true);
        let repair = flag("repair", true);
        let sticky = flag("sticky", false);

        let log_commit = match text("log_commit").as_deref() {
            None | Some("before") => LogCommit::Before,
            Some("after") => LogCommit::After,
            Some(_) => {
                problems.push("log_commit must be before or after".to_owned());
                LogCommit::Before
            }
        };

        let mut number = |name: &str, default: usize, rule: &str| match text(name)
            .map(|value| value.parse::<u32>())
        {
            None => default,
            Some(Ok(value)) => value as usize,
            Some(Err(_)) => {
                problems.push(format!("{name} must be a whole number {rule}"));
                default
            }
        };
        let rate_limit = number("rate_limit_per_minute", 0, "of calls, 0 for no limit");
        let max_body_bytes = number(
            "max_body_bytes",
            DEFAULT_MAX_BODY_BYTES,
            "of bytes, from 1 to 104857600",
        );
        let max_held_bytes = number(
            "max_held_bytes",
            DEFAULT_MAX_HELD_BYTES,
            "of bytes, from max_body_bytes to 1073741824",
        );
        let max_attempts = number(
            "max_attempts",
            DEFAULT_MAX_ATTEMPTS,
            "of calls to the upstream, from 1 to 20",
        );
        let log_retention_days = number(
            "log_retention_days",
            DEFAULT_LOG_RETENTION_DAYS,
            "of days, from 1 to 3650, or 0 to keep the log forever",
        );
        if !(1..=LARGEST_MAX_BODY_BYTES).contains(&max_body_bytes) {
            problems.push(format!(
                "max_body_bytes must be from 1 to {LARGEST_MAX_BODY_BYTES}, since bodies are held in the component's memory"
            ));
        }

        if !(max_body_bytes..=LARGEST_MAX_HELD_BYTES).contains(&max_held_bytes) {
            problems.push(format!(
                "max_held_bytes must be from max_body_bytes to {LARGEST_MAX_HELD_BYTES}, so that at least one body fits"
            ));
        }
        if !(1..=LARGEST_MAX_ATTEMPTS).contains(&max_attempts) {
            problems.push(format!(
                "max_attempts must be from 1 to {LARGEST_MAX_ATTEMPTS}"
            ));
        }
        if log_retention_days > LARGEST_LOG_RETENTION_DAYS {
            problems.push(format!(
                "log_retention_days must be from 1 to {LARGEST_LOG_RETENTION_DAYS}, or 0 to keep the log forever"
            ));
        }
        let mut seconds = |name: &str, min_ms: u64| match milliseconds(&text(name)?) {
            Some(ms) if (min_ms..=MAX_TIME_MS).contains(&ms) => Some(ms),
            Some(_) | None => {
                let min = if min_ms == 0 { "0" } else { "0.001" };
                problems.push(format!(
                    "{name} must be a number of seconds from {min} to 3600, such as 1.5"
                ));
                None
            }
        };
        let failover = Policy {
            max_attempts: u32::try_from(max_attempts).unwrap_or(1),
            first_byte_timeout_ms: seconds("first_byte_timeout", 1)
                .unwrap_or(DEFAULT_FIRST_BYTE_TIMEOUT_MS),
            first_content_timeout_ms: seconds("first_content_timeout", 1)
                .unwrap_or(DEFAULT_FIRST_CONTENT_TIMEOUT_MS),
            answer_timeout_ms: seconds("answer_timeout", 1),
            deadline_ms: seconds("failover_deadline", 1),
            max_wait_ms: seconds("max_wait", 0).unwrap_or(DEFAULT_MAX_WAIT_MS),
            retry_empty,
        };

        let mut warnings = Vec::new();
        let client_token = text("my_api_token").map(Secret);
        let token = client_token.as_ref().map_or("", Secret::expose);
        if client_token.is_some() {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                problems.push(
                    "my_api_token must be visible ASCII characters without spaces, which is all that a header can carry"
                        .to_owned(),
                );
            } else if token.len() < MIN_TOKEN_LENGTH {
                problems.push(format!(
                    "my_api_token must have at least {MIN_TOKEN_LENGTH} characters: try `openssl rand -hex 24`"
                ));
            } else if token.len() < SAFE_TOKEN_LENGTH {
                warnings.push(format!(
                    "my_api_token has fewer than {SAFE_TOKEN_LENGTH} characters and may be guessed: try `openssl rand -hex 24`"
                ));
            }
        }

        let listed = KeyList::parse(&text("gemini_api_key").unwrap_or_default());
        warnings.extend(listed.warning());
        let import_keys = listed.keys;

        let is_secret = |name: &str| {
            let keys = import_keys.iter().map(ApiKey::expose);
            reveals(name, keys.chain([token]))
        };
        let default_model = text("llm_model").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
        if !is_model(&default_model) {
            problems.push("llm_model must be 1 to 128 letters, digits and ._:/@-".to_owned());
        } else if is_secret(&default_model) {
            problems.push(
                "llm_model is a token or an API key, but must be the name of a model".to_owned(),
            );
        }

        let allowed_origins = AllowedOrigins::parse(&text("allowed_origins").unwrap_or_default())
            .unwrap_or_else(|bad| {
                problems.extend(
                    bad.into_iter()
                        .map(|problem| format!("allowed_origins: {problem}")),
                );
                AllowedOrigins::default()
            });

        let mut model_aliases: Vec<(String, String)> = Vec::new();
        let aliases = text("model_aliases").unwrap_or_default();
        let aliases = aliases
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        for (position, entry) in (1..).zip(aliases) {
            let pair = entry.split_once('=').map(|(a, m)| (a.trim(), m.trim()));
            match pair.filter(|_| !is_secret(entry)) {
                Some((alias, model)) if is_model(alias) && is_path_safe_model(model) => {
                    let is_new = model_aliases.iter().all(|(known, _)| known != alias);
                    if is_new {
                        model_aliases.push((alias.to_owned(), model.to_owned()));
                    } else {
                        problems.push(format!(
                            "model_aliases: the name of entry {position} is a duplicate"
                        ));
                    }
                }
                _ => problems.push(format!(
                    "model_aliases: entry {position} must be a pair such as gpt-4o=gemini-flash-latest"
                )),
            }
        }

        if !problems.is_empty() {
            return Err(InvalidConfig(problems));
        }
        Ok(Self {
            client_token,
            import_keys,
            upstream: origin,
            chat_endpoint,
            default_model,
            allowed_origins,
            enforce_origin,
            rate_limit_per_minute: u32::try_from(rate_limit).ok().filter(|limit| *limit > 0),
            trust_forwarded_for,
            max_body_bytes,
            max_held_bytes,
            public_url,
            failover,
            repair,
            log_commit,
            sticky,
            model_aliases,
            log_retention_days: u32::try_from(log_retention_days)
                .ok()
                .filter(|days| *days > 0),
            warnings,
        })
    }
}

/// Whether this is a model's name that can be part of a path as it is.
fn is_path_safe_model(name: &str) -> bool {
    is_model(name) && !name.contains(['/', ':', '@'])
}

/// Converts seconds to whole milliseconds.
fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    let ms = (seconds * 1000.0).round();
    (ms.is_finite() && (0.0..=MAX_TIME_MS as f64).contains(&ms)).then_some(ms as u64)
}

fn parse_origin(text: &str) -> Result<Uri, String> {
    let problem = || {
        format!(
            "llm_api_origin must be only scheme, host and port, such as {DEFAULT_ORIGIN} or http://127.0.0.1:8080"
        )
    };
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| problem())?;
    // The host's allow-list compares the scheme case-sensitively.
    let web = text.starts_with("http://") || text.starts_with("https://");
    let bare = uri.path() == "/" && uri.query().is_none();
    if text.contains('*') {
        return Err("llm_api_origin must name one host and one port, without `*`: the pool may call no other".to_owned());
    }
    if web && bare && has_only_host_and_port(&uri) {
        Ok(uri)
    } else {
        Err(problem())
    }
}

/// Validates a URL of scheme, host, port and path, and strips its trailing slashes; `None` if it is
/// invalid.
fn public_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = uri.query().is_none() && !text.contains(['*', '#']);
    let fits = is_web && is_plain && has_only_host_and_port(&uri);
    fits.then(|| text.trim_end_matches('/').to_owned())
}

fn parse_endpoint(text: &str, origin: &Uri) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|_| "llm_api_endpoint must be a URL".to_owned())?;
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('*'))
    {
        return Err("llm_api_endpoint must name one host, without `*`".to_owned());
    }
    if !has_only_host_and_port(&uri) {
        return Err("llm_api_endpoint must have a numeric port or none, and no user".into());
    }
    // The host blocks everything but the origin, so another host would only fail later, with a less
    // clear error.
    if uri.scheme() != origin.scheme() || host_and_port(&uri) != host_and_port(origin) {
        return Err("llm_api_endpoint must be on llm_api_origin, the only host that the pool may call: set both".into());
    }
    Ok(uri)
}

/// Whether the authority is a host with an optional numeric port; the URL parser accepts more.
fn has_only_host_and_port(uri: &Uri) -> bool {
    let has_user = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    !has_user && !has_broken_port(uri)
}

fn host_and_port(uri: &Uri) -> (Option<String>, Option<u16>) {
    (
        uri.host().map(str::to_ascii_lowercase),
        uri.port_u16().or_else(|| default_port(uri.scheme_str()?)),
    )
}

fn join(origin: &Uri, path: &str) -> Result<Uri, String> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts)
        .map_err(|_| "llm_api_origin cannot be joined with the chat path".to_owned())
}

#[cfg(test)]
mod tests;
