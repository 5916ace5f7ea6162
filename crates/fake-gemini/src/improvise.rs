//! What a model makes of a request that asks for more than words: a call of one of its tools, or JSON.
//!
//! | the request | the answer |
//! |---|---|
//! | has tools that may be called, and the turn has fewer than two results | a call of the next tool |
//! | has tools of which one must be called | a call of the next tool, however many results there are |
//! | asks for JSON | a value that fits the schema |
//! | is anything else | the words that are there anyway |
//!
//! So an agent goes through three steps: two calls, then words. Calls look as recorded: those of Gemini 2.5 have an
//! empty id, and the signature is the message's; those of Gemini 3 have an id and a signature of their own, and the
//! stream's end is a chunk of its own.

use crate::answer::{Answer, Finish, ToolCall};
use crate::example::example;
use crate::log::Call;
use crate::models::{bare, is_gemini_3};
use crate::surface::turn::Turn;
use crate::surface::{Operation, Surface};
use crate::{ids, json};
use serde_json::{Value, json};

/// With so many results of tools, a model that may say something does.
const RESULTS: usize = 2;

/// What a request says of its tools and of the answer's form.
struct Wishes {
    tools: Vec<Tool>,
    choice: Choice,
    form: Form,
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
    Maybe,
    Always,
}

/// What an answer without calls is.
enum Form {
    Words,
    Json(Value),
    /// One of a few words, without quotes.
    Enum(Value),
}

impl Answer {
    /// What a model answers to `call`, if this is what it says where nothing but words is asked for. With tools it
    /// calls one, with made-up arguments, until two results have come back; with a schema it answers by that.
    pub fn as_asked(self, call: &Call) -> Self {
        let body = call.json();
        let wishes = match (call.surface, call.operation) {
            (Some(Surface::Compat), Some(Operation::Generate)) => Wishes::of_compat(&body),
            (Some(Surface::Native), Some(Operation::Generate)) => Wishes::of_native(&body),
            _ => return self,
        };
        if let Some(tool) = wishes.next_tool() {
            return calling(tool, call);
        }
        let pretty = |schema: &Value| json::pretty(&example(schema));
        match wishes.form {
            Form::Words => self,
            Form::Json(schema) => self.with_words(&pretty(&schema)),
            Form::Enum(schema) => match example(&schema) {
                Value::String(word) => self.with_words(&word),
                value => self.with_words(&json::pretty(&value)),
            },
        }
    }
}

fn calling(tool: &Tool, call: &Call) -> Answer {
    let arguments = json::compact(&example(&tool.parameters));
    let signature = ids::signature(call.number);
    let tool_call = ToolCall::new(tool.name.as_str(), arguments);
    let answer = if is_gemini_3(bare(call.model.as_deref().unwrap_or_default())) {
        let tool_call = tool_call.id(ids::call_id(call.number));
        Answer::tool_calls([tool_call.signature(signature)]).finish_apart()
    } else {
        Answer::tool_calls([tool_call.id("")]).signature(signature)
    };
    answer.finish_in_streams(Finish::Stop)
}

impl Wishes {
    fn of_compat(body: &Value) -> Self {
        let tools = items(body.get("tools")).filter_map(|tool| Tool::of(tool.get("function")?));
        let mut tools: Vec<Tool> = tools.collect();
        let choice = match body.get("tool_choice") {
            Some(Value::String(choice)) if choice == "none" => Choice::Never,
            Some(Value::String(choice)) if choice == "required" => Choice::Always,
            Some(named) if named.is_object() => {
                let name = named.pointer("/function/name").and_then(Value::as_str);
                tools.retain(|tool| Some(tool.name.as_str()) == name);
                Choice::Always
            }
            Some(_) | None => Choice::Maybe,
        };
        let format = body.get("response_format").unwrap_or(&Value::Null);
        let form = match format.get("type").and_then(Value::as_str) {
            Some("json_schema") => {
                let schema = format.pointer("/json_schema/schema");
                Form::Json(schema.cloned().unwrap_or_else(any_object))
            }
            Some("json_object") => Form::Json(any_object()),
            Some(_) | None => Form::Words,
        };
        let messages = body.get("messages").and_then(Value::as_array);
        Self {
            tools,
            choice,
            form,
            turn: Turn::of_messages(messages.map_or(&[], Vec::as_slice)),
        }
    }

    fn of_native(body: &Value) -> Self {
        let declared = |tool| items(field(tool, "functionDeclarations", "function_declarations"));
        let tools = items(body.get("tools")).flat_map(declared);
        let mut tools: Vec<Tool> = tools.filter_map(Tool::of).collect();
        let config = field(body, "toolConfig", "tool_config")
            .and_then(|config| field(config, "functionCallingConfig", "function_calling_config"))
            .unwrap_or(&Value::Null);
        let choice = match config.get("mode").and_then(Value::as_str) {
            Some("NONE") => Choice::Never,
            Some("ANY") => Choice::Always,
            Some(_) | None => Choice::Maybe,
        };
        let allowed = field(config, "allowedFunctionNames", "allowed_function_names");
        let allowed: Vec<&str> = items(allowed).filter_map(Value::as_str).collect();
        if !allowed.is_empty() {
            tools.retain(|tool| allowed.contains(&tool.name.as_str()));
        }
        let config = field(body, "generationConfig", "generation_config").unwrap_or(&Value::Null);
        let schema = field(config, "responseJsonSchema", "response_json_schema")
            .or_else(|| field(config, "responseSchema", "response_schema"))
            .or_else(|| config.get("_responseJsonSchema"));
        let kind = field(config, "responseMimeType", "response_mime_type").and_then(Value::as_str);
        let form = match (kind, schema) {
            (Some("text/x.enum"), Some(schema)) => Form::Enum(schema.clone()),
            (_, Some(schema)) => Form::Json(schema.clone()),
            (Some("application/json"), None) => Form::Json(any_object()),
            (_, None) => Form::Words,
        };
        let contents = body.get("contents").and_then(Value::as_array);
        Self {
            tools,
            choice,
            form,
            turn: Turn::of_contents(contents.map_or(&[], Vec::as_slice)),
        }
    }

    /// The tool that is called, if any is.
    fn next_tool(&self) -> Option<&Tool> {
        let calls = match self.choice {
            Choice::Never => false,
            Choice::Maybe => self.turn.results < RESULTS,
            Choice::Always => true,
        };
        let place = self.turn.calls.len().checked_rem(self.tools.len())?;
        self.tools.get(place).filter(|_| calls)
    }
}

impl Tool {
    fn of(declared: &Value) -> Option<Self> {
        let parameters = field(declared, "parametersJsonSchema", "parameters_json_schema")
            .or_else(|| declared.get("parameters"));
        let parameters = parameters.filter(|schema| schema.is_object());
        Some(Self {
            name: declared.get("name")?.as_str()?.to_owned(),
            parameters: parameters.cloned().unwrap_or_else(no_parameters),
        })
    }
}

/// Any object will do.
fn any_object() -> Value {
    json!({"type": "object", "properties": {"answer": {"type": "string"}}})
}

fn no_parameters() -> Value {
    json!({"type": "object"})
}

/// The field, in either of protobuf's spellings, unless it is `null`.
fn field<'a>(value: &'a Value, name: &str, other: &str) -> Option<&'a Value> {
    let field = value.get(name).or_else(|| value.get(other))?;
    Some(field).filter(|field| !field.is_null())
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
