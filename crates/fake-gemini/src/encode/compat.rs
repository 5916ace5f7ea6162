//! The compatible surface: compact JSON with sorted keys.
//!
//! What differs from OpenAI: `finish_reason` is missing until the last chunk, the role is in each
//! delta, tool calls have no `index` and come one per chunk, usage comes with the chunks that have
//! content, and thinking counts in the total of the tokens only. Embeddings are always numbers.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, and what users published.

use super::success::{Context, EVENT_STREAM, Success, event};
use crate::answer::{Answer, Finish, Tokens, ToolCall};
use crate::api::{Delivery, Operation, Surface};
use crate::ids;
use crate::json;
use crate::models::Model;
use crate::resources::Outcome;
use serde_json::{Value, json};

/// A picture of one black dot, in base64.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAA\
                   AABJRU5ErkJggg==";

pub(super) fn success(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    let body = match context.target.operation {
        Operation::Generate if delivery == Delivery::Whole => completion(answer, context),
        Operation::Generate => return stream(answer, context),
        Operation::Embed => embeddings(context),
        Operation::GenerateImages => {
            json!({"created": context.created, "data": [{"b64_json": PNG}]})
        }
        Operation::GetModel => json!(context.described().first().map(|it| model(it))),
        Operation::ListModels => {
            let models: Vec<Value> = context.described().into_iter().map(model).collect();
            json!({"object": "list", "data": models})
        }
        _ => match &context.outcome {
            Some(Outcome::Json(json)) => json.clone(),
            _ => json!({}),
        },
    };
    Success::compact(&body)
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::ToolCalls => "tool_calls",
        Finish::MaxTokens => "length",
        Finish::Safety | Finish::Recitation | Finish::ProhibitedContent => "content_filter",
        Finish::MalformedFunctionCall => "function_call_filter: MALFORMED_FUNCTION_CALL",
    }
}

fn usage(tokens: Tokens) -> Value {
    let mut usage = json!({
        "completion_tokens": tokens.completion,
        "prompt_tokens": tokens.prompt,
        "total_tokens": tokens.total(),
    });
    if tokens.cached > 0 {
        usage["prompt_tokens_details"] = json!({"cached_tokens": tokens.cached});
    }
    usage
}

fn tool_call(call: &ToolCall, index: usize, context: &Context<'_>) -> Value {
    let made_up = || ids::function_call_id(context.number, index);
    let mut json = json!({
        "function": {"arguments": call.arguments, "name": call.name},
        "id": call.id.clone().unwrap_or_else(made_up),
        "type": "function",
    });
    if let Some(signature) = &call.signature {
        json["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
    json
}

/// A completion or a chunk, without its usage.
fn envelope(object: &str, choice: Value, answer: &Answer, context: &Context<'_>) -> Value {
    let mut json = json!({
        "choices": [choice],
        "created": context.created,
        "model": context.model,
        "object": object,
    });
    if answer.has_id {
        json["id"] = ids::response_id(context.number).into();
    }
    json
}

fn completion(answer: &Answer, context: &Context<'_>) -> Value {
    let mut message = json!({"role": "assistant"});
    if answer.texts().next().is_some() {
        message["content"] = answer.texts().collect::<String>().into();
    }
    if !answer.tool_calls.is_empty() {
        let calls = answer.tool_calls.iter().enumerate();
        let calls = calls.map(|(index, call)| tool_call(call, index, context));
        message["tool_calls"] = calls.collect();
    }
    let finish = finish_reason(answer.finish);
    let choice = json!({"finish_reason": finish, "index": 0, "message": message});
    let mut json = envelope("chat.completion", choice, answer, context);
    json["usage"] = usage(answer.tokens(context.request.prompt_tokens));
    json
}

/// The deltas of a stream.
fn deltas(answer: &Answer, context: &Context<'_>) -> Vec<Value> {
    let texts = answer.texts();
    let texts = texts.map(|text| json!({"content": text, "role": "assistant"}));
    let calls = answer.tool_calls.iter().enumerate();
    let calls = calls.map(|(index, call)| {
        json!({"role": "assistant", "tool_calls": [tool_call(call, index, context)]})
    });
    let mut deltas: Vec<Value> = texts.chain(calls).collect();
    if deltas.is_empty() || answer.finish_apart {
        deltas.push(json!({"role": "assistant"}));
    }
    deltas
}

fn stream(answer: &Answer, context: &Context<'_>) -> Success {
    let tokens = answer.tokens(context.request.prompt_tokens);
    // As recorded: only the prompt is counted until the last chunk.
    let prompt_only = Tokens {
        completion: 0,
        thinking: 0,
        ..tokens
    };
    let deltas = deltas(answer, context);
    let count = deltas.len();
    let events = deltas.into_iter().enumerate().map(|(index, delta)| {
        let is_last = index + 1 == count;
        let mut choice = json!({"delta": delta, "index": 0});
        if is_last {
            choice["finish_reason"] = finish_reason(answer.finish_in_streams).into();
        }
        let mut chunk = envelope("chat.completion.chunk", choice, answer, context);
        if context.request.include_usage {
            chunk["usage"] = usage(if is_last { tokens } else { prompt_only });
        }
        event(Surface::Compat, &json::compact(&chunk))
    });
    Success {
        closing: "data: [DONE]\n\n",
        ..Success::stream(EVENT_STREAM, events.collect())
    }
}

fn embeddings(context: &Context<'_>) -> Value {
    let texts = context.request.texts.iter().enumerate();
    let data = texts.map(|(index, text)| {
        let vector = ids::vector(text);
        json!({"embedding": vector, "index": index, "object": "embedding"})
    });
    let data: Vec<Value> = data.collect();
    let model = format!("models/{}", context.bare_model());
    json!({"data": data, "model": model, "object": "list"})
}

fn model(model: &Model) -> Value {
    json!({
        "display_name": model.display_name,
        "id": format!("models/{}", model.id),
        "object": "model",
        "owned_by": "google",
    })
}
