//! Messages and their blocks, as Gemini's contents.

use super::format;
use crate::wire::parameters::{Invalid, Parameters, each, text, text_if_any};
use crate::wire::translate::conversation::{Conversation, Outcome, Status};
use crate::wire::translate::generate::{Content, Json, Part};
use crate::wire::translate::media;
use crate::wire::translate::signature;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    Assistant,
    /// The operator, in the middle of a conversation.
    System,
}

/// Begins what Claude Code says of itself in the system prompt. It differs between requests, so
/// Google's cache would not recognize the prompt, and it means nothing to the model.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// The messages of a request.
pub(super) struct Messages<'a>(Vec<Message<'a>>);

struct Message<'a> {
    speaker: Speaker,
    parameters: Parameters<'a>,
}

impl<'a> Messages<'a> {
    pub(super) fn of(parameters: &Parameters<'a>) -> Result<Self, Invalid> {
        parameters.require("messages", |_| Ok(()))?;
        let messages = parameters.each("messages", |message| {
            let parameters = Parameters::of(message)?;
            let speaker = speaker(&parameters)?;
            Ok(Message {
                speaker,
                parameters,
            })
        })?;
        Ok(Self(messages))
    }

    /// The system prompt: `system`, and the messages of the system that precede all others.
    pub(super) fn system(
        &self,
        parameters: &Parameters<'a>,
    ) -> Result<Option<Content<'a>>, Invalid> {
        let mut parts = parameters.read("system", texts)?.unwrap_or_default();
        parts.retain(|part| {
            let text = part.text.as_deref().unwrap_or_default();
            !text.starts_with(BILLING_HEADER)
        });
        let further = self.read(0..self.first_other(), |_, message| said_by_system(message))?;
        parts.extend(further.into_iter().flatten());
        Ok((!parts.is_empty()).then_some(Content { role: None, parts }))
    }

    /// Adds the other messages to a conversation.
    pub(super) fn converse(&self, conversation: &mut Conversation<'a>) -> Result<(), Invalid> {
        let last_user = self
            .0
            .iter()
            .rposition(|message| message.speaker == Speaker::User);
        self.read(
            self.first_other()..self.0.len(),
            |index, message| match message.speaker {
                Speaker::System => {
                    let passes = message.parameters.text("clear_at")?;
                    let is_over = passes.as_deref() == Some("next_user_message");
                    if is_over && last_user.is_some_and(|last| last > index) {
                        return Ok(());
                    }
                    for part in said_by_system(message)? {
                        conversation.user(reminder(part));
                    }
                    Ok(())
                }
                Speaker::User | Speaker::Assistant => {
                    message.parameters.require("content", |content| {
                        say(content, message.speaker, conversation)
                    })
                }
            },
        )?;
        Ok(())
    }

    /// The effort that the system has asked for last.
    pub(super) fn effort<T>(
        &self,
        read: impl Fn(&'a RawValue) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        let efforts = self.read(0..self.0.len(), |_, message| {
            let config = match message.speaker {
                Speaker::System => message.parameters.object("output_config")?,
                Speaker::User | Speaker::Assistant => None,
            };
            let effort = config
                .map(|config| config.read("effort", &read))
                .transpose();
            effort.map_err(|invalid| invalid.within("output_config"))
        })?;
        Ok(efforts.into_iter().flatten().flatten().next_back())
    }

    /// The index of the first message that is not the system's.
    fn first_other(&self) -> usize {
        let other = |message: &Message<'_>| message.speaker != Speaker::System;
        self.0.iter().position(other).unwrap_or(self.0.len())
    }

    /// Reads some of the messages. An error names the message.
    fn read<T>(
        &self,
        range: Range<usize>,
        mut read: impl FnMut(usize, &Message<'a>) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        let numbered = self.0.iter().enumerate();
        let some = numbered.take(range.end).skip(range.start);
        some.map(|(index, message)| {
            read(index, message).map_err(|invalid| invalid.at(index).within("messages"))
        })
        .collect()
    }

    /// The tools that the conversation has loaded: by a search for tools, by the system, or by a
    /// call. Blocks of an unexpected form refer to none.
    pub(super) fn referenced_tools(&self) -> HashSet<Cow<'a, str>> {
        let contents = self.0.iter();
        contents
            .flat_map(|message| message.parameters.list("content").unwrap_or_default())
            .filter_map(|block| Parameters::of(block).ok())
            .flat_map(|block| references(&block))
            .collect()
    }
}

fn said_by_system<'a>(message: &Message<'a>) -> Result<Vec<Part<'a>>, Invalid> {
    Ok(message
        .parameters
        .read("content", texts)?
        .unwrap_or_default())
}

fn speaker(message: &Parameters<'_>) -> Result<Speaker, Invalid> {
    match &*message.require("role", text)? {
        "user" => Ok(Speaker::User),
        "assistant" => Ok(Speaker::Assistant),
        "system" => Ok(Speaker::System),
        _ => Err(Invalid::about(
            "role",
            "must be `user`, `assistant` or `system`",
        )),
    }
}

/// What the system says in the middle of a conversation. Gemini has no such role; Claude Code marks
/// it in this way for models without it.
fn reminder(part: Part<'_>) -> Part<'static> {
    let text = part.text.unwrap_or_default();
    Part::text(format!("<system-reminder>\n{text}\n</system-reminder>"))
}

/// Texts that are a string, or blocks of which those of other types count for nothing.
fn texts(content: &RawValue) -> Result<Vec<Part<'_>>, Invalid> {
    if let Some(text) = text_if_any(content)? {
        return Ok(part_of_text(text).into_iter().collect());
    }
    let texts = blocks(content, |kind, block| match kind {
        "text" => Ok(part_of_text(block.require("text", text)?)),
        "tool_addition" => {
            let tool = block.object("tool")?;
            match tool.is_some_and(|tool| tool.has("definition")) {
                true => Err(Invalid::about(
                    "tool.definition",
                    "cannot be translated for Gemini here; define the tool in `tools`",
                )),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    })?;
    Ok(texts.into_iter().flatten().collect())
}

/// A part with the text, unless it is empty: neither API accepts empty ones.
fn part_of_text(text: Cow<'_, str>) -> Option<Part<'_>> {
    (!text.is_empty()).then(|| Part::text(text))
}

/// Reads each block of a content.
fn blocks<'a, T>(
    content: &'a RawValue,
    mut read: impl FnMut(&str, &Parameters<'a>) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let blocks = crate::wire::json::read::<Vec<&RawValue>>(content)
        .ok_or_else(|| Invalid::new("must be a string or a list of blocks"))?;
    each(blocks, |block| {
        let block = Parameters::of(block)?;
        read(&block.kind()?, &block)
    })
}

fn say<'a>(
    content: &'a RawValue,
    speaker: Speaker,
    conversation: &mut Conversation<'a>,
) -> Result<(), Invalid> {
    if let Some(text) = text_if_any(content)? {
        if let Some(part) = part_of_text(text) {
            add(part, speaker, conversation);
        }
        return Ok(());
    }
    blocks(content, |kind, block| match speaker {
        Speaker::Assistant => assistant_block(kind, block, conversation),
        Speaker::User | Speaker::System => user_block(kind, block, conversation),
    })?;
    Ok(())
}

fn add<'a>(part: Part<'a>, speaker: Speaker, conversation: &mut Conversation<'a>) {
    match speaker {
        Speaker::Assistant => conversation.model(part),
        Speaker::User | Speaker::System => conversation.user(part),
    }
}

fn assistant_block<'a>(
    kind: &str,
    block: &Parameters<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Invalid> {
    match kind {
        "text" => {
            let text = block.require("text", text)?;
            let part = match format::image(&text) {
                Some((mime_type, data)) => Some(media::inline(mime_type, data)),
                None => part_of_text(text),
            };
            if let Some(part) = part {
                conversation.model(part);
            }
        }
        "thinking" => conversation.thought(signature_in(block, "signature")?),
        "redacted_thinking" => conversation.thought(signature_in(block, "data")?),
        "tool_use" => {
            let id = block.require("id", text)?;
            let name = block.require("name", text)?;
            let input = block.read("input", object)?;
            conversation.call(id, name, input.unwrap_or_else(format::no_arguments));
        }
        // A summary of the conversation so far.
        "compaction" => {
            if let Some(part) = block.text("content")?.and_then(part_of_text) {
                conversation.model(part);
            }
        }
        // What Anthropic's own tools did is in the text that follows.
        "server_tool_use" | "mcp_tool_use" | "mcp_tool_listing" | "fallback" => {}
        result if result.ends_with("_tool_result") => {}
        "image" | "document" | "search_result" => {
            for part in shown_block(kind, block)? {
                conversation.model(part);
            }
        }
        other => return Err(unknown(other)),
    }
    Ok(())
}

/// The signature for the next part, if Gemini made it.
fn signature_in<'a>(block: &Parameters<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
    Ok(block.text(name)?.and_then(signature::in_field))
}

fn object(value: &RawValue) -> Result<Json<'_>, Invalid> {
    Parameters::of(value).map(|object| Cow::Borrowed(object.json))
}

fn user_block<'a>(
    kind: &str,
    block: &Parameters<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Invalid> {
    match kind {
        "tool_result" => {
            let id = block.require("tool_use_id", text)?;
            let outcome = outcome(block)?;
            let result = conversation.result(&id, outcome);
            return result.map_err(|invalid| invalid.within("tool_use_id"));
        }
        "container_upload" => {
            return Err(Invalid::about(
                "type",
                "is `container_upload`, but Gemini has no such containers; send the file as a `document`",
            ));
        }
        // Results of Anthropic's own tools.
        result if result.ends_with("_tool_result") => {}
        _ => {
            for part in shown_block(kind, block)? {
                conversation.user(part);
            }
        }
    }
    Ok(())
}

/// The result of a tool call.
fn outcome<'a>(block: &Parameters<'a>) -> Result<Outcome<'a>, Invalid> {
    let mut outcome = Outcome {
        text: Cow::Borrowed(""),
        status: match block.flag("is_error")? {
            Some(true) => Status::Error,
            Some(false) | None => Status::Ok,
        },
        media: Vec::new(),
    };
    let parts = block.read("content", |content| {
        if let Some(text) = text_if_any(content)? {
            return Ok(vec![Part::text(text)]);
        }
        let parts = blocks(content, |kind, block| match kind {
            "tool_reference" => {
                let name = block.require("tool_name", text)?;
                Ok(vec![Part::text(format!(
                    "The tool `{name}` is available now."
                ))])
            }
            // The state of Anthropic's browser tool, which Gemini does not have.
            "browser_state" => Ok(Vec::new()),
            _ => shown_block(kind, block),
        })?;
        Ok(parts.into_iter().flatten().collect())
    })?;
    for part in parts.unwrap_or_default() {
        match part.text {
            Some(text) if outcome.text.is_empty() => outcome.text = text,
            Some(text) => {
                let joined = outcome.text.to_mut();
                joined.push('\n');
                joined.push_str(&text);
            }
            None => outcome.media.push(part),
        }
    }
    Ok(outcome)
}

/// A block that shows the model something.
fn shown_block<'a>(kind: &str, block: &Parameters<'a>) -> Result<Vec<Part<'a>>, Invalid> {
    match kind {
        "text" => Ok(part_of_text(block.require("text", text)?)
            .into_iter()
            .collect()),
        "image" => {
            let image = block.require("source", |source| image(&Parameters::of(source)?))?;
            Ok(vec![image])
        }
        "document" => document(block),
        "search_result" => search_result(block),
        other => Err(unknown(other)),
    }
}

fn unknown(kind: &str) -> Invalid {
    Invalid::about(
        "type",
        format!("is `{kind}`, which cannot be translated for Gemini here; leave the block out"),
    )
}

fn image<'a>(source: &Parameters<'a>) -> Result<Part<'a>, Invalid> {
    match &*source.kind()? {
        "base64" => Ok(media::inline(
            source.require("media_type", text)?,
            source.require("data", text)?,
        )),
        "url" => source.require("url", |url| media::from_url(text(url)?)),
        "file" => source.require("file_id", |id| media::uploaded(&text(id)?)),
        _ => Err(Invalid::about("type", "must be `base64`, `url` or `file`")),
    }
}

/// A document, after its title and context.
fn document<'a>(block: &Parameters<'a>) -> Result<Vec<Part<'a>>, Invalid> {
    let mut parts = Vec::new();
    for name in ["title", "context"] {
        parts.extend(block.text(name)?.and_then(part_of_text));
    }
    parts.extend(block.require("source", |source| {
        let source = Parameters::of(source)?;
        match &*source.kind()? {
            "text" => Ok(part_of_text(source.require("data", text)?)
                .into_iter()
                .collect()),
            "content" => source.require("content", |content| {
                if let Some(text) = text_if_any(content)? {
                    return Ok(part_of_text(text).into_iter().collect());
                }
                let parts = blocks(content, |kind, block| match kind {
                    "text" | "image" => shown_block(kind, block),
                    other => Err(unknown(other)),
                })?;
                Ok(parts.into_iter().flatten().collect())
            }),
            "base64" | "file" => Ok(vec![image(&source)?]),
            "url" => {
                let mut part = image(&source)?;
                // Anthropic fetches only PDF documents.
                if let Some(file) = &mut part.file_data {
                    file.mime_type
                        .get_or_insert(Cow::Borrowed("application/pdf"));
                }
                Ok(vec![part])
            }
            _ => Err(Invalid::about(
                "type",
                "must be `base64`, `text`, `content`, `url` or `file`",
            )),
        }
    })?);
    Ok(parts)
}

/// What a client's own search has found.
fn search_result<'a>(block: &Parameters<'a>) -> Result<Vec<Part<'a>>, Invalid> {
    let title = block.text("title")?.unwrap_or_default();
    let source = block.text("source")?.unwrap_or_default();
    let mut parts = vec![Part::text(format!("{title}\n{source}"))];
    parts.extend(block.read("content", texts)?.unwrap_or_default());
    Ok(parts)
}

fn references<'a>(block: &Parameters<'a>) -> Vec<Cow<'a, str>> {
    let name_in = |object: &Parameters<'a>, name| object.text(name).ok().flatten();
    match block.kind().as_deref() {
        Ok("tool_result") => block
            .list("content")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|item| name_in(&Parameters::of(item).ok()?, "tool_name"))
            .collect(),
        Ok("tool_addition") => {
            let tool = block.object("tool").ok().flatten();
            let name = tool.and_then(|tool| name_in(&tool, "name"));
            name.into_iter().collect()
        }
        Ok("tool_use") => name_in(block, "name").into_iter().collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}
