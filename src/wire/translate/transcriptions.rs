//! OpenAI's transcription of audio, by a chat with any model that hears.
//!
//! Gemini writes down what it hears, but not when it was said, so formats with times are refused;
//! `verbose_json`, which some clients always ask for, comes without times.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/audio/createTranscription>,
//! <https://ai.google.dev/gemini-api/docs/audio>.

use super::answer::Answer;
use super::events::{Events, StreamError};
use super::form_data::{self, Field};
use super::generate::{Content, GenerateContent, GenerationConfig, Part, Role};
use super::media;
use super::text::TextAnswer;
use super::thinking::{self, Effort, Thoughts};
use super::translated::{Context, Method, Translated};
use crate::wire::parameters::Invalid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;

/// The form of the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"text": …}`
    Json,
    /// The same with fields for times, which are null.
    VerboseJson,
    /// The text alone.
    Text,
}

/// Translates a request.
pub(crate) fn request(body: &[u8], context: &Context<'_>) -> Result<Translated<Form>, Invalid> {
    let fields = form_data::fields(body)?;
    let field = |name: &str| fields.iter().find(|field| field.name == name);
    let text = |name: &str| match field(name) {
        Some(field) => text(field).map_err(|invalid| invalid.within(name)),
        None => Ok(None),
    };
    let file = field("file").ok_or_else(|| Invalid::about("file", "is missing"))?;
    let model = context.model(text("model")?);
    let form = match text("response_format")? {
        None | Some("json") => Form::Json,
        Some("verbose_json") => Form::VerboseJson,
        Some("text") => Form::Text,
        Some(_) => {
            let reason = "must be `json` or `text`: Gemini does not say when something was said";
            return Err(Invalid::about("response_format", reason));
        }
    };
    let temperature = text("temperature")?
        .map(|text| serde_json::from_str::<f64>(text).and_then(|_| serde_json::from_str(text)))
        .transpose()
        .map_err(|_| Invalid::about("temperature", "must be a number"))?;
    let generate = GenerateContent {
        contents: vec![Content {
            role: Some(Role::User),
            parts: vec![
                Part::text(instruction(text("language")?, text("prompt")?)),
                audio(file)?,
            ],
        }],
        generation_config: GenerationConfig {
            temperature,
            thinking_config: thinking::config(&model, Some(Effort::None), Thoughts::Omitted),
            ..GenerationConfig::default()
        },
        ..GenerateContent::default()
    };
    Ok(Translated {
        method: match text("stream")? {
            Some("true" | "True" | "1") => Method::Stream,
            Some(_) | None => Method::Generate,
        },
        body: generate.to_json(),
        form,
        left_out: Vec::new(),
        model,
    })
}

/// The text of a field; `None` if it is empty.
fn text<'a>(field: &Field<'a>) -> Result<Option<&'a str>, Invalid> {
    let text = std::str::from_utf8(field.content).map_err(|_| Invalid::new("must be text"))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

fn instruction(language: Option<&str>, prompt: Option<&str>) -> String {
    let mut instruction =
        "Transcribe the audio word for word. Answer with the transcript alone.".to_owned();
    if let Some(language) = language {
        instruction.push_str(&format!(" Its language is `{language}`."));
    }
    if let Some(prompt) = prompt {
        instruction.push_str(&format!(
            " These words show the style and the spelling of names:\n{prompt}"
        ));
    }
    instruction
}

fn audio(file: &Field<'_>) -> Result<Part<'static>, Invalid> {
    if file.content.is_empty() {
        return Err(Invalid::about("file", "is empty"));
    }
    let is_media = |kind: &&str| kind.starts_with("audio/") || kind.starts_with("video/");
    let mime_type = Some(file.content_type)
        .filter(is_media)
        .or(media::mime_type_of(&file.file_name).filter(is_media))
        .ok_or_else(|| {
            let reason = "must have a name or a `Content-Type` that says which audio it is";
            Invalid::about("file", reason)
        })?;
    // Types may have parameters, such as `audio/webm;codecs=opus`.
    let mime_type = mime_type.split(';').next().unwrap_or_default().trim();
    Ok(media::inline(
        mime_type.to_owned(),
        Cow::Owned(STANDARD.encode(file.content)),
    ))
}

/// The transcript so far.
pub(crate) struct Turn {
    form: Form,
    answer: TextAnswer,
}

#[derive(Serialize)]
struct Tokens {
    #[serde(rename = "type")]
    kind: &'static str,
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

impl Turn {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            answer: TextAnswer::default(),
        }
    }

    fn tokens(&self) -> Tokens {
        let usage = self.answer.usage;
        Tokens {
            kind: "tokens",
            input_tokens: usage.input,
            output_tokens: usage.written(),
            total_tokens: usage.input.saturating_add(usage.written()),
        }
    }
}

impl super::turn::Turn for Turn {
    fn take(&mut self, answer: Answer<'_>, events: &mut Events) {
        self.answer.take(answer, |text| {
            events.push_data(&json!({"type": "transcript.text.delta", "delta": text}));
        });
    }

    fn end(&mut self, events: &mut Events) {
        if let Some(message) = self.answer.failure() {
            events.push_error(&StreamError::of_model(&message));
            return;
        }
        events.push_data(&json!({
            "type": "transcript.text.done",
            "text": self.answer.text,
            "usage": self.tokens(),
        }));
    }

    fn fail(&mut self, error: &StreamError<'_>, events: &mut Events) {
        events.push_error(error);
    }

    fn has_failed(&self) -> bool {
        self.answer.failure().is_some()
    }

    fn to_json(&self) -> Vec<u8> {
        let answer = match self.form {
            Form::Text => return self.answer.text.clone().into_bytes(),
            Form::Json => json!({"text": self.answer.text, "usage": self.tokens()}),
            Form::VerboseJson => json!({
                "task": "transcribe",
                "language": null,
                "duration": null,
                "text": self.answer.text,
                "usage": self.tokens(),
            }),
        };
        answer.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::translate::{self, Delivery, Endpoint, Translator};
    use serde_json::Value;

    fn translated(
        fields: &[(&str, &str)],
        file: &str,
        content_type: &str,
    ) -> Result<Translated<translate::Form>, Invalid> {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += &format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\nContent-Type: {content_type}\r\n\r\nhello\r\n--b--\r\n"
        );
        let context = Context {
            default_model: "gemini-flash-latest",
            model_of: &|name| name.replace("whisper-1", "gemini-2.5-flash"),
            created: 0,
            seed: 0,
        };
        translate::request(Endpoint::Transcriptions, body.as_bytes(), &context)
    }

    #[test]
    fn audio_and_hints_are_translated() {
        for (file, content_type, mime_type) in [
            ("a.wav", "application/octet-stream", "audio/wav"),
            ("a.webm", "audio/webm;codecs=opus", "audio/webm"),
        ] {
            let fields = [
                ("model", "whisper-1"),
                ("language", "de"),
                ("prompt", "Zürich"),
                ("temperature", "0.2"),
            ];
            let request = translated(&fields, file, content_type).unwrap();
            assert_eq!(request.model, "gemini-2.5-flash");
            assert_eq!(request.method, Method::Generate);
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let parts = &body["contents"][0]["parts"];
            let instruction = parts[0]["text"].as_str().unwrap();
            assert!(instruction.contains("`de`") && instruction.ends_with("\nZürich"));
            assert_eq!(
                parts[1]["inlineData"],
                json!({"mimeType": mime_type, "data": "aGVsbG8="})
            );
            assert_eq!(body["generationConfig"]["temperature"], 0.2);
            assert_eq!(
                body["generationConfig"]["thinkingConfig"]["thinkingBudget"],
                0
            );
        }
    }

    #[test]
    fn names_what_is_not_supported() {
        for (fields, file, path) in [
            (
                &[("response_format", "srt")][..],
                "a.wav",
                "response_format",
            ),
            (&[("temperature", "warm")], "a.wav", "temperature"),
            (&[], "a.pdf", "file"),
        ] {
            let error = translated(fields, file, "application/pdf").unwrap_err();
            assert_eq!(error.path, path);
        }
    }

    const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"text":"Hello."}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#;

    #[test]
    fn the_transcript_has_the_requested_form() {
        for (format, expected) in [
            (
                "json",
                r#"{"text":"Hello.","usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5,"type":"tokens"}}"#,
            ),
            ("text", "Hello."),
        ] {
            let request = translated(&[("response_format", format)], "a.wav", "").unwrap();
            let whole = translate::whole(ANSWER.as_bytes(), &request.form, Delivery::Whole);
            assert_eq!(String::from_utf8(whole.unwrap().body).unwrap(), expected);
        }
        let request = translated(&[("stream", "true")], "a.wav", "").unwrap();
        let mut translator = Translator::new(&request.form).unwrap();
        let mut events = translator
            .push(format!("data: {ANSWER}\n\n").as_bytes())
            .unwrap();
        events.extend(translator.end().unwrap());
        let events = String::from_utf8(events).unwrap();
        let lines: Vec<&str> = events.split_terminator("\n\n").collect();
        assert_eq!(
            lines[0],
            r#"data: {"delta":"Hello.","type":"transcript.text.delta"}"#
        );
        assert!(lines[1].contains("transcript.text.done"), "{events}");
    }
}
