//! The pool's settings: validates the host's variables and turns them into one [`Config`].
//!
//! All problems are reported at once, so that an operator who fixes one does not meet the next at
//! the next start. Problems never repeat the value of a secret.

mod alerting;
mod aliases;
mod encryption;
pub(crate) mod key_list;
pub mod origin;
mod settings;
mod url;
mod variables;

pub use alerting::Alerting;
pub use aliases::{ModelAlias, ModelAliases};
pub use encryption::{EncryptionKey, EncryptionKeys};
pub use settings::Setting;

use crate::config::origin::AllowedOrigins;
use crate::pool::{ApiKey, Network, Policy};
use crate::wire::naming::is_model;
use crate::wire::redact::{redact, reveals};
use http::Uri;
use key_list::KeyList;
use std::fmt;
use url::DEFAULT_ORIGIN;
use variables::Variables;

/// The name of every variable that the component reads, as in `spin.toml`.
pub const VARIABLES: [&str; 36] = [
    "my_api_token",
    "admin_token",
    "admin_read_token",
    "gemini_api_key",
    "encryption_key",
    "encryption_key_previous",
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
    "log_format",
    "alert_origin",
    "alert_webhook",
    "alert_webhook_secret",
    "alert_min_usable_keys",
    "alert_budget_hours",
    "metrics_token",
    "metrics_networks",
];

/// The largest `max_body_bytes`: 100 MiB, the most that Google accepts inline.
const LARGEST_MAX_BODY_BYTES: usize = 100 * 1024 * 1024;
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

/// The shortest accepted token, in characters.
const MIN_TOKEN_LENGTH: usize = 8;
/// A token shorter than this, in characters, causes a warning, since it may be guessed.
const SAFE_TOKEN_LENGTH: usize = 16;

const DEFAULT_MAX_ATTEMPTS: u32 = 5;
/// The largest `max_attempts`: 20. Each attempt costs a call, and the caller waits for all of them.
const LARGEST_MAX_ATTEMPTS: u32 = 20;
/// The default of `log_retention_days`: 30.
pub const DEFAULT_LOG_RETENTION_DAYS: u32 = 30;
/// The largest `log_retention_days`: ten years.
const LARGEST_LOG_RETENTION_DAYS: u32 = 3650;
const DEFAULT_FIRST_BYTE_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_FIRST_CONTENT_TIMEOUT_MS: u64 = 300_000;
const DEFAULT_MAX_WAIT_MS: u64 = 1_000;

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
    /// The token of operators who may change the pool.
    pub admin_token: Option<Secret>,
    /// The token of operators who may only read.
    pub admin_read_token: Option<Secret>,
    /// Keys to import, in the given order.
    pub import_keys: Vec<ApiKey>,
    /// What seals the keys in the database.
    pub encryption: EncryptionKeys,
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
    /// Whether forwarding headers are used.
    pub proxies: Proxies,
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
    /// Aliases of models.
    pub model_aliases: ModelAliases,
    /// Days after which a call may be deleted from the log; `None` keeps all.
    pub log_retention_days: Option<u32>,
    /// How requests are written to the terminal.
    pub log_format: LogFormat,
    /// Alerts by webhook; `None` if there are none.
    pub alerting: Option<Alerting>,
    /// The token of those who may read the metrics, and nothing else.
    pub metrics_token: Option<Secret>,
    /// Networks from which the metrics can be read without a token.
    pub metrics_networks: Vec<Network>,
    /// The values of [`VARIABLES`], as they were given.
    given: Vec<Option<Secret>>,
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

/// How the line of each request on the terminal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// As `name=value`.
    #[default]
    Text,
    /// As a JSON object, like all other lines.
    Json,
    /// Requests have no line.
    None,
}

impl LogFormat {
    /// The value of `log_format`, which is read even if other variables are invalid; the default if
    /// it is itself.
    pub fn of_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        read_log_format(&mut Variables::new(&get))
    }
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
    /// Settings that work, but that the operator may want to change, one line each: the variable,
    /// never a value.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every variable and its value in force, unless it is a secret.
    pub fn settings(&self) -> Vec<Setting> {
        let secrets: Vec<&str> = self.secrets().collect();
        let default_endpoint = url::join(&self.upstream, CHAT_PATH).unwrap_or_default();
        Setting::all(
            &self.given,
            |value| redact(value, &secrets),
            &default_endpoint.to_string(),
        )
    }

    /// The secrets among the settings: the tokens, the keys to import, and what signs alerts.
    pub fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        let keys = self.import_keys.iter().map(ApiKey::expose);
        let others = [
            &self.admin_token,
            &self.admin_read_token,
            &self.metrics_token,
        ];
        let others = others.into_iter().flatten().map(Secret::expose);
        let alerting = self
            .alerting
            .iter()
            .map(|alerting| alerting.secret.expose());
        self.client_secrets()
            .chain(others)
            .chain(keys)
            .chain(alerting)
    }

    /// The secrets that clients present.
    pub fn client_secrets(&self) -> impl Iterator<Item = &str> + Clone {
        self.client_token.iter().map(Secret::expose)
    }

    /// The model that a name refers to: itself, unless it is an alias.
    pub fn model_of<'a>(&'a self, name: &'a str) -> &'a str {
        let alias = self.model_aliases.find(name);
        alias.map_or(name, |alias| &alias.model)
    }

    /// The URL of a path and query at the upstream; `None` if they are invalid.
    pub fn upstream_url(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let path_and_query = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        url::join(&self.upstream, &path_and_query).ok()
    }

    /// Reads the settings through `get`, which returns a variable's value, or `None` if it is not
    /// defined. Empty and undefined variables take their defaults; only `llm_api_origin` must not
    /// be empty.
    ///
    /// # Errors
    /// Lists every invalid variable and what to set instead.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut variables = Variables::new(&get);
        let upstream = read_origin(&mut variables);
        let chat_endpoint = read_endpoint(&mut variables, &upstream);
        let public_url = variables.text("public_url");
        let public_url = public_url.map(|text| url::parse_public(&text)).transpose();
        let tokens = read_tokens(&mut variables);
        let key_list = KeyList::parse(&variables.text("gemini_api_key").unwrap_or_default());
        variables.warnings.extend(key_list.warning());
        let import_keys = key_list.keys;
        let is_secret = |text: &str| {
            let keys = import_keys.iter().map(ApiKey::expose);
            reveals(
                text,
                keys.chain(tokens.iter().flatten().map(Secret::expose)),
            )
        };
        let default_model = read_default_model(&mut variables, is_secret);
        let model_aliases = read_aliases(&mut variables, is_secret);
        let max_body_bytes = variables.number(
            "max_body_bytes",
            DEFAULT_MAX_BODY_BYTES,
            1..=LARGEST_MAX_BODY_BYTES,
            "of bytes, from 1 to 104857600, since bodies are held in the component's memory",
        );
        let [client_token, admin_token, admin_read_token, metrics_token] = tokens.clone();
        Ok(Self {
            upstream,
            chat_endpoint,
            public_url: variables.checked(public_url),
            encryption: EncryptionKeys::read(&mut variables),
            allowed_origins: read_allowed_origins(&mut variables),
            enforce_origin: variables.flag("enforce_origin", false),
            rate_limit_per_minute: read_rate_limit(&mut variables),
            proxies: read_proxies(&mut variables),
            max_body_bytes,
            max_held_bytes: variables.number(
                "max_held_bytes",
                DEFAULT_MAX_HELD_BYTES,
                max_body_bytes..=LARGEST_MAX_HELD_BYTES,
                "of bytes, from max_body_bytes to 1073741824, so that at least one body fits",
            ),
            failover: read_policy(&mut variables),
            repair: variables.flag("repair", true),
            log_commit: read_log_commit(&mut variables),
            log_format: read_log_format(&mut variables),
            sticky: variables.flag("sticky", false),
            log_retention_days: variables.limit(
                "log_retention_days",
                DEFAULT_LOG_RETENTION_DAYS,
                LARGEST_LOG_RETENTION_DAYS,
                "of days, from 1 to 3650, or 0 to keep the log forever",
            ),
            metrics_token,
            metrics_networks: read_metrics_networks(&mut variables),
            client_token,
            admin_token,
            admin_read_token,
            import_keys,
            default_model,
            model_aliases,
            alerting: Alerting::read(&mut variables),
            given: VARIABLES
                .map(|name| variables.text(name).map(Secret))
                .into(),
            warnings: variables.finish().map_err(InvalidConfig)?,
        })
    }
}

fn read_origin(variables: &mut Variables<'_>) -> Uri {
    // Unlike the other variables, this one also defines the host's allow-list, and empty it allows
    // nothing.
    if variables.is_blank("llm_api_origin") {
        variables.problem(format!(
            "llm_api_origin is empty: leave it unset for {DEFAULT_ORIGIN}"
        ));
    }
    if let Some(text) = variables.text("llm_api_origin") {
        match url::parse_origin("llm_api_origin", &text) {
            Ok(origin) => return origin,
            Err(problem) => variables.problem(problem),
        }
    }
    Uri::from_static(DEFAULT_ORIGIN)
}

fn read_endpoint(variables: &mut Variables<'_>, upstream: &Uri) -> Uri {
    let endpoint = match variables.text("llm_api_endpoint") {
        Some(endpoint) => url::parse_on("llm_api_endpoint", &endpoint, "llm_api_origin", upstream),
        None => url::join(upstream, CHAT_PATH),
    };
    variables.checked(endpoint)
}

fn read_token(variables: &mut Variables<'_>, name: &str) -> Option<Secret> {
    let token = variables.text(name)?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        variables.problem(format!(
            "{name} must be visible ASCII characters without spaces, which is all that a header can carry",
        ));
    } else if token.len() < MIN_TOKEN_LENGTH {
        variables.problem(format!(
            "{name} must have at least {MIN_TOKEN_LENGTH} characters: try `openssl rand -hex 24`"
        ));
    } else if token.len() < SAFE_TOKEN_LENGTH {
        variables.warnings.push(format!(
            "{name} has fewer than {SAFE_TOKEN_LENGTH} characters and may be guessed: try `openssl rand -hex 24`"
        ));
    }
    Some(Secret(token))
}

/// The tokens of clients, operators, operators who only read, and those who read the metrics.
const TOKENS: [&str; 4] = [
    "my_api_token",
    "admin_token",
    "admin_read_token",
    "metrics_token",
];

/// Reads the tokens. They must differ, so that none is mistaken for another.
fn read_tokens(variables: &mut Variables<'_>) -> [Option<Secret>; TOKENS.len()] {
    let tokens = TOKENS.map(|name| read_token(variables, name));
    let has_equal = tokens.iter().enumerate().any(|(number, token)| {
        let mut others = tokens.iter().skip(number + 1);
        token.is_some() && others.any(|other| other == token)
    });
    if has_equal {
        variables
            .problem("my_api_token, admin_token, admin_read_token and metrics_token must differ");
    }
    tokens
}

fn read_default_model(variables: &mut Variables<'_>, is_secret: impl Fn(&str) -> bool) -> String {
    let model = variables.text("llm_model");
    let model = model.unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    if !is_model(&model) {
        variables.problem("llm_model must be 1 to 128 letters, digits and ._:/@-");
    } else if is_secret(&model) {
        variables.problem("llm_model is a token or an API key, but must be the name of a model");
    }
    model
}

fn read_aliases(variables: &mut Variables<'_>, is_secret: impl Fn(&str) -> bool) -> ModelAliases {
    let list = variables.text("model_aliases").unwrap_or_default();
    let (aliases, findings) = ModelAliases::parse(&list, is_secret);
    for problem in findings.problems {
        variables.problem(problem);
    }
    variables.warnings.extend(findings.warnings);
    aliases
}

fn read_allowed_origins(variables: &mut Variables<'_>) -> AllowedOrigins {
    let list = variables.text("allowed_origins").unwrap_or_default();
    AllowedOrigins::parse(&list).unwrap_or_else(|problems| {
        for problem in problems {
            variables.problem(format!("allowed_origins: {problem}"));
        }
        AllowedOrigins::default()
    })
}

fn read_rate_limit(variables: &mut Variables<'_>) -> Option<u32> {
    let rule = "of calls, 0 for no limit";
    variables.limit("rate_limit_per_minute", 0, u32::MAX, rule)
}

fn read_proxies(variables: &mut Variables<'_>) -> Proxies {
    match variables.flag("trust_forwarded_for", false) {
        true => Proxies::Trusted,
        false => Proxies::Untrusted,
    }
}

fn read_log_commit(variables: &mut Variables<'_>) -> LogCommit {
    match variables.text("log_commit").as_deref() {
        Some("after") => return LogCommit::After,
        None | Some("before") => {}
        Some(_) => variables.problem("log_commit must be before or after"),
    }
    LogCommit::Before
}

fn read_log_format(variables: &mut Variables<'_>) -> LogFormat {
    match variables.text("log_format").as_deref() {
        Some("json") => return LogFormat::Json,
        Some("none") => return LogFormat::None,
        None | Some("text") => {}
        Some(_) => variables.problem("log_format must be text, json or none"),
    }
    LogFormat::Text
}

fn read_metrics_networks(variables: &mut Variables<'_>) -> Vec<Network> {
    let list = variables.text("metrics_networks").unwrap_or_default();
    let networks = list.split(',').map(str::trim).map(Network::parse);
    let networks: Option<_> = networks.collect();
    if networks.is_none() && !list.is_empty() {
        variables.problem("metrics_networks must be networks between commas, such as 10.0.0.0/8");
    }
    networks.unwrap_or_default()
}

fn read_policy(variables: &mut Variables<'_>) -> Policy {
    Policy {
        max_attempts: variables.number(
            "max_attempts",
            DEFAULT_MAX_ATTEMPTS,
            1..=LARGEST_MAX_ATTEMPTS,
            "of calls to the upstream, from 1 to 20",
        ),
        first_byte_timeout_ms: variables
            .milliseconds("first_byte_timeout", 1)
            .unwrap_or(DEFAULT_FIRST_BYTE_TIMEOUT_MS),
        first_content_timeout_ms: variables
            .milliseconds("first_content_timeout", 1)
            .unwrap_or(DEFAULT_FIRST_CONTENT_TIMEOUT_MS),
        answer_timeout_ms: variables.milliseconds("answer_timeout", 1),
        deadline_ms: variables.milliseconds("failover_deadline", 1),
        max_wait_ms: variables
            .milliseconds("max_wait", 0)
            .unwrap_or(DEFAULT_MAX_WAIT_MS),
        retry_empty: variables.flag("retry_empty", true),
    }
}

/// Whether this is a model's name that can be part of a path as it is.
fn is_path_safe_model(name: &str) -> bool {
    is_model(name) && !name.contains(['/', ':', '@'])
}

#[cfg(test)]
mod tests;
