//! The items of the input, as Gemini's contents and system instruction.

use super::content::{outcome, parts};
use super::tools::{ToolKind, Tools};
use crate::wire::parameters::{Invalid, Parameters, each, list, text, text_if_any};
use crate::wire::translate::conversation::{Conversation, Outcome, Status};
use crate::wire::translate::generate::{Content, Json, Part, Role, constant, object};
use crate::wire::translate::media;
use crate::wire::translate::signature;
use crate::wire::translate::tool_names::ToolNames;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The prefix of the ids of reasoning items, here as at OpenAI.
const REASONING_ID: &str = "rs_";

/// The parameter `input`.
pub(super) enum Input<'a> {
    Text(Cow<'a, str>),
    Items(Vec<Item<'a>>),
}

/// An item with its type.
pub(super) struct Item<'a> {
    kind: Cow<'a, str>,
    members: Parameters<'a>,
}

/// The input for Gemini.
pub(super) struct Contents<'a> {
    /// System and developer messages before all others.
    pub(super) system: Vec<Part<'a>>,
    pub(super) contents: Vec<Content<'a>>,
}

impl<'a> Input<'a> {
    pub(super) fn read(input: &'a RawValue) -> Result<Self, Invalid> {
        if let Some(text) = text_if_any(input)? {
            return Ok(Self::Text(text));
        }
        let items = list(input).map_err(|_| Invalid::new("must be a string or a list"))?;
        Ok(Self::Items(each(items, Item::read)?))
    }

    /// Adds the tools that items declare.
    pub(super) fn declare(&self, tools: &mut Tools<'a>) -> Result<(), Invalid> {
        let Self::Items(items) = self else {
            return Ok(());
        };
        each(items, |item| match &*item.kind {
            "additional_tools" | "tool_search_output" => tools.add_all(&item.members),
            _ => Ok(()),
        })?;
        Ok(())
    }

    pub(super) fn into_contents(
        self,
        mut conversation: Conversation<'a>,
        tools: &Tools<'_>,
        names: &ToolNames,
    ) -> Result<Contents<'a>, Invalid> {
        let mut system = Vec::new();
        match self {
            Self::Text(text) if text.is_empty() => {}
            Self::Text(text) => conversation.user(Part::text(text)),
            Self::Items(items) => {
                let mut writer = Writer {
                    conversation,
                    tools,
                    names,
                    system: Vec::new(),
                    place: Place::Lead,
                };
                let next = items.iter().skip(1).map(Some).chain([None]);
                each(items.iter().zip(next), |(item, next)| match next {
                    // What the model said before its call is not needed to go on.
                    Some(next) if item.kind == "item_reference" && next.is_call() => Ok(()),
                    Some(_) | None => writer.item(item),
                })?;
                (conversation, system) = (writer.conversation, writer.system);
            }
        }
        let mut contents = conversation.into_contents();
        if contents.is_empty() && !system.is_empty() {
            // Gemini does not answer a system instruction alone.
            contents.push(Content {
                role: Some(Role::User),
                parts: std::mem::take(&mut system),
            });
        }
        match contents.is_empty() {
            true => Err(Invalid::new("must contain a text, an image or a file")),
            false => Ok(Contents { system, contents }),
        }
    }
}

impl<'a> Item<'a> {
    fn read(item: &'a RawValue) -> Result<Self, Invalid> {
        let members = Parameters::of(item)?;
        let kind = match members.text("type")? {
            Some(kind) => kind,
            None if members.has("role") => "message".into(),
            None if members.has("id") => "item_reference".into(),
            None => return Err(Invalid::about("type", "is missing")),
        };
        Ok(Self { kind, members })
    }
}

impl Item<'_> {
    /// Whether the model calls a tool of the client.
    fn is_call(&self) -> bool {
        matches!(&*self.kind, "function_call" | "custom_tool_call")
    }
}

/// Whether the conversation has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only instructions so far.
    Lead,
    Conversation,
}

struct Writer<'a, 't> {
    conversation: Conversation<'a>,
    tools: &'t Tools<'t>,
    names: &'t ToolNames,
    system: Vec<Part<'a>>,
    place: Place,
}

impl<'a> Writer<'a, '_> {
    fn item(&mut self, item: &Item<'a>) -> Result<(), Invalid> {
        let members = &item.members;
        match &*item.kind {
            "message" => return self.message(members),
            // Their tools are declared.
            "additional_tools" => return Ok(()),
            _ => self.place = Place::Conversation,
        }
        match &*item.kind {
            "reasoning" => self.reasoning(members),
            "function_call" => self.function_call(members),
            "custom_tool_call" => self.custom_call(members),
            "local_shell_call" => self.object_call(members, ToolKind::LocalShell),
            "shell_call" => self.object_call(members, ToolKind::Shell),
            "apply_patch_call" => self.object_call(members, ToolKind::ApplyPatch),
            "tool_search_call" => self.object_call(members, ToolKind::ToolSearch),
            "function_call_output"
            | "custom_tool_call_output"
            | "shell_call_output"
            | "local_shell_call_output"
            | "apply_patch_call_output"
            | "tool_search_output" => self.output(&item.kind, members),
            "image_generation_call" => self.image(members),
            // The answer after a search contains what it found.
            "web_search_call" => Ok(()),
            "item_reference" => reference(members),
            other => Err(Invalid::about(
                "type",
                format!("is `{other}`, which only OpenAI can read; leave the item out"),
            )),
        }
    }

    fn message(&mut self, message: &Parameters<'a>) -> Result<(), Invalid> {
        let role = message.require("role", text)?;
        let parts = message.require("content", parts)?;
        match (&*role, self.place) {
            ("system" | "developer", Place::Lead) => self.system.extend(parts),
            ("user" | "system" | "developer", _) => {
                self.place = Place::Conversation;
                parts
                    .into_iter()
                    .for_each(|part| self.conversation.user(part));
            }
            ("assistant", _) => {
                self.place = Place::Conversation;
                parts
                    .into_iter()
                    .for_each(|part| self.conversation.model(part));
            }
            (other, _) => {
                let reason = format!(
                    "is `{other}`; it must be `user`, `assistant`, `system` or `developer`"
                );
                return Err(Invalid::about("role", reason));
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, item: &Parameters<'a>) -> Result<(), Invalid> {
        let field = item.text("encrypted_content")?;
        self.conversation
            .thought(field.and_then(signature::in_field));
        Ok(())
    }

    fn function_call(&mut self, item: &Parameters<'a>) -> Result<(), Invalid> {
        let arguments = item.require("arguments", text)?;
        self.call(item, arguments_object(arguments))
    }

    fn custom_call(&mut self, item: &Parameters<'a>) -> Result<(), Invalid> {
        let input = item.require("input", text)?;
        self.call(item, object("input", &input))
    }

    fn call(&mut self, item: &Parameters<'a>, args: Json<'a>) -> Result<(), Invalid> {
        let id = item.require("call_id", text)?;
        let namespace = item.text("namespace")?;
        let name = item.require("name", text)?;
        let name = self.tools.name(namespace.as_deref(), &name);
        self.conversation.call(id, name.into(), args);
        Ok(())
    }

    /// A call of a tool that OpenAI defines, whose arguments are an object.
    fn object_call(&mut self, item: &Parameters<'a>, kind: ToolKind) -> Result<(), Invalid> {
        let (member, name) = match kind {
            ToolKind::LocalShell => ("action", "local_shell"),
            ToolKind::Shell => ("action", "shell"),
            ToolKind::ApplyPatch => ("operation", "apply_patch"),
            ToolKind::ToolSearch | ToolKind::Function | ToolKind::Custom => {
                ("arguments", "tool_search")
            }
        };
        if kind == ToolKind::ToolSearch && !item.has("call_id") {
            // OpenAI's own search, which has no effect here.
            return Ok(());
        }
        let id = item.require("call_id", text)?;
        let args = item.require(member, Parameters::of)?;
        let name = self.tools.name(None, name);
        self.conversation
            .call(id, name.into(), Cow::Borrowed(args.json));
        Ok(())
    }

    fn output(&mut self, kind: &str, item: &Parameters<'a>) -> Result<(), Invalid> {
        let id_name = match kind {
            "local_shell_call_output" if !item.has("call_id") => "id",
            "tool_search_output" if !item.has("call_id") => return Ok(()),
            _ => "call_id",
        };
        let id = item.require(id_name, text)?;
        let outcome = match kind {
            "shell_call_output" => raw_outcome(item.require("output", Ok)?),
            "apply_patch_call_output" => patch_outcome(item)?,
            "tool_search_output" => self.found(item)?,
            _ => item.require("output", |output| outcome(output, Status::Ok))?,
        };
        // The model had nothing to say after its thoughts, if there were any.
        self.conversation.thought(None);
        let result = self.conversation.result(&id, outcome);
        result.map_err(|invalid| invalid.within(id_name))
    }

    /// The names of the tools that a search has found, by which the model calls them.
    fn found(&self, item: &Parameters<'a>) -> Result<Outcome<'a>, Invalid> {
        let mut found = Tools::default();
        found.add_all(item)?;
        let names = found.functions().iter().map(|function| {
            let tool = &function.tool;
            let name = self.tools.name(tool.namespace.as_deref(), &tool.name);
            self.names.to_gemini(&name).into_owned()
        });
        let names: Vec<String> = names.collect();
        Ok(Outcome {
            text: match names.is_empty() {
                true => "No tools were found.".into(),
                false => format!("These tools can be called now: {}", names.join(", ")).into(),
            },
            status: Status::Ok,
            media: Vec::new(),
        })
    }

    /// An image that the model has made.
    fn image(&mut self, item: &Parameters<'a>) -> Result<(), Invalid> {
        if let Some(data) = item.text("result")? {
            let mime_type = media::image_type_of(&data);
            self.conversation.model(media::inline(mime_type, data));
        }
        Ok(())
    }
}

/// A reference to an item of an earlier response, as the AI SDK sends unless `store` is false. What a
/// reasoning item says is not sent back anyway, and the signature in it is stored with its call.
fn reference(item: &Parameters<'_>) -> Result<(), Invalid> {
    match item.require("id", text)?.starts_with(REASONING_ID) {
        true => Ok(()),
        false => Err(Invalid::about(
            "id",
            "refers to a stored item, and none are stored here; send the item itself, as clients \
             do if `store` is false",
        )),
    }
}

fn raw_outcome(output: &RawValue) -> Outcome<'_> {
    Outcome {
        text: output.get().into(),
        status: Status::Ok,
        media: Vec::new(),
    }
}

fn patch_outcome<'a>(item: &Parameters<'a>) -> Result<Outcome<'a>, Invalid> {
    let status = item.text("status")?.unwrap_or("completed".into());
    let output = item.text("output")?.filter(|output| !output.is_empty());
    Ok(Outcome {
        status: match &*status {
            "failed" => Status::Error,
            _ => Status::Ok,
        },
        text: output.unwrap_or(status),
        media: Vec::new(),
    })
}

/// The arguments of a call as an object. Models make mistakes, and clients send them back.
fn arguments_object(arguments: Cow<'_, str>) -> Json<'_> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return constant("{}");
    }
    let parsed = match (trimmed.starts_with('{'), &arguments) {
        (false, _) => None,
        (true, Cow::Borrowed(text)) => {
            let parsed: Option<&RawValue> = serde_json::from_str(text).ok();
            parsed.map(Cow::Borrowed)
        }
        (true, Cow::Owned(text)) => serde_json::from_str(text).ok().map(Cow::Owned),
    };
    parsed.unwrap_or_else(|| object("arguments", &arguments))
}
