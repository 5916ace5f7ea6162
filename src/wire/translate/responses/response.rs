//! The response object, its items, and what it repeats of the request.
//!
//! Source: `Response` and `OutputItem` of <https://github.com/openai/openai-openapi>.

use super::form::{Echo, Form};
use super::tools::{ClientTool, ToolKind};
use crate::pool::Usage;
use crate::wire::json::{Members, read};
use crate::wire::parameters::Parameters;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A response, finished or not.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: ResponseStatus,
    background: bool,
    error: Option<&'a ResponseError>,
    incomplete_details: Option<IncompleteDetails>,
    model: &'a str,
    output: &'a [Item],
    previous_response_id: (),
    service_tier: &'static str,
    store: bool,
    usage: Option<ResponseUsage>,
    #[serde(flatten)]
    echo: &'a Echo,
}

impl<'a> Response<'a> {
    pub(super) fn new(
        form: &'a Form,
        id: &'a str,
        output: &'a [Item],
        outcome: &'a Outcome,
        usage: Option<Usage>,
    ) -> Self {
        Self {
            id,
            object: "response",
            created_at: form.created,
            status: outcome.status(),
            background: false,
            error: match outcome {
                Outcome::Failed(error) => Some(error),
                Outcome::InProgress | Outcome::Completed | Outcome::Incomplete(_) => None,
            },
            incomplete_details: match outcome {
                Outcome::Incomplete(reason) => Some(IncompleteDetails { reason: *reason }),
                Outcome::InProgress | Outcome::Completed | Outcome::Failed(_) => None,
            },
            model: &form.model,
            output,
            previous_response_id: (),
            service_tier: "default",
            store: false,
            usage: usage.map(ResponseUsage::of),
            echo: &form.echo,
        }
    }
}

/// How far a response has come.
#[derive(Debug)]
pub(super) enum Outcome {
    InProgress,
    Completed,
    Incomplete(IncompleteReason),
    Failed(ResponseError),
}

impl Outcome {
    fn status(&self) -> ResponseStatus {
        match self {
            Self::InProgress => ResponseStatus::InProgress,
            Self::Completed => ResponseStatus::Completed,
            Self::Incomplete(_) => ResponseStatus::Incomplete,
            Self::Failed(_) => ResponseStatus::Failed,
        }
    }

    /// The event that announces it.
    pub(super) fn event(&self) -> &'static str {
        match self {
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete(_) => "response.incomplete",
            Self::Failed(_) => "response.failed",
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum ResponseStatus {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IncompleteReason {
    MaxOutputTokens,
    ContentFilter,
}

#[derive(Debug, Serialize)]
struct IncompleteDetails {
    reason: IncompleteReason,
}

#[derive(Debug, Serialize)]
pub(super) struct ResponseError {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// Not in the description, but the AI SDK demands it.
    #[serde(rename = "type")]
    kind: &'static str,
}

impl ResponseError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            kind: match code {
                ErrorCode::ServerError => "server_error",
                ErrorCode::RateLimitExceeded => "rate_limit_error",
                ErrorCode::InvalidPrompt => "invalid_request_error",
            },
        }
    }

    /// OpenAI's class of errors.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorCode {
    ServerError,
    RateLimitExceeded,
    InvalidPrompt,
}

impl ErrorCode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServerError => "server_error",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::InvalidPrompt => "invalid_prompt",
        }
    }
}

#[derive(Debug, Serialize)]
struct ResponseUsage {
    input_tokens: u64,
    input_tokens_details: InputTokens,
    output_tokens: u64,
    output_tokens_details: OutputTokens,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputTokens {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputTokens {
    reasoning_tokens: u64,
}

impl ResponseUsage {
    fn of(usage: Usage) -> Self {
        let output_tokens = usage.written();
        Self {
            input_tokens: usage.input,
            input_tokens_details: InputTokens {
                cached_tokens: usage.cached,
                cache_write_tokens: 0,
            },
            output_tokens,
            output_tokens_details: OutputTokens {
                reasoning_tokens: usage.thinking,
            },
            total_tokens: usage.input.saturating_add(output_tokens),
        }
    }
}

/// An item of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Reasoning {
        id: String,
        summary: Vec<Content>,
        encrypted_content: Option<String>,
    },
    Message {
        id: String,
        status: ItemStatus,
        role: &'static str,
        content: Vec<Content>,
    },
    FunctionCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
    },
    CustomToolCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
    },
    LocalShellCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        action: Object,
    },
    ShellCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        action: Object,
        environment: Environment,
    },
    ApplyPatchCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        operation: Object,
    },
    ToolSearchCall {
        id: String,
        status: ItemStatus,
        call_id: String,
        execution: &'static str,
        arguments: Object,
    },
    WebSearchCall {
        id: String,
        status: ItemStatus,
        action: SearchAction,
    },
    ImageGenerationCall {
        id: String,
        status: ItemStatus,
        result: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    Incomplete,
}

/// Where a shell runs: at the client.
#[derive(Debug, Serialize)]
pub(super) struct Environment {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// What a message or a summary contains.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    OutputText {
        text: String,
        annotations: Vec<Annotation>,
        /// Always empty: Gemini's have another format, and are not asked for.
        logprobs: [(); 0],
    },
    SummaryText {
        text: String,
    },
}

/// A source of a passage, by the indices of its characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "url_citation")]
pub(super) struct Annotation {
    pub(super) start_index: usize,
    /// Exclusive.
    pub(super) end_index: usize,
    pub(super) url: String,
    pub(super) title: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "search")]
pub(super) struct SearchAction {
    pub(super) query: String,
    pub(super) queries: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sources: Option<Vec<SearchSource>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "url")]
pub(super) struct SearchSource {
    pub(super) url: String,
}

/// The arguments of a call, with defaults for members that OpenAI requires.
#[derive(Debug)]
pub(super) struct Object {
    json: String,
    defaults: &'static [(&'static str, &'static str)],
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Members(members) = serde_json::from_str(&self.json).unwrap_or(Members(Vec::new()));
        let is_missing = |name: &str| members.iter().all(|(member, _)| member != name);
        let defaults = self.defaults.iter().filter(|(name, _)| is_missing(name));
        let defaults = defaults.filter_map(|(name, value)| {
            Some((*name, serde_json::from_str::<&RawValue>(value).ok()?))
        });
        serializer
            .collect_map(defaults.chain(members.iter().map(|(name, value)| (&**name, *value))))
    }
}

/// A call of a tool under way.
pub(super) struct Call<'a> {
    pub(super) tool: &'a ClientTool,
    pub(super) id: &'a str,
    pub(super) call_id: &'a str,
}

impl Call<'_> {
    /// The item with these arguments, which are a JSON object or a custom tool's input.
    pub(super) fn item(&self, status: ItemStatus, args: &str) -> Item {
        let (id, call_id) = (self.id.to_owned(), self.call_id.to_owned());
        let name = self.tool.name.clone();
        let namespace = self.tool.namespace.clone();
        let object = |defaults| Object {
            json: args.to_owned(),
            defaults,
        };
        match self.tool.kind {
            ToolKind::Function => Item::FunctionCall {
                id,
                status,
                call_id,
                name,
                namespace,
                arguments: args.to_owned(),
            },
            ToolKind::Custom => Item::CustomToolCall {
                id,
                status,
                call_id,
                name,
                namespace,
                input: args.to_owned(),
            },
            ToolKind::LocalShell => Item::LocalShellCall {
                id,
                status,
                call_id,
                action: object(&[("type", r#""exec""#), ("command", "[]"), ("env", "{}")]),
            },
            ToolKind::Shell => Item::ShellCall {
                id,
                status,
                call_id,
                action: object(&[
                    ("commands", "[]"),
                    ("timeout_ms", "null"),
                    ("max_output_length", "null"),
                ]),
                environment: Environment { kind: "local" },
            },
            ToolKind::ApplyPatch => Item::ApplyPatchCall {
                id,
                status,
                call_id,
                operation: object(&[]),
            },
            ToolKind::ToolSearch => Item::ToolSearchCall {
                id,
                status,
                call_id,
                execution: "client",
                arguments: object(&[]),
            },
        }
    }
}

/// The input of a custom tool, from the arguments of its function.
pub(super) fn custom_input(args: &str) -> String {
    let input = serde_json::from_str::<&RawValue>(args)
        .ok()
        .and_then(|args| {
            let args = Parameters::of(args).ok()?;
            read::<String>(args.raw("input")?)
        });
    // A model that ignores the declaration.
    input.unwrap_or_else(|| args.to_owned())
}
