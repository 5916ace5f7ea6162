//! Maps a response to an outcome, that is, to the party at fault.
//!
//! Google reports an invalid key with 400, 401 or 403 and an unavailable model with 403, 404 or
//! 429, and uses one code for several faults, so the status alone never decides. [`TABLE`] does:
//! the first matching row wins, and errors that match no specific row end in one that harms no key.
//!
//! Messages are matched by a few words ([`Words`]) rather than by sentence. Only a complete error
//! with a canonical code, which is one from Google, can condemn a key or a project: an intermediate
//! proxy knows nothing about keys.

use super::ApiError;
use super::quota::{self, QuotaKind};
use super::words::Words;
use crate::pool::{Limit, Outcome};
use crate::wire::TransportError;
use crate::wire::request_traits::RequestTraits;
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The status assumed for an error that carries none.
const DEFAULT_STATUS: u16 = 500;

/// The service that the pool's keys belong to.
const GEMINI_SERVICE: &str = "generativelanguage.googleapis.com";

/// Prefixes of messages that quote the request at length.
const QUOTES_THE_REQUEST: [&str; 4] = [
    "Invalid JSON payload received",
    "Invalid value at ",
    "* ",
    "Unable to parse ",
];

/// Limit for [`Row::within`], in bytes of [`Words`]: the phrase must start the message. Used where
/// a match condemns a key or a project.
const AT_START: usize = 0;
/// As [`AT_START`], but allows one word before the phrase.
const AFTER_ONE_WORD: usize = 12;
/// Limit for [`Row::within`] for messages that may echo the request.
const NEAR_START: usize = 100;
const ANYWHERE: usize = usize::MAX;

const BILLING: &str = "the project's spending cap, credits or billing account are exhausted";
const PLAN: &str = "the project's plan does not include this";

/// Phrases that report more than one credential.
const MULTIPLE_CREDENTIALS: &[&str] = &[
    "multiple authentication credentials|multiple credentials|two credentials",
    "received multiple + credentials",
    "more than one authentication credential|more than one credential",
    "received more than one + credential*",
];

/// Phrases for a credential of the wrong type, or in a header that the method does not accept.
const INVALID_CREDENTIAL: &[&str] = &["request had invalid authentication|invalid authentication"];

/// Phrases that report an invalid key.
const INVALID_KEY: &[&str] = &[
    "api key not valid|api key is not valid|api key is invalid|invalid api key",
    "api key expired|api key has expired|api key is expired",
    "api key not found|api key was not found",
    "api key has been revoked|api key was revoked|api key has been deleted|api key was deleted",
    "api key is no longer|api key no longer|api keys are no longer",
];

/// Who sent the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Anyone.
    Any,
    /// Google's API: the error has a canonical code.
    Google,
    /// An HTML page, from a Google front end or an intermediary.
    Page,
}

/// An additional condition of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// The request calls a model, and the error names no other service.
    OwnModelCall,
    /// The request's method is documented to accept API keys.
    TakesKeys,
    /// The request calls a model and names no file, cache or other resource, and the message names
    /// no model.
    NothingNamed,
    /// The request uses a server-side tool.
    Tool,
    /// The key can also be sent in the other header, which has not been tried yet.
    OtherHeader,
    /// The error concerns the Gemini API itself rather than another service.
    OwnService,
    /// The message quotes the request at length.
    QuotesRequest,
    /// The request alone exceeds one of the named quotas.
    TooLarge,
    /// The error names no quota.
    NoQuotaNamed,
    /// The request uses a server-side tool, and the error names a tool quota.
    ToolNamed,
    /// The error's quotas are of this kind.
    Quota(QuotaKind),
}

/// A row of [`TABLE`].
#[derive(Debug)]
struct Row {
    /// Matching statuses; empty matches every 4xx.
    status: &'static [u16],
    sender: Sender,
    /// Matching canonical codes; empty matches any.
    codes: &'static [&'static str],
    /// Matching reasons of `google.rpc.ErrorInfo`. A row matches by `reasons` or by `words`; if
    /// both are empty, it matches any text.
    reasons: &'static [&'static str],
    /// Matching words, as [`Words::contain`] reads them.
    words: &'static [&'static str],
    /// How far into the message the first phrase of the words may start, in bytes of [`Words`].
    within: usize,
    when: When,
    outcome: Outcome,
    /// Logged in place of a message that may quote the request.
    description: &'static str,
    /// Where the error was observed. "wire" stands for bodies recorded from the API and
    /// <https://ai.google.dev/gemini-api/docs/troubleshooting>.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers, and for a test"))]
    source: &'static str,
}

const ANY: Row = Row {
    status: &[],
    sender: Sender::Any,
    codes: &[],
    reasons: &[],
    words: &[],
    within: ANYWHERE,
    when: When::Always,
    outcome: Outcome::UpstreamTrouble,
    description: "",
    source: "",
};

const GOOGLE: Row = Row {
    sender: Sender::Google,
    ..ANY
};

const TABLE: &[Row] = &[
    Row {
        status: &[429],
        sender: Sender::Page,
        outcome: Outcome::EgressRefused,
        description: "a page about automated queries",
        source: "thooton/muse#6",
        ..ANY
    },
    Row {
        status: &[401, 403],
        sender: Sender::Page,
        outcome: Outcome::RequestRefused,
        description: "refused by a front end, with a web page",
        source: "thooton/muse#6",
        ..ANY
    },
    Row {
        status: &[400, 503],
        sender: Sender::Page,
        outcome: Outcome::UpstreamTrouble,
        description: "a web page instead of an answer",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[403],
        words: &["you do not have permission|caller does not have permission"],
        within: 0,
        outcome: Outcome::ResourceRefused,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[400],
        when: When::QuotesRequest,
        outcome: Outcome::ClientFault,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[402, 403, 429],
        reasons: &[
            "BILLING_DISABLED",
            "BILLING_ACCOUNT_CLOSED",
            "SPENDING_CAP_EXCEEDED",
            "PAYMENT_REQUIRED",
        ],
        outcome: Outcome::BillingExhausted,
        description: BILLING,
        source: "google.api.ErrorReason; ai.google.dev/gemini-api/docs/api-errors",
        ..GOOGLE
    },
    Row {
        status: &[402, 429],
        // These messages do not echo the request. An error that names a quota is about that quota.
        words: &[
            "spending cap|spend cap|spending limit|spend limit|monthly spend*|prepaid|prepay*",
            "budget + exceeded",
            "credit* + deplet*|exhaust*|used up|insufficient|run out|expired",
            "out of credit*|no credit*|no remaining credit*|no more credit*",
            "balance + insufficient|deplet*|exhaust*",
            "insufficient funds|add funds|top up|billing account",
            "billing + disabled",
            "payment + past due|failed",
        ],
        when: When::NoQuotaNamed,
        outcome: Outcome::BillingExhausted,
        description: BILLING,
        source: "wire; screenpipe/screenpipe PR #6060",
        ..GOOGLE
    },
    Row {
        status: &[400, 403],
        codes: &["FAILED_PRECONDITION", "PERMISSION_DENIED"],
        words: &[
            "project + spending cap|spend cap|spending limit",
            "prepa* credits + deplet*|exhaust*",
            "prepayment credits|prepaid credits|billing is disabled|billing has been disabled",
            "billing account + closed|exhaust*|exceed*|disabled|suspended|inactive|not active",
            "billing account + no longer|standing|past due|delinquent|not open",
            "dunning + deny",
        ],
        within: AFTER_ONE_WORD,
        outcome: Outcome::BillingExhausted,
        description: BILLING,
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[400, 403, 429],
        codes: &[
            "FAILED_PRECONDITION",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
        ],
        words: &[
            "free tier + country|countries|region|location|territory",
            "free quota tier|for free|unpaid + country|region|location",
        ],
        within: 40,
        outcome: Outcome::FreeTierRefused,
        description: "the free tier is not available at this location, and the project has no billing",
        source: "u14app/neo-chat#45",
        ..GOOGLE
    },
    Row {
        status: &[400, 402, 403],
        words: &[
            "only accessible to billed users|only available to billed users|billed users only",
            "requires billing to be enabled",
        ],
        within: NEAR_START,
        outcome: Outcome::PlanRefused,
        description: PLAN,
        source: "ammaarreshi/openjourney#1",
        ..GOOGLE
    },
    Row {
        status: &[400, 402, 403],
        words: &[
            "billed|without billing|active billing account|paying",
            "billing + enable*|requires|required",
            "paid tier*|paid plan*|paid account*|paid user*|paid project*|paid customer*",
            "paid subscription|free tier|free plan|free quota tier",
            "upgrade + plan|tier|account",
        ],
        within: NEAR_START,
        outcome: Outcome::PlanDoubted,
        description: PLAN,
        source: "rewordings of the row above",
        ..GOOGLE
    },
    Row {
        status: &[400],
        words: &[
            "user location + not|unsupported",
            "location|country|region + not supported",
            "not available in your country|not available in your region|not available in your location",
            "not supported in your country|not supported in your region",
        ],
        within: NEAR_START,
        outcome: Outcome::EgressRefused,
        description: "this location is not supported",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[401],
        reasons: &["ACCESS_TOKEN_TYPE_UNSUPPORTED"],
        words: INVALID_CREDENTIAL,
        within: AT_START,
        when: When::OtherHeader,
        outcome: Outcome::CredentialMisplaced,
        description: "the key is not accepted in this header",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[400],
        words: MULTIPLE_CREDENTIALS,
        within: AT_START,
        when: When::OtherHeader,
        outcome: Outcome::CredentialMisplaced,
        description: "the key is not accepted in this header",
        source: "NousResearch/hermes-agent#7893",
        ..ANY
    },
    Row {
        status: &[400],
        words: MULTIPLE_CREDENTIALS,
        within: AT_START,
        outcome: Outcome::PoolFault,
        description: "the pool sent two credentials",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[400],
        words: &["missing or invalid authorization header"],
        within: AT_START,
        outcome: Outcome::PoolFault,
        description: "the pool sent no credential",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[400],
        codes: &["INVALID_ARGUMENT"],
        reasons: &["API_KEY_INVALID", "API_KEY_EXPIRED"],
        words: INVALID_KEY,
        within: AT_START,
        outcome: Outcome::KeyRejected,
        description: "the API key is not valid",
        source: "wire; google-gemini/gemini-cli#25198",
        ..GOOGLE
    },
    Row {
        status: &[400],
        words: &[
            "missing|requires|without + thought signature*",
            "thought signature* + missing|required",
            "no thought signature*",
        ],
        within: NEAR_START,
        outcome: Outcome::SignatureMissing,
        description: "a tool call has no thought signature",
        source: "opensquilla#225",
        ..ANY
    },
    Row {
        status: &[400],
        words: &[
            "thought signature* + corrupt*|invalid|not valid|match*|mismatch*|verified|decrypt*|decode*",
            "thought signature* + does not belong|another|different|expired",
            "corrupted thought signature*|invalid thought signature*",
        ],
        within: NEAR_START,
        outcome: Outcome::SignatureRefused,
        description: "a thought signature is not valid here",
        source: "google-gemini/gemini-cli#13467",
        ..ANY
    },
    Row {
        status: &[401, 403],
        reasons: &[
            "CREDENTIALS_MISSING",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "SESSION_COOKIE_INVALID",
        ],
        words: &[
            "api keys + not supported|not accepted|not allowed|cannot",
            "api key + not supported",
            "insufficient + scope*",
            "authentication scope*|requires oauth|require oauth|missing required authentication",
            "oauth + required",
            "missing + authentication credential",
        ],
        within: NEAR_START,
        outcome: Outcome::RequestRefused,
        description: "this method does not accept API keys",
        source: "google/generative-ai-go#103; a2aproject/a2a-samples#43",
        ..GOOGLE
    },
    Row {
        status: &[401],
        reasons: &["ACCESS_TOKEN_TYPE_UNSUPPORTED"],
        words: INVALID_CREDENTIAL,
        within: AT_START,
        when: When::TakesKeys,
        outcome: Outcome::KeyRejected,
        description: "the credential is not valid",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[401],
        reasons: &["API_KEY_INVALID"],
        words: INVALID_KEY,
        within: AT_START,
        when: When::TakesKeys,
        outcome: Outcome::KeyRejected,
        description: "the API key is not valid",
        source: "the same error with another status",
        ..GOOGLE
    },
    Row {
        status: &[401],
        outcome: Outcome::RequestRefused,
        description: "not authenticated",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[401],
        outcome: Outcome::UpstreamTrouble,
        source: "an intermediary that does not know the key",
        ..ANY
    },
    Row {
        status: &[403],
        words: &["method doesn t allow unregistered callers"],
        within: AT_START,
        outcome: Outcome::PoolFault,
        description: "no key arrived",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[403],
        reasons: &["SERVICE_DISABLED"],
        words: &[
            "api has not been used in project",
            "generative language api|gemini api + disabled",
        ],
        within: 60,
        when: When::OwnService,
        outcome: Outcome::ProjectRefused,
        description: "the Gemini API is disabled in the key's project",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[403],
        reasons: &["SERVICE_DISABLED"],
        words: &["api has not been used in project"],
        within: 60,
        outcome: Outcome::RequestRefused,
        description: "another service is disabled in the key's project",
        source: "the same error of a sister service",
        ..GOOGLE
    },
    Row {
        status: &[403],
        words: &["project has been denied access"],
        within: AT_START,
        outcome: Outcome::ProjectRefused,
        description: "the key's project is denied access",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[403],
        reasons: &["API_KEY_SERVICE_BLOCKED"],
        words: &["requests to this api + blocked"],
        within: AT_START,
        when: When::OwnModelCall,
        outcome: Outcome::KeyRestricted,
        description: "the key is restricted to other services",
        source: "continuedev/continue#12781",
        ..GOOGLE
    },
    Row {
        status: &[403],
        reasons: &["API_KEY_SERVICE_BLOCKED"],
        words: &["requests to this api + blocked"],
        within: AT_START,
        outcome: Outcome::RequestRefused,
        description: "the key is restricted to other methods",
        source: "continuedev/continue#12781",
        ..GOOGLE
    },
    Row {
        status: &[403],
        reasons: &[
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_HTTP_REFERRER_BLOCKED",
            "API_KEY_ANDROID_APP_BLOCKED",
            "API_KEY_IOS_APP_BLOCKED",
        ],
        words: &[
            "api key has an ip address restriction",
            "api key + ip address|referrer|referer|application + restrict*",
            "requests from referer|requests from referrer + blocked",
            "requests from this ip address|requests from ip address + blocked",
            "requests from this + application + blocked",
        ],
        within: AT_START,
        outcome: Outcome::KeyRestricted,
        description: "the key is restricted to other addresses, referrers or apps",
        source: "tashfeenahmed/freellmapi#268",
        ..GOOGLE
    },
    Row {
        status: &[403],
        reasons: &["CONSUMER_SUSPENDED", "CONSUMER_INVALID", "API_KEY_INVALID"],
        words: &[
            "api key was reported as leaked|api key is not valid|api key not valid|api key is invalid",
            "api key + leaked|compromised|suspended|expired|no longer",
            "api key + has been revoked|has been deleted|has been disabled",
            "permission denied consumer + suspended",
            "consumer + has been suspended",
        ],
        within: AT_START,
        outcome: Outcome::KeyRejected,
        description: "the key was reported as leaked, or is suspended",
        source: "continuedev/continue#10513, #10902",
        ..GOOGLE
    },
    Row {
        status: &[403],
        outcome: Outcome::ResourceRefused,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[404],
        words: &["model + no longer available|not available to new|retired"],
        within: 0,
        outcome: Outcome::ModelRefused,
        description: "the model is no longer available to this project",
        source: "wire",
        ..ANY
    },
    Row {
        status: &[404],
        when: When::NothingNamed,
        outcome: Outcome::EntityNotFound,
        description: "something was not found, but the error does not say what",
        source: "google-gemini/gemini-cli#28600",
        ..GOOGLE
    },
    Row {
        status: &[408, 499],
        outcome: Outcome::UpstreamTrouble,
        source: "google-gemini/gemini-cli#20309",
        ..ANY
    },
    Row {
        status: &[429],
        when: When::TooLarge,
        outcome: Outcome::RequestTooLarge,
        description: "the request alone is larger than the quota",
        source: "doggy8088/ask-page-extension#21; garrytan/gbrain PR #1922",
        ..GOOGLE
    },
    Row {
        status: &[429],
        when: When::ToolNamed,
        outcome: Outcome::ToolQuota,
        description: "a quota of the request's server-side tool",
        source: "the ids of grounding's quotas",
        ..ANY
    },
    Row {
        status: &[429],
        when: When::Quota(QuotaKind::Zero),
        outcome: Outcome::QuotaNone,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[429],
        words: &[
            "free tier + not available|unavailable",
            "billed users|requires billing",
        ],
        outcome: Outcome::QuotaNone,
        description: "the project's plan has no quota for this",
        source: "wire",
        ..GOOGLE
    },
    Row {
        status: &[429],
        when: When::Quota(QuotaKind::Day),
        outcome: Outcome::QuotaPerDay,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[429],
        reasons: &["QUOTA_EXCEEDED"],
        when: When::NoQuotaNamed,
        outcome: Outcome::QuotaPerDay,
        source: "ai.google.dev/gemini-api/docs/api-errors",
        ..GOOGLE
    },
    Row {
        status: &[429],
        when: When::Quota(QuotaKind::Minute),
        outcome: Outcome::QuotaPerMinute,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[429],
        when: When::Tool,
        outcome: Outcome::ToolQuota,
        description: "a quota of the request's server-side tool, or an unnamed quota",
        source: "google-gemini/cookbook#411; googleapis/python-genai#1427",
        ..ANY
    },
    Row {
        status: &[429],
        when: When::Quota(QuotaKind::Wait),
        outcome: Outcome::QuotaPerMinute,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[429],
        outcome: Outcome::QuotaUnspecified,
        source: "wire",
        ..ANY
    },
    Row {
        status: &[503],
        outcome: Outcome::ModelOverloaded,
        source: "google-gemini/gemini-cli#4597",
        ..ANY
    },
    Row {
        outcome: Outcome::ClientFault,
        source: "wire",
        ..ANY
    },
];

impl Row {
    fn matches(
        &self,
        status: u16,
        error: &ApiError,
        words: &Words,
        request: &RequestTraits,
    ) -> bool {
        let matches_status = if self.status.is_empty() {
            (400..=498).contains(&status)
        } else {
            self.status.contains(&status)
        };
        let matches_sender = match self.sender {
            Sender::Any => true,
            Sender::Google => error.canonical_code().is_some(),
            Sender::Page => error.is_html,
        };
        let code = error.canonical_code().unwrap_or_default();
        matches_status
            && matches_sender
            && (self.codes.is_empty() || self.codes.contains(&code))
            && self.matches_text(error, words)
            && self.when.matches(error, request)
    }

    fn matches_text(&self, error: &ApiError, words: &Words) -> bool {
        if self.reasons.is_empty() && self.words.is_empty() {
            return true;
        }
        let reason = error.reason.as_deref().unwrap_or_default();
        self.reasons.contains(&reason)
            || self
                .words
                .iter()
                .any(|phrases| words.contain(phrases, self.within))
    }
}

impl When {
    fn matches(self, error: &ApiError, request: &RequestTraits) -> bool {
        let message = error.message.as_deref().unwrap_or_default();
        match self {
            Self::Always => true,
            Self::OwnModelCall => {
                let names_other_service = match error.service.as_deref() {
                    Some(service) => service != GEMINI_SERVICE,
                    None => {
                        message.contains(".googleapis.com") && !message.contains(GEMINI_SERVICE)
                    }
                };
                request.is_model_call && !names_other_service
            }
            Self::TakesKeys => request.takes_keys,
            Self::NothingNamed => {
                request.is_model_call && !request.names_resource && !request.is_named_in(message)
            }
            Self::Tool => request.tool.is_some(),
            Self::OtherHeader => request.has_other_header,
            Self::OwnService => match error.service.as_deref() {
                Some(service) => service == GEMINI_SERVICE,
                None => {
                    message.contains("Generative Language API") || message.contains("Gemini API")
                }
            },
            Self::QuotesRequest => QUOTES_THE_REQUEST
                .iter()
                .any(|beginning| message.starts_with(beginning)),
            Self::TooLarge => quota::limits(error)
                .iter()
                .any(|limit| request.size.exceeds(limit)),
            Self::NoQuotaNamed => {
                matches!(quota::kind(error), QuotaKind::Wait | QuotaKind::Nothing)
            }
            Self::ToolNamed => request.tool.is_some() && quota::names_tool(error),
            Self::Quota(named) => quota::kind(error) == named,
        }
    }
}

/// The observed result of a call.
#[derive(Debug, Clone, Copy)]
pub enum CallResult<'a> {
    /// A response.
    Response {
        /// The HTTP status.
        status: u16,
        /// The response headers.
        headers: &'a HeaderMap,
        /// The body, as far as it arrived.
        body: &'a [u8],
    },
    /// An error in the middle of a stream that began with status 200: its JSON text, as far as it
    /// arrived.
    InStream(&'a [u8]),
    /// No response.
    NoResponse(&'a TransportError),
}

/// The interpretation of a call's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// How the attempt ended, and who is at fault.
    pub outcome: Outcome,
    /// The status of the response; for an error within a stream, the status that it names, or 500.
    /// `None` without a response.
    pub status: Option<u16>,
    /// The wait requested by the upstream, in milliseconds; `None` if it requests none. Useless for
    /// daily quotas, where it is also below a minute.
    pub retry_after_ms: Option<u64>,
    /// The project of the key, as `projects/NUMBER`, if the error names it.
    pub project: Option<String>,
    /// The limits revealed by the error, for the key's project and the requested model.
    pub limits: Vec<Limit>,
    /// The parsed error; all fields are empty if there was none or it was unreadable.
    pub error: ApiError,
    /// What may be logged if the message may quote the request; empty if nothing may.
    pub description: &'static str,
}

/// Interprets the result of a call. Total: every result has an outcome.
pub fn diagnose(seen: CallResult<'_>, request: &RequestTraits) -> Diagnosis {
    match seen {
        CallResult::Response {
            status,
            headers,
            body,
        } => {
            let found = if status == 200 {
                ApiError::find(body).map(|error| (named_status(&error), error))
            } else {
                Some((status, ApiError::parse(body)))
            };
            let Some((named, error)) = found else {
                return Diagnosis::new(Outcome::Success, Some(status), ApiError::default(), "");
            };
            let (outcome, description) = classify(named, &error, request);
            let retry_after_ms = error.retry_after_ms.or_else(|| retry_after_ms(headers));
            Diagnosis {
                retry_after_ms,
                ..Diagnosis::new(outcome, Some(status), error, description)
            }
        }
        CallResult::InStream(text) => {
            let error = ApiError::parse(text);
            let status = named_status(&error);
            let (outcome, description) = classify(status, &error, request);
            Diagnosis::new(outcome, Some(status), error, description)
        }
        CallResult::NoResponse(error) => {
            let outcome = match error {
                TransportError::Denied => Outcome::PoolFault,
                TransportError::NotSent(_) => Outcome::NotSent,
                TransportError::Unanswered(_) => Outcome::Unanswered,
                TransportError::TimedOut | TransportError::Stopping | TransportError::Failed(_) => {
                    Outcome::UpstreamTrouble
                }
            };
            Diagnosis::new(outcome, None, ApiError::default(), "")
        }
    }
}

impl Diagnosis {
    fn new(
        outcome: Outcome,
        status: Option<u16>,
        error: ApiError,
        description: &'static str,
    ) -> Self {
        Self {
            outcome,
            status,
            retry_after_ms: error.retry_after_ms,
            project: error.project.clone(),
            limits: quota::limits(&error),
            error,
            description,
        }
    }
}

/// The status of an error that came with a 200. Always an error status.
fn named_status(error: &ApiError) -> u16 {
    error
        .code
        .filter(|code| (400..600).contains(code))
        .unwrap_or(DEFAULT_STATUS)
}

/// Reads `Retry-After` in seconds. Dates are ignored, as there is no clock here.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    seconds.checked_mul(1000)
}

/// Returns the outcome of an error with this status, and what may be logged about it.
fn classify(status: u16, error: &ApiError, request: &RequestTraits) -> (Outcome, &'static str) {
    let words = Words::of(error.message.as_deref().unwrap_or_default());
    TABLE
        .iter()
        .find(|row| row.matches(status, error, &words, request))
        .map_or((Outcome::UpstreamTrouble, ""), |row| {
            (row.outcome, row.description)
        })
}

#[cfg(test)]
mod tests;
