//! What a model says, whole or in chunks.
//!
//! Each chunk of a stream is a complete response with the usage so far; the last one carries the
//! finish reason. After tool calls of Gemini 3, it is a separate chunk with an empty text, and so
//! it is if a text is signed.

use crate::answer::{Answer, Finish, Grounding, Piece, Tokens, ToolCall};
use crate::encode::Context;
use crate::ids;
use crate::models::is_gemini_3;
use serde_json::{Value, json};

/// The whole response.
pub(super) fn whole(answer: &Answer, context: &Context<'_>) -> Value {
    let mut parts = said(answer, context).into_iter().fold(Vec::new(), merge);
    parts.extend(answer.tool_calls.iter().map(tool_call));
    if let Some(signature) = signature(answer) {
        if !parts.last().is_some_and(is_text) {
            parts.push(text(""));
        }
        if let Some(part) = parts.last_mut() {
            part["thoughtSignature"] = signature.into();
        }
    }
    let tokens = answer.tokens(context.request.prompt_tokens);
    response(&parts, Some(answer), tokens, context)
}

/// The chunks of a stream.
pub(super) fn chunks(answer: &Answer, context: &Context<'_>) -> Vec<Value> {
    let calls = answer.tool_calls.iter().map(tool_call);
    let parts = said(answer, context).into_iter().chain(calls);
    let mut contents: Vec<Vec<Value>> = parts.map(|part| vec![part]).collect();
    let called = !answer.tool_calls.is_empty();
    if let Some(signature) = signature(answer) {
        contents.push(vec![json!({"text": "", "thoughtSignature": signature})]);
    } else if answer.finish_apart || (called && is_gemini_3(context.model)) {
        contents.push(vec![text("")]);
    } else if contents.is_empty() {
        contents.push(Vec::new());
    }
    let tokens = answer.tokens(context.request.prompt_tokens);
    let count = contents.len();
    let chunks = (1..).zip(contents).map(|(done, parts)| {
        let last = (done == count).then_some(answer);
        response(&parts, last, tokens.after(done, count), context)
    });
    chunks.collect()
}

/// The signature of an answer without tool calls, which are signed themselves.
fn signature(answer: &Answer) -> Option<&str> {
    let signature = answer.signature.as_deref();
    signature.filter(|_| answer.tool_calls.is_empty() && answer.block_reason.is_none())
}

/// Everything before the tool calls.
fn said(answer: &Answer, context: &Context<'_>) -> Vec<Value> {
    let options = &context.request.options;
    let mut parts = Vec::new();
    if options.includes_thoughts {
        let thoughts = answer.thoughts.iter();
        parts.extend(thoughts.map(|thought| json!({"text": thought, "thought": true})));
    }
    if let Some(grounding) = answer
        .grounding
        .as_ref()
        .filter(|_| options.includes_tool_calls)
    {
        parts.extend(search(grounding, context.number));
    }
    parts.extend(answer.pieces.iter().map(|piece| match piece {
        Piece::Text(piece) => text(piece),
        Piece::Data(part) => part.clone(),
    }));
    parts
}

fn text(text: &str) -> Value {
    json!({"text": text})
}

fn is_text(part: &Value) -> bool {
    part["text"].is_string() && part["thought"].is_null()
}

/// Adds a part to those of a whole answer, where text is in one part.
fn merge(mut parts: Vec<Value>, part: Value) -> Vec<Value> {
    match parts.last_mut() {
        Some(last) if is_text(last) && is_text(&part) => {
            let [start, end] = [&last["text"], &part["text"]].map(|it| it.as_str().unwrap_or(""));
            last["text"] = format!("{start}{end}").into();
        }
        Some(_) | None => parts.push(part),
    }
    parts
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let mut part = json!({"functionCall": {"name": call.name, "args": arguments}});
    if let Some(id) = call.id.as_deref().filter(|id| !id.is_empty()) {
        part["functionCall"]["id"] = id.into();
    }
    if let Some(signature) = &call.signature {
        part["thoughtSignature"] = signature.as_str().into();
    }
    part
}

/// A search as requests that combine tools see it
/// (<https://ai.google.dev/gemini-api/docs/tool-combination>).
fn search(grounding: &Grounding, number: u64) -> [Value; 2] {
    let id = ids::native_call_id(number, 0);
    let (tool, signature) = ("GOOGLE_SEARCH_WEB", ids::signature(number));
    let arguments = json!({"queries": [grounding.query]});
    let response = json!({"search_suggestions": entry_point(grounding)});
    [
        json!({
            "toolCall": {"toolType": tool, "args": arguments, "id": id},
            "thoughtSignature": signature,
        }),
        json!({
            "toolResponse": {"toolType": tool, "response": response, "id": id},
            "thoughtSignature": signature,
        }),
    ]
}

fn entry_point(grounding: &Grounding) -> String {
    format!("<div class=\"container\">{}</div>", grounding.query)
}

/// Segments are given in bytes, and the first byte of a text is not mentioned.
fn grounding_metadata(grounding: &Grounding, answer: &Answer) -> Value {
    let text: String = answer.texts().collect();
    let supports = grounding.sources.iter().enumerate();
    let supports = supports.filter_map(|(index, source)| {
        let start = text.find(&source.quote)?;
        let end = start + source.quote.len();
        let mut segment = json!({"endIndex": end, "text": source.quote});
        if start > 0 {
            segment["startIndex"] = start.into();
        }
        Some(json!({"segment": segment, "groundingChunkIndices": [index]}))
    });
    let supports: Vec<Value> = supports.collect();
    let chunks = grounding.sources.iter();
    let chunks = chunks.map(|it| json!({"web": {"uri": it.uri, "title": it.title}}));
    json!({
        "webSearchQueries": [grounding.query],
        "searchEntryPoint": {"renderedContent": entry_point(grounding)},
        "groundingChunks": chunks.collect::<Vec<_>>(),
        "groundingSupports": supports,
    })
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::MaxTokens => "MAX_TOKENS",
        Finish::Safety => "SAFETY",
        Finish::Recitation => "RECITATION",
        Finish::ProhibitedContent => "PROHIBITED_CONTENT",
        Finish::MalformedFunctionCall => "MALFORMED_FUNCTION_CALL",
    }
}

/// What the last chunk says about the answer.
fn finish(candidate: &mut Value, answer: &Answer) {
    candidate["finishReason"] = finish_reason(answer.finish).into();
    match answer.finish {
        Finish::Safety => {
            candidate["safetyRatings"] = json!([{
                "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                "probability": "HIGH",
                "blocked": true,
            }]);
        }
        Finish::MalformedFunctionCall => {
            let message = "Malformed function call: print(default_api.";
            candidate["finishMessage"] = message.into();
        }
        Finish::Stop
        | Finish::ToolCalls
        | Finish::MaxTokens
        | Finish::Recitation
        | Finish::ProhibitedContent => {}
    }
    if let Some(grounding) = &answer.grounding {
        candidate["groundingMetadata"] = grounding_metadata(grounding, answer);
    }
}

/// A response, which is the `last` one of an answer or a chunk before it.
fn response(
    parts: &[Value],
    last: Option<&Answer>,
    tokens: Tokens,
    context: &Context<'_>,
) -> Value {
    let mut candidate = json!({"content": {"role": "model"}, "index": 0});
    if !parts.is_empty() {
        candidate["content"]["parts"] = parts.into();
    }
    if let Some(answer) = last {
        finish(&mut candidate, answer);
    }
    let mut response = json!({
        "usageMetadata": usage(tokens),
        "modelVersion": context.bare_model(),
        "responseId": ids::response_id(context.number),
    });
    match last.and_then(|answer| answer.block_reason.as_deref()) {
        Some(reason) => response["promptFeedback"] = json!({"blockReason": reason}),
        None => response["candidates"] = json!([candidate]),
    }
    response
}

fn usage(tokens: Tokens) -> Value {
    let details = |count| json!([{"modality": "TEXT", "tokenCount": count}]);
    let mut usage = json!({
        "promptTokenCount": tokens.prompt,
        "totalTokenCount": tokens.total(),
        "promptTokensDetails": details(tokens.prompt),
        "serviceTier": "standard",
    });
    // Protobuf's JSON omits zeros.
    for (name, count) in [
        ("candidatesTokenCount", tokens.completion),
        ("thoughtsTokenCount", tokens.thinking),
        ("cachedContentTokenCount", tokens.cached),
    ] {
        if count > 0 {
            usage[name] = count.into();
        }
    }
    if tokens.cached > 0 {
        usage["cacheTokensDetails"] = details(tokens.cached);
    }
    usage
}
