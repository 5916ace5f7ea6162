//! The parameters of a request.

use super::choice::Choice;
use super::content;
use super::form::{Echo, Form, Reasoning, Sources};
use super::input::Input;
use super::tools::{ClientTool, Search, Tools};
use crate::wire::parameters::{Invalid, Parameters, text};
use crate::wire::translate::conversation::Conversation;
use crate::wire::translate::generate::{
    Content, GenerateContent, GenerationConfig, Json, MAX_OUTPUT_TOKENS, ThinkingConfig,
    ThinkingLevel, Tool,
};
use crate::wire::translate::schema;
use crate::wire::translate::thinking::{self, Effort, Generation, Thoughts};
use crate::wire::translate::tool_names::ToolNames;
use crate::wire::translate::translated::{Context, Method, SEARCH_BESIDE_FUNCTIONS, Translated};
use std::collections::HashMap;

/// Translates a request.
pub(crate) fn request(body: &[u8], context: &Context<'_>) -> Result<Translated<Form>, Invalid> {
    let request = Parameters::of_body(body)?;
    refuse_state(&request)?;
    let requested = request.text("model")?;
    let model = context.model(requested.as_deref());
    let input = request.require("input", Input::read)?;
    let mut tools = Tools::default();
    tools.add_all(&request)?;
    let declared = input.declare(&mut tools);
    declared.map_err(|invalid| invalid.within("input"))?;
    let names = tools.names();

    let conversation = Conversation::new(Generation::of(&model), &names);
    let input = input.into_contents(conversation, &tools, &names);
    let input = input.map_err(|invalid| invalid.within("input"))?;
    let mut system = request
        .read("instructions", content::parts)?
        .unwrap_or_default();
    system.extend(input.system);
    let (gemini_tools, tool_config) = Choice::of(&request, &tools)?.apply(&tools, &names);
    let searches = |tool: &Tool<'_>| tool.google_search.is_some();
    let left_out = match tools.search == Search::On && !gemini_tools.iter().any(searches) {
        true => vec![SEARCH_BESIDE_FUNCTIONS],
        false => Vec::new(),
    };
    let generate = GenerateContent {
        system_instruction: (!system.is_empty()).then_some(Content {
            role: None,
            parts: system,
        }),
        contents: input.contents,
        tools: gemini_tools,
        tool_config,
        generation_config: configuration(&request, &model)?,
    };
    let method = match request.flag("stream")? {
        Some(true) => Method::Stream,
        Some(false) | None => Method::Generate,
    };
    let (sources, reasoning) = included(&request)?;
    let form = Form {
        seed: context.seed,
        created: context.created,
        model: requested.map_or_else(|| model.clone(), |name| name.into_owned()),
        echo: Echo::of(&request),
        tools: client_tools(&tools, &names),
        sources,
        reasoning,
    };
    Ok(Translated {
        model,
        method,
        body: generate.to_json(),
        form,
        left_out,
    })
}

/// What refers to state at OpenAI, and how to do without.
const STATE: [(&str, &str); 3] = [
    (
        "previous_response_id",
        "is not supported, as no responses are stored here; send the whole conversation in \
         `input`",
    ),
    (
        "conversation",
        "is not supported, as no conversations are stored here; send the whole conversation in \
         `input`",
    ),
    (
        "prompt",
        "is not supported, as no prompts are stored here; send its text in `instructions` and \
         `input`",
    ),
];

fn refuse_state(request: &Parameters<'_>) -> Result<(), Invalid> {
    for (name, reason) in STATE {
        if request.has(name) {
            return Err(Invalid::about(name, reason));
        }
    }
    match request.flag("background")? {
        Some(true) => Err(Invalid::about(
            "background",
            "is not supported, as no responses are stored here; leave it out, and stream the \
             response if it takes long",
        )),
        Some(false) | None => Ok(()),
    }
}

fn configuration<'a>(
    request: &Parameters<'a>,
    model: &str,
) -> Result<GenerationConfig<'a>, Invalid> {
    let mut configuration = GenerationConfig {
        max_output_tokens: request
            .count("max_output_tokens")?
            .map(|tokens| tokens.min(MAX_OUTPUT_TOKENS)),
        temperature: request.number("temperature")?,
        top_p: request.number("top_p")?,
        thinking_config: thinking(request, model)?,
        ..GenerationConfig::default()
    };
    if let Some(format) = format(request)? {
        configuration.response_mime_type = Some("application/json");
        configuration.response_json_schema = format.schema;
    }
    Ok(configuration)
}

/// An answer in JSON.
struct JsonFormat<'a> {
    schema: Option<Json<'a>>,
}

/// The parameter `text.format`; `None` means plain text.
fn format<'a>(request: &Parameters<'a>) -> Result<Option<JsonFormat<'a>>, Invalid> {
    let Some(text) = request.object("text")? else {
        return Ok(None);
    };
    let format = text.read("format", |format| {
        let format = Parameters::of(format)?;
        match &*format.kind()? {
            "text" => Ok(None),
            "json_object" => Ok(Some(JsonFormat { schema: None })),
            "json_schema" => Ok(Some(JsonFormat {
                schema: Some(format.require("schema", schema::of_answer)?),
            })),
            other => {
                let reason =
                    format!("is `{other}`; it must be `text`, `json_schema` or `json_object`");
                Err(Invalid::about("type", reason))
            }
        }
    });
    let format = format.map_err(|invalid| invalid.within("text"))?;
    Ok(format.flatten())
}

/// OpenAI's levels of effort. Gemini has nothing above `high`.
const EFFORTS: [(&str, Effort); 7] = [
    ("none", Effort::None),
    ("minimal", Effort::Level(ThinkingLevel::Minimal)),
    ("low", Effort::Level(ThinkingLevel::Low)),
    ("medium", Effort::Level(ThinkingLevel::Medium)),
    ("high", Effort::Level(ThinkingLevel::High)),
    ("xhigh", Effort::Level(ThinkingLevel::High)),
    ("max", Effort::Level(ThinkingLevel::High)),
];

fn thinking(request: &Parameters<'_>, model: &str) -> Result<Option<ThinkingConfig>, Invalid> {
    let Some(reasoning) = request.object("reasoning")? else {
        return Ok(None);
    };
    let effort = reasoning.text("effort").and_then(|effort| {
        let Some(effort) = effort else {
            return Ok(None);
        };
        let known = EFFORTS.iter().find(|(name, _)| *name == effort);
        let (_, effort) = known.ok_or_else(|| {
            let names = EFFORTS.map(|(name, _)| format!("`{name}`")).join(", ");
            Invalid::about(
                "effort",
                format!("is `{effort}`; it must be one of {names}"),
            )
        })?;
        Ok(Some(*effort))
    });
    let summary = reasoning
        .text("summary")
        .and_then(|summary| Ok(summary.or(reasoning.text("generate_summary")?)));
    let within = |invalid: Invalid| invalid.within("reasoning");
    let thoughts = match summary.map_err(within)?.as_deref() {
        None => Thoughts::Omitted,
        Some("auto" | "concise" | "detailed") => Thoughts::Included,
        Some(other) => {
            let reason = format!("is `{other}`; it must be `auto`, `concise` or `detailed`");
            return Err(Invalid::about("reasoning.summary", reason));
        }
    };
    Ok(thinking::config(model, effort.map_err(within)?, thoughts))
}

/// The parameter `include`.
fn included(request: &Parameters<'_>) -> Result<(Sources, Reasoning), Invalid> {
    let included = request.each("include", text)?;
    let has = |expected: &str| included.iter().any(|name| name == expected);
    let sources = match has("web_search_call.action.sources") {
        true => Sources::Included,
        false => Sources::Omitted,
    };
    let reasoning = match has("reasoning.encrypted_content") {
        true => Reasoning::Returned,
        false => Reasoning::Dropped,
    };
    Ok((sources, reasoning))
}

/// The tools of the client by Gemini's names.
fn client_tools(tools: &Tools<'_>, names: &ToolNames) -> HashMap<String, ClientTool> {
    let functions = tools.functions().iter();
    functions
        .map(|function| {
            let name = names.to_gemini(&function.name).into_owned();
            (name, function.tool.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests;
