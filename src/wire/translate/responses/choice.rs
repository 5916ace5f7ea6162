//! Which tools the model may or must call.

use super::tools::{Function, Search, ToolKind, Tools, hosted, is_search};
use crate::wire::parameters::{Invalid, Parameters, each, text};
use crate::wire::translate::generate::{
    CallingMode, Empty, FunctionCallingConfig, FunctionDeclaration, Tool, ToolConfig,
};
use crate::wire::translate::tool_names::ToolNames;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The parameter `tool_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    mode: Mode,
    /// The tools to choose from; `None` means all.
    among: Option<Vec<Chosen>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Required,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    /// The function with this name.
    Function(String),
    Search,
}

impl Choice {
    pub(super) fn of(request: &Parameters<'_>, tools: &Tools<'_>) -> Result<Self, Invalid> {
        let choice = request.read("tool_choice", |choice| Self::read(choice, tools))?;
        Ok(choice.unwrap_or(Self {
            mode: Mode::Auto,
            among: None,
        }))
    }

    fn read(choice: &RawValue, tools: &Tools<'_>) -> Result<Self, Invalid> {
        if let Ok(mode) = text(choice) {
            let mode = match &*mode {
                "auto" => Mode::Auto,
                "none" => Mode::None,
                "required" => Mode::Required,
                other => {
                    return Err(Invalid::new(format!(
                        "is `{other}`; it must be `none`, `auto`, `required` or an object"
                    )));
                }
            };
            return Ok(Self { mode, among: None });
        }
        let object =
            Parameters::of(choice).map_err(|_| Invalid::new("must be a string or an object"))?;
        if &*object.kind()? == "allowed_tools" {
            return Self::allowed(&object, tools);
        }
        Ok(Self {
            mode: Mode::Required,
            among: Some(vec![chosen(&object, tools)?]),
        })
    }

    fn allowed(object: &Parameters<'_>, tools: &Tools<'_>) -> Result<Self, Invalid> {
        let mode = match &*object.require("mode", text)? {
            "auto" => Mode::Auto,
            "required" => Mode::Required,
            other => {
                let reason = format!("is `{other}`; it must be `auto` or `required`");
                return Err(Invalid::about("mode", reason));
            }
        };
        let allowed = object.list("tools")?;
        let among = each(allowed, |tool| chosen(&Parameters::of(tool)?, tools));
        Ok(Self {
            mode,
            among: Some(among.map_err(|invalid| invalid.within("tools"))?),
        })
    }

    /// Gemini's `tools` and `toolConfig`.
    pub(super) fn apply<'a>(
        &self,
        tools: &Tools<'a>,
        names: &ToolNames,
    ) -> (Vec<Tool<'a>>, Option<ToolConfig<'a>>) {
        let functions = tools.functions().iter();
        let functions: Vec<FunctionDeclaration<'a>> = functions
            .filter(|function| self.may_call(function))
            .map(|function| function.declare(names))
            .collect();
        if functions.is_empty() {
            let search = Tool {
                google_search: Some(Empty {}),
                ..Tool::default()
            };
            return (
                Vec::from_iter(self.may_search(tools).then_some(search)),
                None,
            );
        }
        let mode = match self.mode {
            Mode::Auto => None,
            Mode::None => Some(CallingMode::None),
            Mode::Required => Some(CallingMode::Any),
        };
        let config = mode.map(|mode| ToolConfig {
            function_calling_config: FunctionCallingConfig {
                mode,
                allowed_function_names: match self.among {
                    Some(_) => functions
                        .iter()
                        .map(|function| Cow::Owned(function.name.to_string()))
                        .collect(),
                    None => Vec::new(),
                },
            },
        });
        let tool = Tool {
            function_declarations: functions,
            ..Tool::default()
        };
        (vec![tool], config)
    }

    fn may_call(&self, function: &Function<'_>) -> bool {
        self.among.as_ref().is_none_or(|among| {
            among.iter().any(|chosen| match chosen {
                Chosen::Function(name) => *name == function.name,
                Chosen::Search => false,
            })
        })
    }

    fn may_search(&self, tools: &Tools<'_>) -> bool {
        let is_chosen = self
            .among
            .as_ref()
            .is_none_or(|among| among.contains(&Chosen::Search));
        is_chosen && self.mode != Mode::None && tools.search == Search::On
    }
}

/// The tool that an object names.
fn chosen(object: &Parameters<'_>, tools: &Tools<'_>) -> Result<Chosen, Invalid> {
    let kind = object.kind()?;
    if is_search(&kind) {
        return match tools.search {
            Search::On => Ok(Chosen::Search),
            Search::Off => Err(Invalid::about(
                "type",
                "is not the type of a tool in `tools`",
            )),
        };
    }
    let (name, member) = match &*kind {
        "function" | "custom" => {
            let namespace = object.text("namespace")?;
            let name = object.require("name", text)?;
            (tools.name(namespace.as_deref(), &name), "name")
        }
        "namespace" => {
            let reason = "is `namespace`; name the tools in it, each with its `namespace`";
            return Err(Invalid::about("type", reason));
        }
        other => match ToolKind::unnamed(other) {
            Some(_) => (tools.name(None, other), "type"),
            None => return Err(hosted(other)),
        },
    };
    match tools.has(&name) {
        true => Ok(Chosen::Function(name)),
        false => Err(Invalid::about(member, "names no tool in `tools`")),
    }
}
