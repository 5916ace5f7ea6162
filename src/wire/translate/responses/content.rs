//! What messages and the results of tools contain, as Gemini's parts.

use crate::wire::parameters::{Invalid, Parameters, each, list, text, text_if_any};
use crate::wire::translate::conversation::{Outcome, Status};
use crate::wire::translate::generate::Part;
use crate::wire::translate::media;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The parts of a text, or of a list of contents. Empty texts, which Gemini refuses, are left out.
pub(super) fn parts(content: &RawValue) -> Result<Vec<Part<'_>>, Invalid> {
    let parts = match text_if_any(content)? {
        Some(text) => vec![Part::text(text)],
        None => {
            let contents = list(content).map_err(|_| Invalid::new("must be a string or a list"))?;
            each(contents, part)?
        }
    };
    let is_empty = |part: &Part<'_>| part.text.as_ref().is_some_and(|text| text.is_empty());
    Ok(parts.into_iter().filter(|part| !is_empty(part)).collect())
}

/// The output of a tool: its text, and beside it images and files.
pub(super) fn outcome(output: &RawValue, status: Status) -> Result<Outcome<'_>, Invalid> {
    let mut texts = Vec::new();
    let mut media = Vec::new();
    for part in parts(output)? {
        match part.text {
            Some(text) => texts.push(text),
            None => media.push(part),
        }
    }
    let text = match texts.pop() {
        Some(text) if texts.is_empty() => text,
        last => {
            texts.extend(last);
            Cow::Owned(texts.join("\n"))
        }
    };
    Ok(Outcome {
        text,
        status,
        media,
    })
}

fn part(content: &RawValue) -> Result<Part<'_>, Invalid> {
    let content = Parameters::of(content)?;
    match &*content.kind()? {
        "input_text" | "output_text" | "text" => Ok(Part::text(content.require("text", text)?)),
        "refusal" => Ok(Part::text(content.require("refusal", text)?)),
        "input_image" => image(&content),
        "input_file" => file(&content),
        "input_audio" => {
            let audio = content.require("input_audio", Parameters::of)?;
            let audio = inline_audio(&audio);
            audio.map_err(|invalid| invalid.within("input_audio"))
        }
        other => Err(Invalid::about(
            "type",
            format!(
                "is `{other}`; contents are `input_text`, `input_image`, `input_file`, \
                 `input_audio`, `output_text` or `refusal`"
            ),
        )),
    }
}

fn image<'a>(content: &Parameters<'a>) -> Result<Part<'a>, Invalid> {
    let from_url = |url| media::from_url(text(url)?);
    if let Some(part) = content.read("image_url", from_url)? {
        return Ok(part);
    }
    let part = content.read("file_id", |id| media::uploaded(&text(id)?))?;
    part.ok_or_else(|| Invalid::about("image_url", "is missing"))
}

fn file<'a>(content: &Parameters<'a>) -> Result<Part<'a>, Invalid> {
    if let Some(data) = content.text("file_data")? {
        let part = match data.starts_with("data:") {
            true => media::from_url(data),
            false => base64_file(data, content.text("filename")?.as_deref()),
        };
        return part.map_err(|invalid| invalid.within("file_data"));
    }
    if let Some(part) = content.read("file_url", |url| media::from_url(text(url)?))? {
        return Ok(part);
    }
    let part = content.read("file_id", |id| media::uploaded(&text(id)?))?;
    part.ok_or_else(|| Invalid::about("file_data", "is missing"))
}

/// A file in base64, whose type only its name tells.
fn base64_file<'a>(data: Cow<'a, str>, name: Option<&str>) -> Result<Part<'a>, Invalid> {
    let mime_type = name.and_then(media::mime_type_of).ok_or_else(|| {
        Invalid::new(
            "is of an unknown type; send a `data:` URL, or a `filename` such as `report.pdf`",
        )
    })?;
    Ok(media::inline(mime_type, data))
}

fn inline_audio<'a>(audio: &Parameters<'a>) -> Result<Part<'a>, Invalid> {
    let mime_type = match &*audio.require("format", text)? {
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        other => {
            let reason = format!("is `{other}`; it must be `mp3` or `wav`");
            return Err(Invalid::about("format", reason));
        }
    };
    Ok(media::inline(mime_type, audio.require("data", text)?))
}
