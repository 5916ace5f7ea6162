//! Tools, and which of them the model may call.
//!
//! Claude knows the parameters of some tools that run at the client, so their declarations consist
//! of a name. Gemini is told the parameters. Tools that run at Anthropic do not exist at Gemini,
//! except web search.
//!
//! Sources: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview> and the pages
//! of each tool below it.

use super::content::Messages;
use crate::wire::parameters::{Invalid, Parameters, text};
use crate::wire::translate::generate::{
    CallingMode, Empty, FunctionCallingConfig, FunctionDeclaration, Json, Tool, ToolConfig,
    constant,
};
use crate::wire::translate::schema;
use crate::wire::translate::tool_names::ToolNames;
use crate::wire::translate::translated::SEARCH_BESIDE_FUNCTIONS;
use std::borrow::Cow;

/// The tools of a request.
#[derive(Default)]
pub(super) struct Tools<'a> {
    functions: Vec<Function<'a>>,
    /// The client's name of the web search.
    search: Option<Cow<'a, str>>,
}

/// A tool that runs at the client.
struct Function<'a> {
    name: Cow<'a, str>,
    description: Option<Cow<'a, str>>,
    schema: Json<'a>,
    /// Whether the model learns of it only from the conversation.
    is_deferred: bool,
}

/// A tool as the request declares it.
enum Declared<'a> {
    Function(Function<'a>),
    /// Searches the web.
    WebSearch(Cow<'a, str>),
    /// Searches the deferred tools.
    ToolSearch,
}

impl<'a> Tools<'a> {
    pub(super) fn of(
        parameters: &Parameters<'a>,
        messages: &Messages<'a>,
    ) -> Result<Self, Invalid> {
        let mut tools = Self::default();
        let mut loads_all = false;
        for declared in parameters.each("tools", |tool| declared(&Parameters::of(tool)?))? {
            match declared {
                Declared::Function(function) => tools.functions.push(function),
                Declared::WebSearch(name) => tools.search = Some(name),
                Declared::ToolSearch => loads_all = true,
            }
        }
        if !loads_all && tools.functions.iter().any(|function| function.is_deferred) {
            let mut loaded = messages.referenced_tools();
            let choice = parameters.object("tool_choice")?;
            loaded.extend(choice.and_then(|choice| choice.text("name").ok().flatten()));
            tools
                .functions
                .retain(|function| !function.is_deferred || loaded.contains(&function.name));
        }
        tools.apply_choice_of_search(parameters);
        Ok(tools)
    }

    /// Applies a choice for or against the search, for which Gemini has no mode. Errors are left to
    /// [`config`](Self::config).
    fn apply_choice_of_search(&mut self, parameters: &Parameters<'a>) {
        let choice = parameters.object("tool_choice").ok().flatten();
        let text = |name| choice.as_ref().and_then(|choice| choice.text(name).ok()?);
        match text("type").as_deref() {
            Some("none") => self.search = None,
            Some("tool") if self.search.is_some() && text("name") == self.search => {
                self.functions.clear();
            }
            Some(_) | None => {}
        }
    }

    /// The names of the functions, at the client and at Gemini.
    pub(super) fn names(&self) -> ToolNames {
        ToolNames::new(self.functions.iter().map(|function| &*function.name))
    }

    /// Which tools the model may call; `None` leaves it to the model. Gemini has no counterpart of
    /// `disable_parallel_tool_use`.
    pub(super) fn config(
        &self,
        parameters: &Parameters<'a>,
        names: &ToolNames,
    ) -> Result<Option<ToolConfig<'a>>, Invalid> {
        let config = parameters.read("tool_choice", |choice| {
            let choice = Parameters::of(choice)?;
            let (mode, name) = match &*choice.kind()? {
                "auto" => return Ok(None),
                "any" => (CallingMode::Any, None),
                "none" => (CallingMode::None, None),
                "tool" => (
                    CallingMode::Any,
                    choice.require("name", |name| self.chosen(text(name)?))?,
                ),
                _ => {
                    return Err(Invalid::about(
                        "type",
                        "must be `auto`, `any`, `tool` or `none`",
                    ));
                }
            };
            let name = name.map(|name| Cow::Owned(names.to_gemini(&name).into_owned()));
            Ok(Some(FunctionCallingConfig {
                mode,
                allowed_function_names: name.into_iter().collect(),
            }))
        })?;
        // Gemini refuses a mode without functions. Its search cannot be forced.
        let config = config.flatten().filter(|_| !self.functions.is_empty());
        Ok(config.map(|function_calling_config| ToolConfig {
            function_calling_config,
        }))
    }

    /// The function that must be called; `None` for the search.
    fn chosen(&self, name: Cow<'a, str>) -> Result<Option<Cow<'a, str>>, Invalid> {
        if self.functions.iter().any(|function| function.name == name) {
            Ok(Some(name))
        } else if self.search.as_ref() == Some(&name) {
            Ok(None)
        } else {
            Err(Invalid::new("names none of the request's `tools`"))
        }
    }

    /// The parameters that [`into_gemini`](Self::into_gemini) leaves out.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        match self.search.is_some() && !self.functions.is_empty() {
            true => vec![SEARCH_BESIDE_FUNCTIONS],
            false => Vec::new(),
        }
    }

    /// The tools in Gemini's format.
    pub(super) fn into_gemini(self, names: &ToolNames) -> Vec<Tool<'a>> {
        let mut tools = Vec::new();
        let functions = self
            .functions
            .into_iter()
            .map(|function| FunctionDeclaration {
                name: Cow::Owned(names.to_gemini(&function.name).into_owned()),
                description: function.description,
                parameters_json_schema: Some(function.schema),
            });
        let function_declarations: Vec<_> = functions.collect();
        if !function_declarations.is_empty() {
            tools.push(Tool {
                function_declarations,
                ..Tool::default()
            });
        }
        if self.search.is_some() && tools.is_empty() {
            tools.push(Tool {
                google_search: Some(Empty::default()),
                ..Tool::default()
            });
        }
        tools
    }
}

fn declared<'a>(tool: &Parameters<'a>) -> Result<Declared<'a>, Invalid> {
    let kind = tool.text("type")?.unwrap_or(Cow::Borrowed("custom"));
    // The rest of a type is its date.
    let is = |prefix: &str| kind.starts_with(prefix);
    if kind == "custom" {
        let schema = tool.require("input_schema", schema::of_parameters)?;
        let description = tool.text("description")?;
        return function(tool, description, schema);
    }
    if is("tool_search_tool_") {
        return Ok(Declared::ToolSearch);
    }
    if is("web_search_") {
        return web_search(tool);
    }
    let Predefined {
        description,
        schema,
    } = if is("bash_") {
        BASH
    } else if is("text_editor_") {
        TEXT_EDITOR
    } else if is("memory_") {
        MEMORY
    } else if is("computer_") || is("browser_") {
        return Err(Invalid::about(
            "type",
            format!(
                "is `{kind}`, whose parameters only Claude knows; declare the tool with its own `input_schema`"
            ),
        ));
    } else {
        return Err(Invalid::about(
            "type",
            format!(
                "is `{kind}`, which Gemini does not offer; leave the tool out, or declare it as `custom`"
            ),
        ));
    };
    function(tool, Some(Cow::Borrowed(description)), constant(schema))
}

fn function<'a>(
    tool: &Parameters<'a>,
    description: Option<Cow<'a, str>>,
    schema: Json<'a>,
) -> Result<Declared<'a>, Invalid> {
    Ok(Declared::Function(Function {
        name: tool.require("name", text)?,
        description,
        schema,
        is_deferred: tool.flag("defer_loading")?.unwrap_or_default(),
    }))
}

/// Gemini decides how often it searches, and where from, so `max_uses` and `user_location` have no
/// effect. A restriction of domains must not be lost.
fn web_search<'a>(tool: &Parameters<'a>) -> Result<Declared<'a>, Invalid> {
    for name in ["allowed_domains", "blocked_domains"] {
        if !tool.list(name)?.is_empty() {
            return Err(Invalid::about(
                name,
                "cannot be enforced, as Gemini searches the whole web; leave it out, or name the sites in the prompt",
            ));
        }
    }
    Ok(Declared::WebSearch(tool.require("name", text)?))
}

/// A tool that Anthropic defines and the client runs.
struct Predefined {
    description: &'static str,
    /// Its parameters: a schema that needs no lowering.
    schema: &'static str,
}

const BASH: Predefined = Predefined {
    description: "Runs a command in a Bash session, which keeps its state between calls.",
    schema: r#"{
    "type": "object",
    "properties": {
        "command": {
            "type": "string",
            "description": "The command to run. Required unless `restart` is true."
        },
        "restart": {
            "type": "boolean",
            "description": "Whether to restart the session instead."
        }
    }
}"#,
};
const TEXT_EDITOR: Predefined = Predefined {
    description: "Views, creates and edits text files.",
    schema: r#"{
    "type": "object",
    "properties": {
        "command": {
            "type": "string",
            "enum": ["view", "create", "str_replace", "insert"]
        },
        "path": {"type": "string", "description": "The file or directory."},
        "view_range": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "For `view`: the first and last line, from 1; -1 is the end of the file."
        },
        "file_text": {"type": "string", "description": "For `create`: the content."},
        "old_str": {
            "type": "string",
            "description": "For `str_replace`: the text to replace, which must occur once."
        },
        "new_str": {"type": "string", "description": "For `str_replace`: its replacement."},
        "insert_line": {
            "type": "integer",
            "description": "For `insert`: the line to insert after; 0 is the beginning."
        },
        "insert_text": {"type": "string", "description": "For `insert`: the text."}
    },
    "required": ["command", "path"]
}"#,
};
const MEMORY: Predefined = Predefined {
    description: "Reads and writes files below /memories, which outlast the conversation. Look \
                  there before a task, and note progress.",
    schema: r#"{
    "type": "object",
    "properties": {
        "command": {
            "type": "string",
            "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]
        },
        "path": {
            "type": "string",
            "description": "The file or directory, below /memories. For all but `rename`."
        },
        "view_range": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "For `view`: the first and last line, from 1."
        },
        "file_text": {"type": "string", "description": "For `create`: the content."},
        "old_str": {"type": "string", "description": "For `str_replace`: the text to replace."},
        "new_str": {"type": "string", "description": "For `str_replace`: its replacement."},
        "insert_line": {"type": "integer", "description": "For `insert`: the line to insert after."},
        "insert_text": {"type": "string", "description": "For `insert`: the text."},
        "old_path": {"type": "string", "description": "For `rename`."},
        "new_path": {"type": "string", "description": "For `rename`."}
    },
    "required": ["command"]
}"#,
};
