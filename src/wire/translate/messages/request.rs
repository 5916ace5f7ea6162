//! The parameters of a request.

use super::content::Messages;
use super::tools::Tools;
use super::{Form, Thinking};
use crate::wire::json::{Members, find, parse, read};
use crate::wire::parameters::{Invalid, Parameters, text};
use crate::wire::translate::conversation::Conversation;
use crate::wire::translate::generate::{
    Content, GenerateContent, GenerationConfig, Json, MAX_OUTPUT_TOKENS, MAX_STOP_SEQUENCES,
    ThinkingLevel, Tool, to_json,
};
use crate::wire::translate::schema;
use crate::wire::translate::thinking::{self, Effort, Generation, Thoughts};
use crate::wire::translate::tool_names::ToolNames;
use crate::wire::translate::translated::{Context, Method, Translated};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The parameter of a conversation that Anthropic stores.
pub(super) const THREAD: &str = "thread";

/// Translates a request for a message.
pub(crate) fn request(body: &[u8], context: &Context<'_>) -> Result<Translated<Form>, Invalid> {
    let parameters = Parameters::of_body(body)?;
    refuse_state(&parameters)?;
    let requested = parameters.text("model")?;
    let model = context.model(requested.as_deref());
    let messages = Messages::of(&parameters)?;
    let (thinking, effort) = thinking_of(&parameters, &messages)?;
    let tools = Tools::of(&parameters, &messages)?;
    let tool_names = tools.names();
    let left_out = tools.left_out();
    let generate = GenerateContent {
        system_instruction: messages.system(&parameters)?,
        contents: contents(&messages, &model, &tool_names)?,
        tool_config: tools.config(&parameters, &tool_names)?,
        tools: tools.into_gemini(&tool_names),
        generation_config: generation_config(&parameters, &model, thinking, effort)?,
    };
    Ok(Translated {
        method: match parameters.flag("stream")? {
            Some(true) => Method::Stream,
            Some(false) | None => Method::Generate,
        },
        body: generate.to_json(),
        form: Form {
            model: requested.map_or_else(|| model.clone(), Cow::into_owned),
            thinking,
            tool_names,
            seed: context.seed,
        },
        model,
        left_out,
    })
}

/// Translates a request to count tokens.
pub(crate) fn count_tokens(body: &[u8], context: &Context<'_>) -> Result<Translated<()>, Invalid> {
    /// The body of `countTokens` for everything that a request contains.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct CountTokens<'a> {
        generate_content_request: Counted<'a>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted<'a> {
        model: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        system_instruction: Option<Content<'a>>,
        contents: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tools: Vec<Tool<'a>>,
    }

    let parameters = Parameters::of_body(body)?;
    refuse_state(&parameters)?;
    let model = context.model(parameters.text("model")?.as_deref());
    let messages = Messages::of(&parameters)?;
    let tools = Tools::of(&parameters, &messages)?;
    let tool_names = tools.names();
    let body = to_json(&CountTokens {
        generate_content_request: Counted {
            model: format!("models/{model}"),
            system_instruction: messages.system(&parameters)?,
            contents: contents(&messages, &model, &tool_names)?,
            tools: tools.into_gemini(&tool_names),
        },
    });
    Ok(Translated {
        model,
        method: Method::CountTokens,
        body,
        form: (),
        left_out: Vec::new(),
    })
}

/// Translates a number of tokens; `None` if the text is none.
pub(crate) fn token_count(json: &[u8]) -> Option<Vec<u8>> {
    let Members(members) = parse(json)?;
    // Zero is absent.
    let total = match find(&members, "totalTokens") {
        Some(total) => read::<u64>(total)?,
        None if find(&members, "promptTokensDetails").is_some() => 0,
        None => return None,
    };
    Some(format!(r#"{{"input_tokens":{total}}}"#).into_bytes())
}

fn contents<'a>(
    messages: &Messages<'a>,
    model: &str,
    tool_names: &'a ToolNames,
) -> Result<Vec<Content<'a>>, Invalid> {
    let mut conversation = Conversation::new(Generation::of(model), tool_names);
    messages.converse(&mut conversation)?;
    let contents = conversation.into_contents();
    if contents.is_empty() {
        return Err(Invalid::about(
            "messages",
            "must have at least one message of the user with content",
        ));
    }
    Ok(contents)
}

/// Refuses what only a service that stores conversations or calls tools can offer.
fn refuse_state(parameters: &Parameters<'_>) -> Result<(), Invalid> {
    if !parameters.list("mcp_servers")?.is_empty() {
        return Err(Invalid::about(
            "mcp_servers",
            "cannot be used, as Gemini does not connect to MCP servers; connect the client to them",
        ));
    }
    if parameters.has(THREAD) {
        return Err(Invalid::about(
            THREAD,
            "cannot be used, as conversations are not stored; send all messages",
        ));
    }
    Ok(())
}

fn generation_config<'a>(
    parameters: &Parameters<'a>,
    model: &str,
    thinking: Thinking,
    effort: Option<Effort>,
) -> Result<GenerationConfig<'a>, Invalid> {
    let limit = match parameters.count("max_tokens")? {
        None => return Err(Invalid::about("max_tokens", "is missing")),
        Some(0) => return Err(Invalid::about("max_tokens", "must be at least 1")),
        Some(limit) => limit.min(MAX_OUTPUT_TOKENS),
    };
    let stop_sequences = parameters.each("stop_sequences", text)?;
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(Invalid::about(
            "stop_sequences",
            format!(
                "has {} entries, but Gemini accepts at most {MAX_STOP_SEQUENCES}",
                stop_sequences.len()
            ),
        ));
    }
    let response_json_schema = response_schema(parameters)?;
    let thoughts = match thinking {
        Thinking::Shown => Thoughts::Included,
        Thinking::Signed | Thinking::Hidden => Thoughts::Omitted,
    };
    Ok(GenerationConfig {
        max_output_tokens: Some(limit),
        temperature: parameters.number("temperature")?,
        top_p: parameters.number("top_p")?,
        top_k: parameters.number("top_k")?,
        stop_sequences,
        response_mime_type: response_json_schema.as_ref().map(|_| "application/json"),
        response_json_schema,
        thinking_config: thinking::config(model, effort, thoughts),
        ..GenerationConfig::default()
    })
}

/// The schema of `output_config.format`, or of `output_format` as it was called at first.
fn response_schema<'a>(parameters: &Parameters<'a>) -> Result<Option<Json<'a>>, Invalid> {
    let nested = parameters.read("output_config", |config| {
        Parameters::of(config)?.read("format", format_schema)
    })?;
    match nested.flatten() {
        Some(schema) => Ok(Some(schema)),
        None => parameters.read("output_format", format_schema),
    }
}

fn format_schema(format: &RawValue) -> Result<Json<'_>, Invalid> {
    let format = Parameters::of(format)?;
    match &*format.kind()? {
        "json_schema" => format.require("schema", schema::of_answer),
        _ => Err(Invalid::about("type", "must be `json_schema`")),
    }
}

/// What the client receives of the thoughts, and how much the model thinks.
///
/// A request without `thinking` leaves that to the model: many of Gemini's think in any case, and
/// some refuse to think less.
fn thinking_of<'a>(
    parameters: &Parameters<'a>,
    messages: &Messages<'a>,
) -> Result<(Thinking, Option<Effort>), Invalid> {
    let given = parameters.read("output_config", |config| {
        Parameters::of(config)?.read("effort", level)
    })?;
    let level = messages.effort(level)?.or(given.flatten());
    let thinking = parameters.read("thinking", |thinking| {
        let thinking = Parameters::of(thinking)?;
        let budget = match &*thinking.kind()? {
            "enabled" => thinking.count("budget_tokens")?.map(Effort::Tokens),
            "adaptive" | "between_tools" => None,
            "disabled" => return Ok((Thinking::Hidden, Some(Effort::None))),
            _ => {
                return Err(Invalid::about(
                    "type",
                    "must be `enabled`, `adaptive`, `between_tools` or `disabled`",
                ));
            }
        };
        let shown = match thinking.text("display")?.as_deref() {
            Some("omitted") => Thinking::Signed,
            Some(_) | None => Thinking::Shown,
        };
        Ok((shown, budget.or(level)))
    })?;
    Ok(thinking.unwrap_or((Thinking::Hidden, level)))
}

/// Anthropic's levels above `high` have no counterpart.
fn level(effort: &RawValue) -> Result<Effort, Invalid> {
    Ok(Effort::Level(match &*text(effort)? {
        "low" => ThinkingLevel::Low,
        "medium" => ThinkingLevel::Medium,
        "high" | "xhigh" | "max" => ThinkingLevel::High,
        _ => {
            return Err(Invalid::new(
                "must be `low`, `medium`, `high`, `xhigh` or `max`",
            ));
        }
    }))
}

#[cfg(test)]
mod tests;
