//! Every error of the catalogue, to the byte and without a frame.

mod quotas;

use fake_gemini::errors::{self, ApiError};

const PROJECT: &str = "projects/000000000001";
const RPC: &str = "google.ai.generativelanguage.v1beta.GenerativeService.StreamGenerateContent";

/// `{"error":{…}}` with these in it, in Google's order.
fn status(code: u16, message: &str, status: &str) -> String {
    format!(r#"{{"error":{{"code":{code},"message":"{message}","status":"{status}"}}}}"#)
}

fn detailed(code: u16, message: &str, name: &str, details: &str) -> String {
    let mut text = status(code, message, name);
    text.truncate(text.len() - 2);
    format!(r#"{text},"details":[{details}]}}}}"#)
}

fn reason(message: &str, reason: &str, metadata: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"googleapis.com","metadata":{{{metadata}}}}},{{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","message":"{message}"}}"#
    )
}

fn check(errors: impl IntoIterator<Item = (ApiError, String)>) {
    for (error, expected) in errors {
        assert_eq!(error.compact(), expected);
    }
}

#[test]
fn errors_about_what_projects_own() {
    let denied = |message| status(403, message, "PERMISSION_DENIED");
    let invalid = |message| status(400, message, "INVALID_ARGUMENT");
    check([
        (
            errors::file_denied("files/a-1"),
            denied("You do not have permission to access the File a-1 or it may not exist."),
        ),
        (
            errors::cached_content_denied(),
            denied("CachedContent not found (or permission denied)"),
        ),
        (
            errors::tuned_model_denied("tunedModels/t"),
            denied("You do not have permission to access tuned model t."),
        ),
        (
            errors::file_exists("files/a"),
            status(
                409,
                "The requested file already exists: a",
                "ALREADY_EXISTS",
            ),
        ),
        (
            errors::no_such_entity(),
            status(404, "Requested entity was not found.", "NOT_FOUND"),
        ),
        (
            errors::no_such_upload(),
            status(404, "Requested entity was not found.", "NOT_FOUND"),
        ),
        (
            errors::upload_terminated(),
            invalid("Upload has already been terminated."),
        ),
        (
            errors::cached_content_of_other_model("models/a", "b"),
            invalid(
                "Model used by GenerateContent request (models/a) and CachedContent (models/b) has to be the same.",
            ),
        ),
        (
            errors::cached_content_with_more(),
            invalid(
                r"CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request.",
            ),
        ),
    ]);
}

#[test]
fn errors_about_keys() {
    let service = r#""service":"generativelanguage.googleapis.com""#;
    let invalid = |message| {
        let details = reason(message, "API_KEY_INVALID", service);
        detailed(400, message, "INVALID_ARGUMENT", &details)
    };
    let denied = |message| status(403, message, "PERMISSION_DENIED");
    let denied_for = |message: &str, why, metadata: &str| {
        detailed(
            403,
            message,
            "PERMISSION_DENIED",
            &reason(message, why, metadata),
        )
    };
    let consumer = format!(r#""consumer":"{PROJECT}",{service}"#);
    let unauthenticated = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
    check([
        (
            errors::key_invalid(),
            invalid("API key not valid. Please pass a valid API key."),
        ),
        (
            errors::key_expired(),
            invalid("API key expired. Please renew the API key."),
        ),
        (
            errors::key_not_found(),
            invalid("API Key not found. Please pass a valid API key."),
        ),
        (
            errors::unauthenticated(
                "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent",
            ),
            detailed(
                401,
                unauthenticated,
                "UNAUTHENTICATED",
                &format!(
                    r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_TYPE_UNSUPPORTED","metadata":{{"method":"google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent",{service}}}}}"#
                ),
            ),
        ),
        (
            errors::unauthenticated_without_details(),
            status(401, unauthenticated, "UNAUTHENTICATED"),
        ),
        (
            errors::two_credentials(),
            status(
                400,
                "Multiple authentication credentials received. Please pass only one.",
                "INVALID_ARGUMENT",
            ),
        ),
        (
            errors::no_credential(),
            denied(
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
            ),
        ),
        (
            errors::no_authorization_header(),
            status(
                400,
                "Missing or invalid Authorization header.",
                "INVALID_ARGUMENT",
            ),
        ),
        (
            errors::leaked(),
            denied("Your API key was reported as leaked. Please use another API key."),
        ),
        (
            errors::project_denied(),
            denied("Your project has been denied access. Please contact support."),
        ),
        (
            errors::permission_denied(),
            denied("The caller does not have permission"),
        ),
        (
            errors::suspended("AIzaFAKE-x", PROJECT),
            denied_for(
                "Permission denied: Consumer 'api_key:AIzaFAKE-x' has been suspended.",
                "CONSUMER_SUSPENDED",
                &format!(r#"{consumer},"containerInfo":"api_key:AIzaFAKE-x""#),
            ),
        ),
        (
            errors::service_blocked(PROJECT, RPC),
            denied_for(
                &format!(
                    "Requests to this API generativelanguage.googleapis.com method {RPC} are blocked."
                ),
                "API_KEY_SERVICE_BLOCKED",
                &format!(
                    r#"{consumer},"apiName":"generativelanguage.googleapis.com","methodName":"{RPC}""#
                ),
            ),
        ),
        (
            errors::referrer_blocked(PROJECT),
            denied_for(
                r"Requests from referer \u003cempty\u003e are blocked.",
                "API_KEY_HTTP_REFERRER_BLOCKED",
                &format!(r#"{consumer},"httpReferrer":"\u003cempty\u003e""#),
            ),
        ),
        (
            errors::ip_blocked(PROJECT, "192.0.2.1"),
            denied_for(
                "The provided API key has an IP address restriction. The originating IP address of the call (192.0.2.1) violates this restriction.",
                "API_KEY_IP_ADDRESS_BLOCKED",
                &consumer,
            ),
        ),
        (
            errors::location_unsupported(),
            status(
                400,
                "User location is not supported for the API use.",
                "FAILED_PRECONDITION",
            ),
        ),
    ]);

    let url = "https://console.developers.google.com/apis/api/generativelanguage.googleapis.com/overview?project=000000000001";
    let message = format!(
        "Generative Language API has not been used in project 000000000001 before or it is disabled. Enable it by visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
    );
    let metadata = format!(
        r#""serviceTitle":"Generative Language API","consumer":"{PROJECT}","containerInfo":"000000000001",{service},"activationUrl":"{url}""#
    );
    let details = reason(&message, "SERVICE_DISABLED", &metadata);
    let help = format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.Help","links":[{{"description":"Google developers console API activation","url":"{url}"}}]}}"#
    );
    check([(
        errors::service_disabled(PROJECT),
        detailed(
            403,
            &message,
            "PERMISSION_DENIED",
            &format!("{details},{help}"),
        ),
    )]);
}

#[test]
fn a_project_may_be_named_by_its_number() {
    let (number, named) = ("000000000001", PROJECT);
    for (bare, full) in [
        (
            errors::suspended("k", number),
            errors::suspended("k", named),
        ),
        (
            errors::service_blocked(number, RPC),
            errors::service_blocked(named, RPC),
        ),
        (
            errors::referrer_blocked(number),
            errors::referrer_blocked(named),
        ),
        (
            errors::ip_blocked(number, "192.0.2.1"),
            errors::ip_blocked(named, "192.0.2.1"),
        ),
        (
            errors::service_disabled(number),
            errors::service_disabled(named),
        ),
    ] {
        assert_eq!(bare.compact(), full.compact());
        let consumer = r#""consumer":"projects/000000000001""#;
        assert!(bare.compact().contains(consumer), "{}", bare.compact());
    }
}

#[test]
fn errors_about_requests() {
    let invalid = |message| status(400, message, "INVALID_ARGUMENT");
    let missing = |message| status(404, message, "NOT_FOUND");
    let violation = |text: &str, field: &str| {
        format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{{field}"description":"{text}"}}]}}"#
        )
    };
    let nested = r#"Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field."#;
    let value = "Invalid value at 'stream' (TYPE_BOOL), 7";
    let root =
        r#"Invalid JSON payload received. Unknown name \"\": Root element must be a message."#;
    check([
        (
            errors::model_not_found("gemini-3.6-flahs", "v1beta", "generateContent"),
            missing(
                "models/gemini-3.6-flahs is not found for API version v1beta, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods.",
            ),
        ),
        (
            errors::no_such_model("models/x", "v1beta"),
            missing("Model is not found: models/x for api version v1beta"),
        ),
        (
            errors::model_retired_for_new_users("gemini-2.5-flash"),
            missing(
                "This model models/gemini-2.5-flash is no longer available to new users. Please update your code to use a newer model for the latest features and improvements.",
            ),
        ),
        (
            errors::model_retired("gemini-2.5-flash", "gemini-3.8-flash"),
            missing(
                "This model models/gemini-2.5-flash is no longer available. Please update your code to use models/gemini-3.8-flash",
            ),
        ),
        (
            errors::unknown_fields(&["frequency_penalty", "seed"]),
            r#"{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"frequency_penalty\": Cannot find field.\nInvalid JSON payload received. Unknown name \"seed\": Cannot find field.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"Invalid JSON payload received. Unknown name \"frequency_penalty\": Cannot find field."},{"description":"Invalid JSON payload received. Unknown name \"seed\": Cannot find field."}]}]}}"#.to_owned(),
        ),
        (
            errors::unknown_field_in("generation_config", "topK"),
            detailed(
                400,
                nested,
                "INVALID_ARGUMENT",
                &violation(nested, r#""field":"generation_config","#),
            ),
        ),
        (
            errors::invalid_value("stream", "TYPE_BOOL", "7"),
            detailed(
                400,
                value,
                "INVALID_ARGUMENT",
                &violation(value, r#""field":"stream","#),
            ),
        ),
        (
            errors::not_an_object(),
            detailed(400, root, "INVALID_ARGUMENT", &violation(root, "")),
        ),
        (
            errors::invalid_json("{oops}", 1),
            invalid(r"Invalid JSON payload received. Unexpected token.\n{oops}\n ^"),
        ),
        (
            errors::no_contents(),
            invalid(r"* GenerateContentRequest.contents: contents is not specified\n"),
        ),
        (errors::no_model(), invalid("model is not specified")),
        (
            errors::input_too_long(1_048_576),
            invalid(
                "The input token count exceeds the maximum number of tokens allowed 1048576.",
            ),
        ),
        (
            errors::too_many_embeddings(),
            invalid("BatchEmbedContentsRequest.requests: at most 100 requests"),
        ),
        (
            errors::payload_too_large(),
            invalid("Request payload size exceeds the limit: 104857600 bytes."),
        ),
        (
            errors::missing_thought_signature("default_api:write_file", 8),
            invalid(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:write_file` , position 8. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
            ),
        ),
        (
            errors::tools_with_json(),
            invalid("Function calling with a response mime type: 'application/json' is unsupported"),
        ),
        (
            errors::invalid_argument(),
            invalid("Request contains an invalid argument."),
        ),
    ]);
}

#[test]
fn errors_of_the_server() {
    check([
        (
            errors::internal(),
            status(
                500,
                "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
                "INTERNAL",
            ),
        ),
        (
            errors::internal_error_encountered(),
            status(500, "Internal error encountered.", "INTERNAL"),
        ),
        (
            errors::overloaded(),
            status(
                503,
                "The model is overloaded. Please try again later.",
                "UNAVAILABLE",
            ),
        ),
        (
            errors::high_demand(),
            status(
                503,
                "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.",
                "UNAVAILABLE",
            ),
        ),
        (
            errors::unavailable(),
            status(503, "The service is currently unavailable.", "UNAVAILABLE"),
        ),
        (
            errors::deadline_exceeded(),
            status(
                504,
                "Deadline expired before operation could complete.",
                "DEADLINE_EXCEEDED",
            ),
        ),
        (
            errors::cancelled(),
            status(499, "The operation was cancelled.", "CANCELLED"),
        ),
    ]);
}
