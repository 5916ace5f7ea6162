//! The tools of a request: functions for Gemini, or Google's search.
//!
//! Gemini calls functions with an object of arguments. Tools of other kinds become functions:
//!
//! | tool | function |
//! |---|---|
//! | `custom`, which takes text | one parameter, `input`; a grammar goes into the description |
//! | the tools of a `namespace` | `namespace__name` |
//! | `shell` and others that OpenAI defines | one with the arguments of their calls |
//!
//! Other tools run at OpenAI and are refused, except for two that agents declare unasked: a
//! `tool_search` of OpenAI's, which is not needed as all tools are declared, and a search beside
//! functions ([`SEARCH_BESIDE_FUNCTIONS`](crate::wire::translate::translated::SEARCH_BESIDE_FUNCTIONS)).

use crate::wire::parameters::{Invalid, Parameters, each, text};
use crate::wire::translate::generate::{FunctionDeclaration, Json, constant};
use crate::wire::translate::schema;
use crate::wire::translate::tool_names::ToolNames;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// A tool that the client runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientTool {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) kind: ToolKind,
}

/// The kind of a tool, which decides the type of the items that call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolKind {
    Function,
    Custom,
    LocalShell,
    Shell,
    ApplyPatch,
    ToolSearch,
}

/// The kinds of tools that have no names of their own, with the names of their functions.
const UNNAMED: [(&str, ToolKind); 4] = [
    ("local_shell", ToolKind::LocalShell),
    ("shell", ToolKind::Shell),
    ("apply_patch", ToolKind::ApplyPatch),
    ("tool_search", ToolKind::ToolSearch),
];

impl ToolKind {
    /// The kind that a `type` without a name means.
    pub(super) fn unnamed(kind: &str) -> Option<Self> {
        let (_, kind) = UNNAMED.iter().find(|(name, _)| *name == kind)?;
        Some(*kind)
    }
}

/// Whether the `type` of a tool means a search of the web.
pub(super) fn is_search(kind: &str) -> bool {
    kind == "web_search"
        || kind.starts_with("web_search_20")
        || kind == "web_search_preview"
        || kind.starts_with("web_search_preview_20")
}

/// The tools of a request.
#[derive(Default)]
pub(super) struct Tools<'a> {
    functions: Vec<Function<'a>>,
    /// The index of each function by its name.
    by_name: HashMap<String, usize>,
    pub(super) search: Search,
}

/// Whether the model may search the web.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Search {
    #[default]
    Off,
    On,
}

/// A tool as a function.
pub(super) struct Function<'a> {
    /// The name for Gemini, as far as it accepts it.
    pub(super) name: String,
    pub(super) tool: ClientTool,
    description: Option<Cow<'a, str>>,
    parameters: Option<Json<'a>>,
}

impl<'a> Tools<'a> {
    /// Adds the tools in the member `tools` of a request, or of an item.
    pub(super) fn add_all(&mut self, parameters: &Parameters<'a>) -> Result<(), Invalid> {
        parameters.each("tools", |tool| self.add(tool, None))?;
        Ok(())
    }

    pub(super) fn functions(&self) -> &[Function<'a>] {
        &self.functions
    }

    /// The names of all functions, mapped to what Gemini accepts.
    pub(super) fn names(&self) -> ToolNames {
        ToolNames::new(self.by_name.keys().map(String::as_str))
    }

    /// The name of a tool's function, before it is mapped. Tools of earlier turns need not be
    /// declared.
    pub(super) fn name(&self, namespace: Option<&str>, name: &str) -> String {
        let joined = join(namespace, "__", name);
        let owner = self.by_name.get(&joined);
        let owner = owner.and_then(|index| self.functions.get(*index));
        match owner.is_none_or(|owner| owner.tool.is(namespace, name)) {
            true => joined,
            // A dot is in no name of OpenAI's.
            false => join(Some(namespace.unwrap_or_default()), ".", name),
        }
    }

    /// Whether a function with this name is declared.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn add(&mut self, tool: &'a RawValue, namespace: Option<&str>) -> Result<(), Invalid> {
        let tool = Parameters::of(tool)?;
        let kind = tool.kind()?;
        match (&*kind, namespace) {
            ("function", _) => self.push(namespace, function(&tool)?),
            ("custom", _) => self.push(namespace, custom(&tool)?),
            (other, Some(_)) => {
                let reason = format!("is `{other}`; a namespace has `function` and `custom` tools");
                return Err(Invalid::about("type", reason));
            }
            ("namespace", None) => {
                let name = tool.require("name", text)?;
                let tools = tool.list("tools")?;
                each(tools, |inner| self.add(inner, Some(&name)))
                    .map_err(|invalid| invalid.within("tools"))?;
            }
            ("tool_search", None) if tool.text("execution")?.as_deref() != Some("client") => {}
            (search, None) if is_search(search) => {
                refuse_filters(&tool)?;
                self.search = Search::On;
            }
            (other, None) => {
                let kind = ToolKind::unnamed(other).ok_or_else(|| hosted(other))?;
                self.push(None, unnamed(other, kind, &tool)?);
            }
        }
        Ok(())
    }

    /// Adds a function, unless it has been added before.
    fn push(&mut self, namespace: Option<&str>, mut function: Function<'a>) {
        function.tool.namespace = namespace.map(str::to_owned);
        let name = self.name(namespace, &function.name);
        if !self.has(&name) {
            self.by_name.insert(name.clone(), self.functions.len());
            function.name = name;
            self.functions.push(function);
        }
    }
}

impl ClientTool {
    /// A tool that is not declared, as models make some up.
    pub(super) fn unknown(name: &str) -> Self {
        Self {
            namespace: None,
            name: name.to_owned(),
            kind: ToolKind::Function,
        }
    }

    fn is(&self, namespace: Option<&str>, name: &str) -> bool {
        self.namespace.as_deref() == namespace && self.name == name
    }
}

impl<'a> Function<'a> {
    fn new(name: Cow<'a, str>, kind: ToolKind) -> Self {
        Self {
            name: name.clone().into_owned(),
            tool: ClientTool {
                namespace: None,
                name: name.into_owned(),
                kind,
            },
            description: None,
            parameters: None,
        }
    }

    /// The declaration for Gemini.
    pub(super) fn declare(&self, names: &ToolNames) -> FunctionDeclaration<'a> {
        FunctionDeclaration {
            name: names.to_gemini(&self.name).into_owned().into(),
            description: self.description.clone(),
            parameters_json_schema: self.parameters.clone(),
        }
    }
}

fn join(namespace: Option<&str>, separator: &str, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}{separator}{name}"),
        None => name.to_owned(),
    }
}

fn function<'a>(tool: &Parameters<'a>) -> Result<Function<'a>, Invalid> {
    Ok(Function {
        description: tool.text("description")?,
        parameters: tool.read("parameters", schema::of_parameters)?,
        ..Function::new(tool.require("name", text)?, ToolKind::Function)
    })
}

fn custom<'a>(tool: &Parameters<'a>) -> Result<Function<'a>, Invalid> {
    let mut description = tool.text("description")?.unwrap_or_default().into_owned();
    if let Some(format) = tool.object("format")? {
        let grammar = grammar(&format).map_err(|invalid| invalid.within("format"))?;
        if !description.is_empty() && !grammar.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&grammar);
    }
    Ok(Function {
        description: (!description.is_empty()).then_some(description.into()),
        parameters: Some(constant(FREE_INPUT)),
        ..Function::new(tool.require("name", text)?, ToolKind::Custom)
    })
}

/// What to say about the format of a custom tool's input.
fn grammar(format: &Parameters<'_>) -> Result<String, Invalid> {
    match &*format.kind()? {
        "text" => Ok(String::new()),
        "grammar" => {
            let syntax = format.require("syntax", text)?;
            let definition = format.require("definition", text)?;
            let syntax = match &*syntax {
                "lark" => "Lark grammar",
                "regex" => "regular expression",
                other => {
                    let reason = format!("is `{other}`; it must be `lark` or `regex`");
                    return Err(Invalid::about("syntax", reason));
                }
            };
            Ok(format!("The input must match this {syntax}:\n{definition}"))
        }
        other => {
            let reason = format!("is `{other}`; it must be `text` or `grammar`");
            Err(Invalid::about("type", reason))
        }
    }
}

const FREE_INPUT: &str = r#"{
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input."}},
    "required": ["input"]
}"#;
const LOCAL_SHELL: &str = r#"{
    "type": "object",
    "properties": {
        "command": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The program and its arguments."
        },
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}}
    },
    "required": ["command"]
}"#;
const SHELL: &str = r#"{
    "type": "object",
    "properties": {
        "commands": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The commands to run, in order."
        },
        "timeout_ms": {"type": "integer"},
        "max_output_length": {
            "type": "integer",
            "description": "The maximum length of the output, in characters."
        }
    },
    "required": ["commands"]
}"#;
const APPLY_PATCH: &str = r#"{
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        "path": {"type": "string"},
        "diff": {
            "type": "string",
            "description": "The change in the V4A diff format, unless the file is deleted."
        }
    },
    "required": ["type", "path"]
}"#;

/// The function for a tool that OpenAI defines and the client runs.
fn unnamed<'a>(name: &str, kind: ToolKind, tool: &Parameters<'a>) -> Result<Function<'a>, Invalid> {
    let (description, schema) = match kind {
        ToolKind::LocalShell => ("Runs a command on the user's computer.", LOCAL_SHELL),
        ToolKind::Shell => {
            refuse_container(tool)?;
            ("Runs shell commands on the user's computer.", SHELL)
        }
        ToolKind::ApplyPatch => ("Creates, updates or deletes a file.", APPLY_PATCH),
        ToolKind::ToolSearch | ToolKind::Function | ToolKind::Custom => ("", ""),
    };
    let own_description = tool.text("description")?;
    let own_parameters = tool.read("parameters", schema::of_parameters)?;
    let schema: Option<&RawValue> = serde_json::from_str(schema).ok();
    Ok(Function {
        description: own_description
            .or(Some(description.into()))
            .filter(|description| !description.is_empty()),
        parameters: own_parameters.or(schema.map(Cow::Borrowed)),
        ..Function::new(name.to_owned().into(), kind)
    })
}

/// Refuses a search within certain sites, as Google's would go beyond them.
fn refuse_filters(tool: &Parameters<'_>) -> Result<(), Invalid> {
    let filters = tool.object("filters")?;
    let domains = filters.map(|filters| filters.list("allowed_domains"));
    let domains = domains.transpose();
    match domains.map_err(|invalid| invalid.within("filters"))? {
        Some(domains) if !domains.is_empty() => Err(Invalid::about(
            "filters.allowed_domains",
            "is not supported, as Google's search has no such limit; leave it out",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a shell in a container of OpenAI's.
fn refuse_container(tool: &Parameters<'_>) -> Result<(), Invalid> {
    let environment = tool.object("environment")?;
    let kind = environment
        .map(|environment| environment.kind())
        .transpose();
    match kind
        .map_err(|invalid| invalid.within("environment"))?
        .as_deref()
    {
        None | Some("local") => Ok(()),
        Some(other) => {
            let reason = format!(
                "is `{other}`, which Gemini does not offer; use `local` and run the commands \
                 yourself"
            );
            Err(Invalid::about("environment.type", reason))
        }
    }
}

/// The error about a tool that would run at OpenAI.
pub(super) fn hosted(kind: &str) -> Invalid {
    let instead = match kind {
        "file_search" => "send the passages in `input`, or declare a function that searches",
        "code_interpreter" => "declare a function that runs code",
        "mcp" => "call the MCP server yourself and declare its tools as functions",
        "image_generation" => "ask an image model of Gemini",
        _ => "leave it out or declare a function",
    };
    let reason = format!("is `{kind}`, which runs at OpenAI and not at Gemini; {instead}");
    Invalid::about("type", reason)
}
