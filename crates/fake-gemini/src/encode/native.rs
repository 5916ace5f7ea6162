//! The native surface: pretty-printed JSON, events that end in CRLF CRLF without a closing one, and
//! growing arrays.
//!
//! Each chunk of a stream is a whole response with the usage so far; the last one has the finish
//! reason. After tool calls of Gemini 3 that is a chunk of its own with an empty text.

use super::{Context, EVENT_STREAM, JSON_UTF8, Success, event};
use crate::answer::{Answer, Finish, Tokens, ToolCall};
use crate::api::{Delivery, Operation, Surface};
use crate::ids;
use crate::json;
use crate::models::{Model, is_gemini_3};
use crate::request::PAGE_TOKEN;
use crate::resources::Outcome;
use serde::Serialize;
use serde_json::{Value, json};

/// What follows the last element of an array.
pub(super) const ARRAY_END: &str = "]\n";

/// What the parts of an upload should be multiples of, in bytes: 8 MiB.
const GRANULARITY: &str = "8388608";

/// An element of a growing array with its separator.
pub(super) fn element(json: &str, is_first: bool) -> String {
    let before = if is_first { "[" } else { ",\r\n" };
    format!("{before}{json}")
}

pub(super) fn success(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    match context.target.operation {
        Operation::Generate => generate(answer, delivery, context),
        Operation::CountTokens => {
            let tokens = context.request.prompt_tokens;
            let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
            Success::pretty(&json!({"totalTokens": tokens, "promptTokensDetails": details}))
        }
        Operation::Embed => Success::pretty(&json!({"embedding": vectors(context).pop()})),
        Operation::BatchEmbed => Success::pretty(&json!({"embeddings": vectors(context)})),
        Operation::GetModel => Success::pretty(&context.described().first().map(|it| model(it))),
        Operation::ListModels => Success::pretty(&models(context)),
        _ => match &context.outcome {
            Some(Outcome::Json(json)) => Success::pretty(json),
            Some(Outcome::Upload { id, received, file }) => {
                upload(id, *received, file.as_ref(), context)
            }
            None => Success::pretty(&json!({})),
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    candidates: [Candidate<'a>; 1],
    usage_metadata: Usage,
    model_version: &'a str,
    response_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    index: u32,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
    role: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    args: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    candidates_token_count: u64,
    total_token_count: u64,
    prompt_tokens_details: [Value; 1],
    #[serde(skip_serializing_if = "is_zero")]
    thoughts_token_count: u64,
    service_tier: &'static str,
}

/// Protobuf's JSON omits zeros.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<'a> Part<'a> {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    fn call(call: &'a ToolCall) -> Self {
        Self {
            function_call: Some(FunctionCall {
                name: &call.name,
                args: serde_json::from_str(&call.arguments).unwrap_or_default(),
            }),
            thought_signature: call.signature.as_deref(),
            ..Self::default()
        }
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
    }
}

fn response<'a>(
    parts: Vec<Part<'a>>,
    finish: Option<Finish>,
    tokens: Tokens,
    context: &'a Context<'_>,
) -> Response<'a> {
    Response {
        candidates: [Candidate {
            content: Content {
                parts,
                role: "model",
            },
            finish_reason: finish.map(finish_reason),
            index: 0,
        }],
        usage_metadata: Usage {
            prompt_token_count: tokens.prompt,
            candidates_token_count: tokens.completion,
            total_token_count: tokens.total(),
            prompt_tokens_details: [json!({"modality": "TEXT", "tokenCount": tokens.prompt})],
            thoughts_token_count: tokens.thinking,
            service_tier: "standard",
        },
        model_version: context.bare_model(),
        response_id: ids::response_id(context.number),
    }
}

fn whole<'a>(answer: &'a Answer, context: &'a Context<'_>) -> Response<'a> {
    let text = answer.pieces.concat();
    let text = (!text.is_empty()).then(|| Part::text(text));
    let calls = answer.tool_calls.iter().map(Part::call);
    let parts = text.into_iter().chain(calls).collect();
    let tokens = answer.tokens(context.request.prompt_tokens);
    response(parts, Some(answer.finish), tokens, context)
}

fn chunks<'a>(answer: &'a Answer, context: &'a Context<'_>) -> Vec<Response<'a>> {
    let texts = answer.pieces.iter().map(Part::text);
    let calls = answer.tool_calls.iter().map(Part::call);
    let mut contents: Vec<Vec<Part<'a>>> = texts.chain(calls).map(|part| vec![part]).collect();
    let called = !answer.tool_calls.is_empty();
    if answer.finish_apart || (called && is_gemini_3(context.model)) {
        contents.push(vec![Part::text("")]);
    } else if contents.is_empty() {
        contents.push(Vec::new());
    }
    let tokens = answer.tokens(context.request.prompt_tokens);
    let count = contents.len();
    let chunks = (1..).zip(contents).map(|(done, parts)| {
        let finish = (done == count).then_some(answer.finish_in_streams);
        response(parts, finish, tokens.after(done, count), context)
    });
    chunks.collect()
}

fn generate(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    match delivery {
        Delivery::Whole => Success::pretty(&whole(answer, context)),
        Delivery::Events => {
            let chunks = chunks(answer, context);
            let events = chunks.iter().map(json::spaced);
            let events = events.map(|chunk| event(Surface::Native, &chunk));
            Success {
                headers: vec![("content-disposition", "attachment".to_owned())],
                ..Success::stream(EVENT_STREAM, events.collect())
            }
        }
        Delivery::Array => {
            let chunks = chunks(answer, context);
            let elements = chunks.iter().enumerate().map(|(index, chunk)| {
                let json = json::pretty(chunk) + "\n";
                element(&json, index == 0)
            });
            Success {
                closing: ARRAY_END,
                ..Success::stream(JSON_UTF8, elements.collect())
            }
        }
    }
}

fn vectors(context: &Context<'_>) -> Vec<Value> {
    let texts = context.request.texts.iter();
    let vectors = texts.map(|text| ids::vector(text));
    vectors.map(|vector| json!({"values": vector})).collect()
}

fn model(model: &Model) -> Value {
    json!({
        "name": format!("models/{}", model.id),
        "displayName": model.display_name,
        "supportedGenerationMethods": model.methods(),
    })
}

fn models(context: &Context<'_>) -> Value {
    let page = context.request.page;
    let all = context.described();
    let models = all.iter().skip(page.start).take(page.size);
    let models: Vec<Value> = models.map(|it| model(it)).collect();
    let end = page.start + models.len();
    let mut json = json!({"models": models});
    if end < all.len() {
        json["nextPageToken"] = format!("{PAGE_TOKEN}{end}").into();
    }
    json
}

/// The state of an upload, in headers; its body is the file once that is complete.
fn upload(id: &str, received: u64, file: Option<&Value>, context: &Context<'_>) -> Success {
    let status = if file.is_some() { "final" } else { "active" };
    let mut headers = vec![
        ("server", "UploadServer".to_owned()),
        ("x-guploader-uploadid", id.to_owned()),
        ("x-goog-upload-status", status.to_owned()),
        ("x-goog-upload-size-received", received.to_string()),
    ];
    if context.target.operation == Operation::StartUpload {
        let (origin, version) = (context.origin, context.target.version);
        let path = format!("/upload/{version}/files?upload_id={id}&upload_protocol=resumable");
        let url = format!("{origin}{path}");
        headers.push(("x-goog-upload-url", url.clone()));
        headers.push(("x-goog-upload-control-url", url));
        headers.push(("x-goog-upload-chunk-granularity", GRANULARITY.to_owned()));
    }
    let body = match file {
        Some(file) => Success::pretty(&json!({"file": file})),
        None => Success::stream("text/plain; charset=utf-8", Vec::new()),
    };
    Success { headers, ..body }
}
