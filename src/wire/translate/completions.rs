//! OpenAI's legacy completions: one prompt, one text.
//!
//! Source: <https://platform.openai.com/docs/api-reference/completions>.

use super::answer::{Answer, End};
use super::events::{Events, Ids, StreamError};
use super::generate::{
    Content, GenerateContent, GenerationConfig, MAX_OUTPUT_TOKENS, MAX_STOP_SEQUENCES, Part, Role,
};
use super::text::TextAnswer;
use super::translated::{Context, Method, Translated};
use crate::wire::parameters::{self, Invalid, Parameters};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::rc::Rc;

/// What an answer depends on besides Gemini's.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// The model as the client named it.
    model: String,
    created: i64,
    seed: u64,
    /// The prompt, if it is to precede the answer.
    echo: String,
    usage: StreamedUsage,
}

/// Whether a stream reports its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamedUsage {
    Included,
    Omitted,
}

/// Translates a request.
pub(crate) fn request(body: &[u8], context: &Context<'_>) -> Result<Translated<Form>, Invalid> {
    let request = Parameters::of_body(body)?;
    let requested = request.text("model")?;
    let model = context.model(requested.as_deref());
    let prompt = request.require("prompt", prompt)?;
    refuse_others(&request)?;
    let include_usage = request
        .object("stream_options")?
        .map(|options| options.flag("include_usage"))
        .transpose()?
        .flatten();
    let form = Form {
        model: requested.map_or_else(|| model.clone(), Cow::into_owned),
        created: context.created,
        seed: context.seed,
        echo: match request.flag("echo")? {
            Some(true) => prompt.clone().into_owned(),
            Some(false) | None => String::new(),
        },
        usage: match include_usage {
            Some(true) => StreamedUsage::Included,
            Some(false) | None => StreamedUsage::Omitted,
        },
    };
    let contents = vec![Content {
        role: Some(Role::User),
        parts: vec![Part::text(prompt)],
    }];
    let generate = GenerateContent {
        contents,
        generation_config: GenerationConfig {
            max_output_tokens: request
                .count("max_tokens")?
                .map(|tokens| tokens.min(MAX_OUTPUT_TOKENS)),
            temperature: request.number("temperature")?,
            top_p: request.number("top_p")?,
            seed: request.number("seed")?,
            presence_penalty: request.number("presence_penalty")?,
            frequency_penalty: request.number("frequency_penalty")?,
            stop_sequences: request.read("stop", stops)?.unwrap_or_default(),
            ..GenerationConfig::default()
        },
        ..GenerateContent::default()
    };
    Ok(Translated {
        model,
        method: match request.flag("stream")? {
            Some(true) => Method::Stream,
            Some(false) | None => Method::Generate,
        },
        body: generate.to_json(),
        form,
        left_out: Vec::new(),
    })
}

/// Refuses what would need several answers, or what Gemini does not report.
fn refuse_others(request: &Parameters<'_>) -> Result<(), Invalid> {
    for name in ["n", "best_of"] {
        if request.count(name)?.is_some_and(|count| count > 1) {
            let reason = "must be 1; send a request for each answer";
            return Err(Invalid::about(name, reason));
        }
    }
    for name in ["suffix", "logprobs"] {
        if request.has(name) {
            let reason = "is not supported by Gemini; leave it out";
            return Err(Invalid::about(name, reason));
        }
    }
    Ok(())
}

fn prompt(value: &RawValue) -> Result<Cow<'_, str>, Invalid> {
    if !value.get().starts_with('[') {
        return parameters::text(value);
    }
    let reason = "must be one text; send a request for each";
    let texts = parameters::each(parameters::list(value)?, |text| {
        parameters::text(text).map_err(|_| Invalid::new(reason))
    })?;
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next()) {
        (Some(text), None) => Ok(text),
        _ => Err(Invalid::new(reason)),
    }
}

fn stops(value: &RawValue) -> Result<Vec<Cow<'_, str>>, Invalid> {
    let stops = match value.get().starts_with('[') {
        true => parameters::each(parameters::list(value)?, parameters::text)?,
        false => vec![parameters::text(value)?],
    };
    match stops.len() > MAX_STOP_SEQUENCES {
        true => Err(Invalid::new("must have at most 5 sequences")),
        false => Ok(stops),
    }
}

/// The answer so far.
pub(crate) struct Turn {
    form: Rc<Form>,
    id: String,
    answer: TextAnswer,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl Turn {
    pub(crate) fn new(form: Rc<Form>) -> Self {
        Self {
            id: Ids::new(form.seed).next("cmpl"),
            form,
            answer: TextAnswer::default(),
        }
    }

    fn completion<'a>(&'a self, choices: Vec<Choice<'a>>) -> Completion<'a> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.form.created,
            model: &self.form.model,
            choices,
            usage: None,
        }
    }

    fn tokens(&self) -> Tokens {
        let usage = self.answer.usage;
        Tokens {
            prompt_tokens: usage.input,
            completion_tokens: usage.written(),
            total_tokens: usage.input.saturating_add(usage.written()),
        }
    }

    fn finish_reason(&self) -> &'static str {
        match &self.answer.end {
            Some(End::MaxTokens) => "length",
            Some(End::Blocked(_)) => "content_filter",
            Some(End::Stop | End::Failed(_)) | None => "stop",
        }
    }

    fn push(&self, text: &str, finish_reason: Option<&'static str>, events: &mut Events) {
        events.push_data(&self.completion(vec![choice(text, finish_reason)]));
    }
}

fn choice<'a>(text: &'a str, finish_reason: Option<&'static str>) -> Choice<'a> {
    Choice {
        text,
        index: 0,
        logprobs: None,
        finish_reason,
    }
}

impl super::turn::Turn for Turn {
    fn take(&mut self, answer: Answer<'_>, events: &mut Events) {
        if self.answer.text.is_empty() && !self.form.echo.is_empty() {
            self.push(&self.form.echo, None, events);
            self.answer.text.push_str(&self.form.echo);
        }
        let mut so_far = std::mem::take(&mut self.answer);
        so_far.take(answer, |text| self.push(text, None, events));
        self.answer = so_far;
    }

    fn end(&mut self, events: &mut Events) {
        if let Some(message) = self.answer.failure() {
            events.push_error(&StreamError::of_model(&message));
            return;
        }
        self.push("", Some(self.finish_reason()), events);
        if self.form.usage == StreamedUsage::Included {
            events.push_data(&Completion {
                usage: Some(self.tokens()),
                ..self.completion(Vec::new())
            });
        }
        events.push_done();
    }

    fn fail(&mut self, error: &StreamError<'_>, events: &mut Events) {
        events.push_error(error);
    }

    fn has_failed(&self) -> bool {
        self.answer.failure().is_some()
    }

    fn to_json(&self) -> Vec<u8> {
        let completion = Completion {
            usage: Some(self.tokens()),
            ..self.completion(vec![choice(&self.answer.text, Some(self.finish_reason()))])
        };
        serde_json::to_vec(&completion).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::translate::{self, Delivery, Endpoint, Translator};
    use serde_json::{Value, json};

    fn translated(body: &str) -> Result<Translated<translate::Form>, Invalid> {
        let context = Context {
            default_model: "gemini-flash-latest",
            model_of: &|name| name.replace("gpt-3.5-turbo-instruct", "gemini-2.5-flash"),
            created: 1_800_000_000,
            seed: 7,
        };
        translate::request(Endpoint::Completions, body.as_bytes(), &context)
    }

    fn value(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn a_prompt_becomes_a_message_of_the_user() {
        let request = translated(
            r#"{"model":"gpt-3.5-turbo-instruct","prompt":["Say hi"],"max_tokens":5,"temperature":0.50,"stop":"\n","n":1,"stream":true,"user":"u"}"#,
        )
        .unwrap();
        assert_eq!(request.model, "gemini-2.5-flash");
        assert_eq!(request.method, Method::Stream);
        assert_eq!(
            value(&request.body),
            json!({
                "contents": [{"role": "user", "parts": [{"text": "Say hi"}]}],
                "generationConfig": {"maxOutputTokens": 5, "temperature": 0.5, "stopSequences": ["\n"]},
            })
        );
        let request = translated(r#"{"prompt":"x"}"#).unwrap();
        assert_eq!(request.model, "gemini-flash-latest");
        assert_eq!(request.method, Method::Generate);
    }

    #[test]
    fn names_what_is_not_supported() {
        for (body, path) in [
            ("{}", "prompt"),
            (r#"{"prompt":["a","b"]}"#, "prompt"),
            (r#"{"prompt":[1,2]}"#, "prompt[0]"),
            (r#"{"prompt":"a","n":2}"#, "n"),
            (r#"{"prompt":"a","suffix":"b"}"#, "suffix"),
            (r#"{"prompt":"a","logprobs":1}"#, "logprobs"),
            (r#"{"prompt":"a","stop":["1","2","3","4","5","6"]}"#, "stop"),
        ] {
            assert_eq!(translated(body).unwrap_err().path, path, "{body}");
        }
    }

    const PART: &str =
        r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"text":"Hi"}]}}]}"#;
    const END: &str = r#"{"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":4}}"#;

    #[test]
    fn a_stream_ends_with_its_usage_and_the_closing_line() {
        let request = translated(
            r#"{"prompt":"P","stream":true,"echo":true,"stream_options":{"include_usage":true}}"#,
        )
        .unwrap();
        let mut translator = Translator::new(&request.form).unwrap();
        let lines = format!("data: {PART}\r\n\r\ndata: {END}\r\n\r\n");
        let mut events = translator.push(lines.as_bytes()).unwrap();
        events.extend(translator.end().unwrap());
        let events = String::from_utf8(events).unwrap();
        let mut events: Vec<&str> = events.split_terminator("\n\n").collect();
        assert_eq!(events.pop(), Some("data: [DONE]"));
        let events: Vec<Value> = events
            .iter()
            .map(|event| value(event.strip_prefix("data: ").unwrap().as_bytes()))
            .collect();
        let texts: Vec<&str> = events
            .iter()
            .filter_map(|event| event["choices"][0]["text"].as_str())
            .collect();
        assert_eq!(texts, ["P", "Hi", "!", ""]);
        assert_eq!(events[3]["choices"][0]["finish_reason"], "length");
        assert_eq!(
            events[4]["usage"],
            json!({"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9})
        );
    }

    #[test]
    fn a_whole_answer_is_one_completion() {
        let request = translated(r#"{"model":"gpt-3.5-turbo-instruct","prompt":"P"}"#).unwrap();
        let whole = translate::whole(END.as_bytes(), &request.form, Delivery::Whole).unwrap();
        assert_eq!(
            value(&whole.body),
            json!({
                "id": "cmpl_000000000000000700000001",
                "object": "text_completion",
                "created": 1_800_000_000,
                "model": "gpt-3.5-turbo-instruct",
                "choices": [{"text": "!", "index": 0, "logprobs": null, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9},
            })
        );
    }
}
