//! Answers to requests that ask for tool calls or JSON.
//!
//! | the request | the answer |
//! |---|---|
//! | has tools, and the turn has fewer than two results | a call of the next tool |
//! | requires a tool call | a call of the next tool |
//! | asks for JSON | a value for the schema |
//! | is anything else | the given words |
//!
//! So an agent goes through three steps: two calls, then words. Gemini 3 sends an id and a
//! signature with each call and the finish reason apart; Gemini 2.5 sends an empty id.

use crate::answer::{Answer, Finish, ToolCall};
use crate::api::{Operation, Surface};
use crate::ids;
use crate::json::{self, either};
use crate::log::Call;
use crate::models::is_gemini_3;
use crate::sample::sample;
use crate::turn::Turn;
use serde_json::{Value, json};

/// After so many tool results a model that may answer does.
const RESULTS: usize = 2;

/// What a request says about tools and about the form of the answer.
struct Options {
    tools: Vec<Tool>,
    choice: Choice,
    /// The schema of a JSON answer.
    schema: Option<Value>,
    turn: Turn,
}

struct Tool {
    name: String,
    parameters: Value,
}

/// Whether tools are called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Never,
    Auto,
    Required,
}

impl Answer {
    /// Adapts this answer to a request: it becomes a tool call with made-up arguments until two
    /// results are back, or JSON for a schema. Other requests get it unchanged.
    pub fn as_asked(self, call: &Call) -> Self {
        let body = call.json();
        let options = match (call.surface, call.operation) {
            (Some(Surface::Compat), Some(Operation::Generate)) => Options::of_compat(&body),
            (Some(Surface::Native), Some(Operation::Generate)) => Options::of_native(&body),
            _ => return self,
        };
        if let Some(tool) = options.next_tool() {
            return call_tool(tool, call);
        }
        match options.schema {
            Some(schema) => self.with_words(&json::pretty(&sample(&schema))),
            None => self,
        }
    }
}

fn call_tool(tool: &Tool, call: &Call) -> Answer {
    let arguments = json::compact(&sample(&tool.parameters));
    let tool_call = ToolCall::new(tool.name.as_str(), arguments);
    let answer = if is_gemini_3(call.model.as_deref().unwrap_or_default()) {
        let tool_call = tool_call.id(ids::call_id(call.number));
        let signature = ids::signature(call.number);
        Answer::tool_calls([tool_call.signature(signature)]).finish_apart()
    } else {
        Answer::tool_calls([tool_call.id("")])
    };
    answer.finish_in_streams(Finish::Stop)
}

impl Options {
    fn of_compat(body: &Value) -> Self {
        let tools = items(&body["tools"]).filter_map(|tool| Tool::of(&tool["function"]));
        let mut tools: Vec<Tool> = tools.collect();
        let choice = match &body["tool_choice"] {
            Value::String(choice) if choice == "none" => Choice::Never,
            Value::String(choice) if choice == "required" => Choice::Required,
            Value::Object(named) => {
                let name = named.get("function").map(|function| &function["name"]);
                tools.retain(|tool| name.is_some_and(|name| name == tool.name.as_str()));
                Choice::Required
            }
            _ => Choice::Auto,
        };
        let format = &body["response_format"];
        let schema = match format["type"].as_str() {
            Some("json_schema") => format.pointer("/json_schema/schema").cloned(),
            Some("json_object") => Some(any_object()),
            Some(_) | None => None,
        };
        Self {
            tools,
            choice,
            schema,
            turn: Turn::of_messages(list(&body["messages"])),
        }
    }

    fn of_native(body: &Value) -> Self {
        let declared = |tool| items(either(tool, "functionDeclarations"));
        let tools = items(&body["tools"]).flat_map(declared);
        let mut tools: Vec<Tool> = tools.filter_map(Tool::of).collect();
        let config = either(body, "toolConfig");
        let config = either(config, "functionCallingConfig");
        let choice = match config["mode"].as_str() {
            Some("NONE") => Choice::Never,
            Some("ANY") => Choice::Required,
            Some(_) | None => Choice::Auto,
        };
        let allowed = list(either(config, "allowedFunctionNames"));
        tools.retain(|tool| {
            allowed.is_empty() || allowed.iter().any(|name| name == tool.name.as_str())
        });
        let config = either(body, "generationConfig");
        let schemas = [
            either(config, "responseJsonSchema"),
            either(config, "responseSchema"),
        ];
        let schema = schemas.into_iter().find(|schema| schema.is_object());
        let is_json = either(config, "responseMimeType") == "application/json";
        Self {
            tools,
            choice,
            schema: schema.cloned().or(is_json.then(any_object)),
            turn: Turn::of_contents(list(&body["contents"])),
        }
    }

    /// The tool that is called, if any.
    fn next_tool(&self) -> Option<&Tool> {
        let calls = match self.choice {
            Choice::Never => false,
            Choice::Auto => self.turn.results < RESULTS,
            Choice::Required => true,
        };
        let place = self.turn.calls.len().checked_rem(self.tools.len())?;
        self.tools.get(place).filter(|_| calls)
    }
}

impl Tool {
    fn of(declared: &Value) -> Option<Self> {
        let parameters = match either(declared, "parametersJsonSchema") {
            Value::Null => &declared["parameters"],
            schema => schema,
        };
        Some(Self {
            name: declared["name"].as_str()?.to_owned(),
            parameters: match parameters {
                Value::Object(_) => parameters.clone(),
                _ => json!({"type": "object"}),
            },
        })
    }
}

fn any_object() -> Value {
    json!({"type": "object", "properties": {"answer": {"type": "string"}}})
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    list(value).iter()
}
