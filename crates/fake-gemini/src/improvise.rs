//! Answers to requests that ask for tool calls or JSON.
//!
//! | the request | the answer |
//! |---|---|
//! | has tools, and the turn has fewer than two results | a call of the next tool |
//! | requires a tool call | a call of the next tool |
//! | asks for JSON | a value for the schema |
//! | may search the web | the given words, with made-up sources on the native surface |
//! | is for a model of images or of speech, on the native surface | a picture or a silence |
//! | is anything else | the given words |
//!
//! So an agent takes three steps: two calls, then words. In the demo, it gets only the calls that its
//! request requires, since it would carry them out with made-up arguments. Gemini 3 sends an id with each
//! call, a signature with the first one or with a text, and the finish reason apart; Gemini 2.5
//! sends empty ids.

use crate::answer::{Answer, Finish, Source, ToolCall};
use crate::api::{Operation, Surface};
use crate::encode::PNG;
use crate::ids;
use crate::json::{self, either};
use crate::log::Call;
use crate::models::{self, is_gemini_3};
use crate::sample::sample;
use crate::turn::Turn;
use serde_json::{Value, json};

/// After so many tool results a model that may answer does.
const RESULTS: usize = 2;

/// What a request says about tools and about the form of the answer.
pub(crate) struct Options {
    tools: Vec<Tool>,
    choice: Choice,
    /// The schema of a JSON answer.
    schema: Option<Value>,
    /// Whether the model may search the web.
    searches: bool,
    pub(crate) turn: Turn,
}

struct Tool {
    name: String,
    parameters: Value,
}

/// Which of the tools that a request has are called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Offered,
    Required,
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
    /// results are back, JSON for a schema, or a picture or a sound by a model for these. Other
    /// requests get it unchanged but for the marks of the model.
    pub fn as_asked(self, call: &Call) -> Self {
        self.improvised(call, Calls::Offered)
    }

    /// The same, but it becomes a tool call only if the request requires one.
    pub fn as_required(self, call: &Call) -> Self {
        self.improvised(call, Calls::Required)
    }

    fn improvised(self, call: &Call, calls: Calls) -> Self {
        let Some(options) = Options::of(call) else {
            return self;
        };
        let answer = if let Some(tool) = options.next_tool(calls) {
            let arguments = json::compact(&sample(&tool.parameters));
            Self::tool_calls([ToolCall::new(tool.name.as_str(), arguments)])
        } else if let Some(schema) = &options.schema {
            self.with_words(&json::pretty(&sample(schema)))
        } else if options.searches {
            let quote: String = self.texts().take(3).collect();
            let source = Source::new("https://example.com/", "example.com", quote.trim_end());
            self.grounded("a made-up query", [source])
        } else {
            self.with_media(call)
        };
        answer.marked(call)
    }

    /// What models make that do not only write.
    fn with_media(self, call: &Call) -> Self {
        match call.known_model.as_deref().and_then(models::find) {
            Some(model) if model.draws() => self.and_data("image/png", PNG),
            // 20 ms of silence.
            Some(model) if model.speaks() => {
                Self::empty().and_data("audio/L16;codec=pcm;rate=24000", &"A".repeat(1280))
            }
            Some(_) | None => self,
        }
    }

    /// Adds what the model of a call adds to tool calls and texts: ids and signatures.
    pub(crate) fn marked(mut self, call: &Call) -> Self {
        let is_gemini_3 = is_gemini_3(call.model.as_deref().unwrap_or_default());
        let signature = ids::signature(call.number);
        if self.tool_calls.is_empty() {
            // Only the native surface has signatures of texts.
            self.signature = self.signature.or(is_gemini_3.then_some(signature));
            return self;
        }
        for (index, tool_call) in self.tool_calls.iter_mut().enumerate() {
            let id = match (is_gemini_3, call.surface) {
                (true, Some(Surface::Native)) => ids::native_call_id(call.number, index),
                (true, _) => ids::call_id(call.number, index),
                (false, _) => String::new(),
            };
            tool_call.id.get_or_insert(id);
        }
        if is_gemini_3 {
            self.finish_apart = true;
            self.tool_calls[0].signature.get_or_insert(signature);
        }
        self.finish_in_streams(Finish::Stop)
    }
}

impl Options {
    /// `None` if the call is not for an answer.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let body = call.json();
        match (call.surface, call.operation) {
            (Some(Surface::Compat), Some(Operation::Generate)) => Some(Self::of_compat(&body)),
            (Some(Surface::Native), Some(Operation::Generate)) => Some(Self::of_native(&body)),
            _ => None,
        }
    }

    /// Whether the model may call these tools.
    pub(crate) fn allows(&self, calls: &[ToolCall]) -> bool {
        let is_declared = |call: &ToolCall| self.tools.iter().any(|tool| tool.name == call.name);
        calls.is_empty() || (self.choice != Choice::Never && calls.iter().all(is_declared))
    }

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
            searches: false,
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
            searches: items(&body["tools"]).any(|tool| !either(tool, "googleSearch").is_null()),
            turn: Turn::of_contents(list(&body["contents"])),
        }
    }

    /// The tool that is called, if any.
    fn next_tool(&self, calls: Calls) -> Option<&Tool> {
        let calls = match self.choice {
            Choice::Never => false,
            Choice::Auto => calls == Calls::Offered && self.turn.results < RESULTS,
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
