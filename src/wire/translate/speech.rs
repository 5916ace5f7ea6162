//! OpenAI's speech synthesis, by Gemini's models for speech.
//!
//! Gemini returns samples without a header, which become a WAV file. Compressed formats would need an
//! encoder, so they are refused, except that `mp3` gets WAV: it is the default of most clients, and
//! players go by the content.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/audio/createSpeech>,
//! <https://ai.google.dev/gemini-api/docs/speech-generation>.

use super::answer::{Answer, PartContent};
use super::generate::{Content, GenerateContent, GenerationConfig, Part, Role, json};
use super::translated::{Context, Method, Translated};
use super::turn::Whole;
use crate::wire::json::read;
use crate::wire::parameters::{self, Invalid, Parameters};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// The form of the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A WAV file.
    Wav,
    /// Samples without a header.
    Pcm,
}

/// OpenAI's voices, each with one of Gemini's that sounds alike. Other names pass unchanged.
const VOICES: [(&str, &str); 13] = [
    ("alloy", "Kore"),
    ("ash", "Orus"),
    ("ballad", "Algieba"),
    ("cedar", "Iapetus"),
    ("coral", "Leda"),
    ("echo", "Puck"),
    ("fable", "Sadaltager"),
    ("marin", "Autonoe"),
    ("nova", "Aoede"),
    ("onyx", "Charon"),
    ("sage", "Sulafat"),
    ("shimmer", "Zephyr"),
    ("verse", "Fenrir"),
];

/// The sample rate if Gemini does not report one, in Hz.
const DEFAULT_RATE: u32 = 24_000;
/// Gemini's samples: 16 bits, one channel.
const SAMPLE_BYTES: u16 = 2;

/// Translates a request.
pub(crate) fn request(body: &[u8], context: &Context<'_>) -> Result<Translated<Form>, Invalid> {
    let request = Parameters::of_body(body)?;
    let model = context.model(request.text("model")?.as_deref());
    let input = request.require("input", parameters::text)?;
    let voice = request.require("voice", parameters::text)?;
    let form = form(&request)?;
    if request
        .number("speed")?
        .is_some_and(|speed| read(speed) != Some(1.0))
    {
        let reason =
            "is not supported by Gemini; leave it out, or ask for a pace in `instructions`";
        return Err(Invalid::about("speed", reason));
    }
    if request
        .text("stream_format")?
        .is_some_and(|format| format != "audio")
    {
        return Err(Invalid::about("stream_format", "must be `audio`"));
    }
    let text = match request.text("instructions")? {
        Some(instructions) => Cow::Owned(format!("{instructions}:\n{input}")),
        None => input,
    };
    let voice = VOICES
        .iter()
        .find(|(name, _)| *name == voice)
        .map_or(&*voice, |(_, voice)| voice);
    let speech_config =
        serde_json::json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}});
    let generate = GenerateContent {
        contents: vec![Content {
            role: Some(Role::User),
            parts: vec![Part::text(text)],
        }],
        generation_config: GenerationConfig {
            response_modalities: vec!["AUDIO"],
            speech_config: Some(json(&speech_config)),
            ..GenerationConfig::default()
        },
        ..GenerateContent::default()
    };
    Ok(Translated {
        model,
        method: Method::Generate,
        body: generate.to_json(),
        form,
        left_out: Vec::new(),
    })
}

fn form(request: &Parameters<'_>) -> Result<Form, Invalid> {
    match request.text("response_format")?.as_deref() {
        None | Some("wav" | "mp3") => Ok(Form::Wav),
        Some("pcm") => Ok(Form::Pcm),
        Some(_) => Err(Invalid::about(
            "response_format",
            "must be `wav` or `pcm`, which Gemini's models return",
        )),
    }
}

/// The audio of an answer; `None` if it has none.
pub(crate) fn audio(json: &[u8], form: Form) -> Option<Whole> {
    let answer = Answer::parse(json)?;
    let mut rate = DEFAULT_RATE;
    let mut samples = Vec::new();
    for part in answer.parts {
        if let PartContent::Media { mime_type, data } = part.content {
            rate = rate_of(&mime_type).unwrap_or(rate);
            samples.extend(STANDARD.decode(data.as_bytes()).ok()?);
        }
    }
    if samples.is_empty() {
        return None;
    }
    Some(match form {
        Form::Pcm => Whole::new(samples, "audio/pcm"),
        Form::Wav => Whole::new(wav(&samples, rate)?, "audio/wav"),
    })
}

/// The rate in a type such as `audio/L16;codec=pcm;rate=24000`.
fn rate_of(mime_type: &str) -> Option<u32> {
    mime_type
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("rate="))?
        .parse()
        .ok()
}

/// A WAV file with one channel of 16 bits; `None` if there are more than 4 GiB of samples.
fn wav(samples: &[u8], rate: u32) -> Option<Vec<u8>> {
    const HEADER: usize = 44;
    const PCM: u16 = 1;
    const CHANNELS: u16 = 1;
    let length = u32::try_from(samples.len()).ok()?;
    let mut file = Vec::with_capacity(HEADER + samples.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&length.checked_add(36)?.to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&PCM.to_le_bytes());
    file.extend_from_slice(&CHANNELS.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&rate.saturating_mul(SAMPLE_BYTES.into()).to_le_bytes());
    file.extend_from_slice(&SAMPLE_BYTES.to_le_bytes());
    file.extend_from_slice(&(SAMPLE_BYTES * 8).to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(samples);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::translate::{self, Endpoint};

    fn translated(body: &str) -> Result<Translated<translate::Form>, Invalid> {
        let context = Context {
            default_model: "gemini-2.5-flash-preview-tts",
            model_of: &str::to_owned,
            created: 0,
            seed: 0,
        };
        translate::request(Endpoint::Speech, body.as_bytes(), &context)
    }

    #[test]
    fn text_and_voice_are_translated() {
        for (voice, expected) in [("alloy", "Kore"), ("Puck", "Puck")] {
            let body = format!(
                r#"{{"input":"Hello","voice":"{voice}","instructions":"Say cheerfully","speed":1.0}}"#
            );
            let request = translated(&body).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(
                body,
                serde_json::json!({
                    "contents": [{"role": "user", "parts": [{"text": "Say cheerfully:\nHello"}]}],
                    "generationConfig": {
                        "responseModalities": ["AUDIO"],
                        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": expected}}},
                    },
                })
            );
        }
    }

    #[test]
    fn names_what_is_not_supported() {
        for (extra, path) in [
            (r#""speed":1.5"#, "speed"),
            (r#""response_format":"opus""#, "response_format"),
            (r#""stream_format":"sse""#, "stream_format"),
        ] {
            let body = format!(r#"{{"input":"a","voice":"alloy",{extra}}}"#);
            assert_eq!(translated(&body).unwrap_err().path, path, "{body}");
        }
        assert_eq!(translated(r#"{"voice":"x"}"#).unwrap_err().path, "input");
    }

    #[test]
    fn samples_become_a_file() {
        let json = br#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=16000","data":"AQIDBA=="}}]},"finishReason":"STOP"}]}"#;
        let pcm = audio(json, Form::Pcm).unwrap();
        assert_eq!(pcm.body, [1, 2, 3, 4]);
        let file = audio(json, Form::Wav).unwrap();
        assert_eq!(file.content_type, "audio/wav");
        assert_eq!(file.body.len(), 48);
        assert_eq!(&file.body[24..28], &16_000u32.to_le_bytes());
        assert_eq!(&file.body[28..32], &32_000u32.to_le_bytes());
        assert_eq!(&file.body[40..48], &[4, 0, 0, 0, 1, 2, 3, 4]);
        let words = br#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#;
        assert!(audio(words, Form::Wav).is_none());
    }
}
