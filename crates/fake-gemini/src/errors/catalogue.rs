//! All errors but those about fields and named quotas.

use super::{ApiError, SERVICE, detail, help};
use crate::models::bare;
use serde_json::{Value, json};

/// Constructors of errors whose message is all they say.
macro_rules! plain {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*) = $code:literal $status:ident,
        $message:literal $(, $value:expr)*;
    )*) => {$(
        $(#[$doc])*
        pub fn $name($($argument: $type),*) -> ApiError {
            ApiError::new($code, stringify!($status), format!($message $(, $value)*))
        }
    )*};
}

// The key, its project, what the project owns, and the place of the caller.
plain! {
    /// [`unauthenticated`] as of 2025.
    unauthenticated_without_details() = 401 UNAUTHENTICATED,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
         cookie or other valid authentication credential. See \
         https://developers.google.com/identity/sign-in/web/devconsole-project.";
    /// More than one credential in a call.
    two_credentials() = 400 INVALID_ARGUMENT,
        "Multiple authentication credentials received. Please pass only one.";
    /// No credential on the native surface.
    no_credential() = 403 PERMISSION_DENIED,
        "Method doesn't allow unregistered callers (callers without established identity). \
         Please use API Key or other form of API consumer identity to call this API.";
    /// No credential on the compatible surface, or only one in the query, for which it is
    /// recorded (NVIDIA/NemoClaw#2093, April 2026).
    no_authorization_header() = 400 INVALID_ARGUMENT,
        "Missing or invalid Authorization header.";
    /// A key that Google found in public.
    leaked() = 403 PERMISSION_DENIED,
        "Your API key was reported as leaked. Please use another API key.";
    /// A project that Google has shut out.
    project_denied() = 403 PERMISSION_DENIED,
        "Your project has been denied access. Please contact support.";
    /// The 403 that names no reason.
    permission_denied() = 403 PERMISSION_DENIED,
        "The caller does not have permission";
    /// A file that belongs to another project or does not exist; `name` may start with `files/`.
    file_denied(name: &str) = 403 PERMISSION_DENIED,
        "You do not have permission to access the File {} or it may not exist.",
        name.strip_prefix("files/").unwrap_or(name);
    /// A cache that belongs to another project or does not exist.
    cached_content_denied() = 403 PERMISSION_DENIED,
        "CachedContent not found (or permission denied)";
    /// Anything else that belongs to another project or does not exist.
    no_such_entity() = 404 NOT_FOUND,
        "Requested entity was not found.";
    /// A call from a country that Google does not serve.
    location_unsupported() = 400 FAILED_PRECONDITION,
        "User location is not supported for the API use.";
}

// The request.
plain! {
    /// A model that does not exist or does not support the method. `api_version` is `v1main` on
    /// the compatible surface and that of the path on the native one; `method` is
    /// `generateContent` and the like.
    model_not_found(model: &str, api_version: &str, method: &str) = 404 NOT_FOUND,
        "models/{} is not found for API version {api_version}, or is not supported for {method}. \
         Call ModelService.ListModels to see the list of available models and their supported \
         methods.",
        bare(model);
    /// The description of a model that does not exist. `api_version` is that of the path.
    no_such_model(model: &str, api_version: &str) = 404 NOT_FOUND,
        "Model is not found: models/{} for api version {api_version}",
        bare(model);
    /// A model for projects that already used it only.
    model_retired_for_new_users(model: &str) = 404 NOT_FOUND,
        "This model models/{} is no longer available to new users. Please update your code to \
         use a newer model for the latest features and improvements.",
        bare(model);
    /// A model that is gone.
    model_retired(model: &str, successor: &str) = 404 NOT_FOUND,
        "This model models/{} is no longer available. Please update your code to use models/{}",
        bare(model), bare(successor);
    /// A body that is not JSON. `excerpt` surrounds the place where parsing stopped, after `at`
    /// of its characters.
    invalid_json(excerpt: &str, at: usize) = 400 INVALID_ARGUMENT,
        "Invalid JSON payload received. Unexpected token.\n{excerpt}\n{}^",
        " ".repeat(at);
    /// No message to answer; the compatible surface names the native field too.
    no_contents() = 400 INVALID_ARGUMENT,
        "* GenerateContentRequest.contents: contents is not specified\n";
    /// No model in the body.
    no_model() = 400 INVALID_ARGUMENT,
        "model is not specified";
    /// A prompt that is too long, in tokens.
    input_too_long(limit: u64) = 400 INVALID_ARGUMENT,
        "The input token count exceeds the maximum number of tokens allowed {limit}.";
    /// More than 100 texts to embed.
    too_many_embeddings() = 400 INVALID_ARGUMENT,
        "BatchEmbedContentsRequest.requests: at most 100 requests";
    /// A body of more than 100 MiB.
    payload_too_large() = 400 INVALID_ARGUMENT,
        "Request payload size exceeds the limit: 104857600 bytes.";
    /// A tool call that lost its signature, on Gemini 3. `position` counts the contents of the
    /// conversation from 1.
    missing_thought_signature(function: &str, position: usize) = 400 INVALID_ARGUMENT,
        "Function call is missing a thought_signature in functionCall parts. This is required \
         for tools to work correctly, and missing thought_signature may lead to degraded model \
         performance. Additional data, function call `{function}` , position {position}. Please \
         refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.";
    /// A thought signature that was changed or never issued.
    corrupted_thought_signature() = 400 INVALID_ARGUMENT,
        "Corrupted thought signature.";
    /// Tools combined with a JSON response type, on older models.
    tools_with_json() = 400 INVALID_ARGUMENT,
        "Function calling with a response mime type: 'application/json' is unsupported";
    /// The 400 that names no reason.
    invalid_argument() = 400 INVALID_ARGUMENT,
        "Request contains an invalid argument.";
}

// The conversation, the tools and the options of a request on the native surface. Published in
// google-gemini/gemini-cli#5923, #9535, #13326 and #17208, continuedev/continue#11164,
// RooCodeInc/Roo-Code#10700, charmbracelet/crush#995, withceleste/celeste-python#197,
// googleapis/js-genai#882 and #1768, zed-industries/zed#17343 and elsewhere, from 2025 on.
plain! {
    /// A content with a role that does not exist.
    invalid_role() = 400 INVALID_ARGUMENT,
        "Please use a valid role: user, model.";
    /// Function calls at the start of a conversation.
    calls_out_of_turn() = 400 INVALID_ARGUMENT,
        "Please ensure that function call turn comes immediately after a user turn or after a \
         function response turn.";
    /// Function responses that follow anything but function calls.
    results_out_of_turn() = 400 INVALID_ARGUMENT,
        "Please ensure that function response turn comes immediately after a function call turn.";
    /// More or fewer function responses than calls.
    results_do_not_match_calls() = 400 INVALID_ARGUMENT,
        "Please ensure that the number of function response parts is equal to the number of \
         function call parts of the function call turn.";
    /// A conversation that ends with the model's words, or mixes function responses with words at
    /// its end, on Gemini 3 (vellum-ai/vellum-assistant#39495).
    ends_with_model_turn() = 400 INVALID_ARGUMENT,
        "Requests ending with a model turn are not supported.";
    /// A call of one of Google's own tools that lost its signature, on Gemini 3.
    tool_call_without_signature() = 400 INVALID_ARGUMENT,
        "Tool call part is missing thought_signature";
    /// Data of a kind that no model reads.
    unsupported_mime_type(mime_type: &str) = 400 INVALID_ARGUMENT,
        "Unsupported MIME type: {mime_type}";
    /// Two functions of one name.
    duplicate_function(name: &str) = 400 INVALID_ARGUMENT,
        "Duplicate function declaration found: {name}";
    /// A `$ref` to nothing; `place` is such as `properties.city`.
    undefined_schema(place: &str) = 400 INVALID_ARGUMENT,
        "reference to undefined schema at {place}";
    /// A `$ref` combined with other keywords. The text is Code Assist's
    /// (diegosouzapw/OmniRoute#1416); the rule is documented for `responseJsonSchema`.
    reference_with_siblings(reference: &str) = 400 INVALID_ARGUMENT,
        "Schema.ref '{reference}' was set alongside unsupported fields. If a schema node has \
         Schema.ref set, then only description and default can be set alongside it; other fields \
         they would be replaced by the expanded reference.";
    /// A function whose parameters are nested too deeply.
    function_too_deep() = 400 INVALID_ARGUMENT,
        "A FunctionDeclaration in the request exceeds the maximum allowed nesting depth.";
    /// A schema for the answer that is nested too deeply.
    response_schema_too_deep() = 400 INVALID_ARGUMENT,
        "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.";
    /// Functions combined with Google's own tools on a model before Gemini 3.
    functions_with_tools() = 400 INVALID_ARGUMENT,
        "Tool use with function calling is unsupported by the model.";
    /// The same on Gemini 3, which wants to be told to report its own calls.
    server_side_tools_not_included() = 400 INVALID_ARGUMENT,
        "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools \
         with Function calling.";
    /// How to call functions, without any.
    calling_without_functions() = 400 INVALID_ARGUMENT,
        "Function calling config is set without function_declarations.";
    /// A thinking budget that the model does not allow.
    invalid_thinking_budget(budget: i64, least: i64, most: i64) = 400 INVALID_ARGUMENT,
        "The thinking budget {budget} is invalid. Please choose a value between {least} and {most}.";
    /// A thinking level, before Gemini 3.
    no_thinking_levels() = 400 INVALID_ARGUMENT,
        "Thinking level is not supported for this model.";
    /// A thinking level that the model does not have.
    unsupported_thinking_level(level: &str) = 400 INVALID_ARGUMENT,
        "Thinking level {level} is not supported for this model. Please retry with other thinking \
         level.";
    /// Both ways to limit thinking.
    thinking_budget_and_level() = 400 INVALID_ARGUMENT,
        "You can only set only one of thinking budget and thinking level.";
    /// Nothing whose tokens could be counted.
    nothing_to_count() = 400 INVALID_ARGUMENT,
        "CountTokens requires generate_content_request or contents to be set.";
}

/// Fields of a `GenerateContentRequest` that are refused, each with its path and the rule.
pub fn invalid_request(violations: &[(String, &str)]) -> ApiError {
    let lines = violations
        .iter()
        .map(|(path, rule)| format!("* GenerateContentRequest.{path}: {rule}\n"));
    ApiError::new(400, "INVALID_ARGUMENT", lines.collect::<String>())
}

// 429 without details.
plain! {
    /// The 429 that names no reason: bursts, capacity, suspected abuse.
    resource_exhausted() = 429 RESOURCE_EXHAUSTED,
        "Resource has been exhausted (e.g. check quota).";
    /// A prepaid account that is empty.
    prepayment_depleted() = 429 RESOURCE_EXHAUSTED,
        "Your prepayment credits are depleted. Please go to AI Studio at \
         https://ai.studio/projects to manage your project and billing. Learn more at \
         https://ai.google.dev/gemini-api/docs/billing#prepay. ";
    /// A preview without a free tier, as of April 2025. `model` and `instead` are display names.
    no_free_tier(model: &str, instead: &str) = 429 RESOURCE_EXHAUSTED,
        "{model} doesn't have a free quota tier. Please use {instead} instead. For more \
         information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.";
    /// Shared capacity, in Vertex AI's words.
    shared_capacity() = 429 RESOURCE_EXHAUSTED,
        "Resource exhausted. Please try again later. Please refer to \
         https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.";
}

// Google itself.
plain! {
    /// 500, long form.
    internal() = 500 INTERNAL,
        "An internal error has occurred. Please retry or report in \
         https://developers.generativeai.google/guide/troubleshooting";
    /// 500, short form.
    internal_error_encountered() = 500 INTERNAL,
        "Internal error encountered.";
    /// 503 as of 2025.
    overloaded() = 503 UNAVAILABLE,
        "The model is overloaded. Please try again later.";
    /// 503 as of 2026.
    high_demand() = 503 UNAVAILABLE,
        "This model is currently experiencing high demand. Spikes in demand are usually \
         temporary. Please try again later.";
    /// 503 of the whole service.
    unavailable() = 503 UNAVAILABLE,
        "The service is currently unavailable.";
    /// 504: the model took too long.
    deadline_exceeded() = 504 DEADLINE_EXCEEDED,
        "Deadline expired before operation could complete.";
    /// 499: cancelled by Google.
    cancelled() = 499 CANCELLED,
        "The operation was cancelled.";
}

fn invalid_key(message: &str) -> ApiError {
    ApiError::new(400, "INVALID_ARGUMENT", message)
        .with_reason("API_KEY_INVALID", json!({"service": SERVICE}))
}

/// A key that Google does not know. The status is 400, not 401.
pub fn key_invalid() -> ApiError {
    invalid_key("API key not valid. Please pass a valid API key.")
}

/// An expired key.
pub fn key_expired() -> ApiError {
    invalid_key("API key expired. Please renew the API key.")
}

/// A deleted key.
pub fn key_not_found() -> ApiError {
    invalid_key("API Key not found. Please pass a valid API key.")
}

/// A token that is not accepted, or a key as a bearer token on the native surface. `method` is
/// the full name of the gRPC method.
pub fn unauthenticated(method: &str) -> ApiError {
    let metadata = json!({"method": method, "service": SERVICE});
    let info = json!({"reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED", "metadata": metadata});
    unauthenticated_without_details().with(detail("ErrorInfo", info))
}

fn number(project: &str) -> &str {
    project.strip_prefix("projects/").unwrap_or(project)
}

/// A 403 about a consumer. `project` may start with `projects/`, here and below.
fn denied(message: String, reason: &str, project: &str, mut metadata: Value) -> ApiError {
    metadata["consumer"] = format!("projects/{}", number(project)).into();
    metadata["service"] = SERVICE.into();
    ApiError::new(403, "PERMISSION_DENIED", message).with_reason(reason, metadata)
}

/// A suspended key, which Google repeats in the message and in the metadata.
pub fn suspended(key: &str, project: &str) -> ApiError {
    let key = format!("api_key:{key}");
    let message = format!("Permission denied: Consumer '{key}' has been suspended.");
    let metadata = json!({"containerInfo": key});
    denied(message, "CONSUMER_SUSPENDED", project, metadata)
}

/// A key that is restricted to other APIs. `method` is the full name of the gRPC method.
pub fn service_blocked(project: &str, method: &str) -> ApiError {
    let message = format!("Requests to this API {SERVICE} method {method} are blocked.");
    let metadata = json!({"apiName": SERVICE, "methodName": method});
    denied(message, "API_KEY_SERVICE_BLOCKED", project, metadata)
}

/// A key that is restricted to certain web pages.
pub fn referrer_blocked(project: &str) -> ApiError {
    let message = "Requests from referer <empty> are blocked.".to_owned();
    let metadata = json!({"httpReferrer": "<empty>"});
    denied(message, "API_KEY_HTTP_REFERRER_BLOCKED", project, metadata)
}

/// A key that is restricted to certain addresses; `ip` is the caller's.
pub fn ip_blocked(project: &str, ip: &str) -> ApiError {
    let message = format!(
        "The provided API key has an IP address restriction. The originating IP address of the \
         call ({ip}) violates this restriction."
    );
    denied(message, "API_KEY_IP_ADDRESS_BLOCKED", project, json!({}))
}

/// A project that has not enabled the API.
pub fn service_disabled(project: &str) -> ApiError {
    let number = number(project);
    let url = format!(
        "https://console.developers.google.com/apis/api/{SERVICE}/overview?project={number}"
    );
    let message = format!(
        "Generative Language API has not been used in project {number} before or it is disabled. \
         Enable it by visiting {url} then retry. If you enabled this API recently, wait a few \
         minutes for the action to propagate to our systems and retry."
    );
    let metadata = json!({
        "serviceTitle": "Generative Language API",
        "containerInfo": number,
        "activationUrl": url,
    });
    denied(message, "SERVICE_DISABLED", project, metadata)
        .with(help("Google developers console API activation", &url))
}
