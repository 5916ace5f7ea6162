//! Reads Gemini's answers: a whole one, or an event of a stream, which has the same format.
//!
//! A field of an unexpected type counts as absent and does not affect the others.
//!
//! Source: <https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>.

use crate::pool::Usage;
use crate::wire::gemini;
use crate::wire::json::{Members, find, parse, read};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An answer, or what an event adds to it.
#[derive(Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    /// Why it ended, unless it goes on.
    pub(crate) end: Option<End<'a>>,
    /// The tokens so far.
    pub(crate) usage: Option<Usage>,
    pub(crate) grounding: Option<Grounding<'a>>,
}

/// A part of an answer, with the thought signature that comes with it.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) content: PartContent<'a>,
    pub(crate) signature: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(crate) enum PartContent<'a> {
    Text(Cow<'a, str>),
    Thought(Cow<'a, str>),
    Call {
        /// Empty before Gemini 3.
        id: Cow<'a, str>,
        /// Gemini's name of the tool.
        name: Cow<'a, str>,
        /// An object.
        args: &'a str,
    },
    /// An image or audio, in base64.
    Media {
        mime_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    /// Anything else, such as code that Google has run.
    Other,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// The model was done, or a stop sequence came up.
    Stop,
    /// `maxOutputTokens` were used up.
    MaxTokens,
    /// Filters refused the prompt or the answer. Contains Google's reason, such as `SAFETY`.
    Blocked(Cow<'a, str>),
    /// The model failed in another way, such as a malformed call. Contains Google's reason.
    Failed(Cow<'a, str>),
}

/// What a search has found.
#[derive(Debug, Default)]
pub(crate) struct Grounding<'a> {
    pub(crate) queries: Vec<Cow<'a, str>>,
    pub(crate) sources: Vec<Source<'a>>,
    pub(crate) citations: Vec<Citation<'a>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    pub(crate) url: Cow<'a, str>,
    pub(crate) title: Cow<'a, str>,
}

/// A passage of the answer, and the sources that support it.
#[derive(Debug)]
pub(crate) struct Citation<'a> {
    /// In bytes of the answer's text, which is UTF-8.
    pub(crate) start: usize,
    /// In bytes, exclusive.
    pub(crate) end: usize,
    pub(crate) text: Cow<'a, str>,
    /// Indices of [`Grounding::sources`].
    pub(crate) sources: Vec<usize>,
}

/// Finish reasons that mean a filter.
const BLOCKED: [&str; 9] = [
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "MODEL_ARMOR",
];

type Object<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

impl<'a> Answer<'a> {
    /// Reads an answer; `None` if the text is not a JSON object. Members that are not known say
    /// nothing.
    pub(crate) fn parse(json: &'a [u8]) -> Option<Self> {
        let Members(members) = parse(json)?;
        let mut answer = Self {
            usage: find(&members, "usageMetadata").and_then(gemini::read_usage),
            ..Self::default()
        };
        if let Some(reason) =
            object(&members, "promptFeedback").and_then(|feedback| text(&feedback, "blockReason"))
        {
            answer.end = Some(End::Blocked(reason));
        }
        let candidate = list(&members, "candidates").into_iter().next();
        let Some(Members(candidate)) = candidate.and_then(read) else {
            return Some(answer);
        };
        let content = object(&candidate, "content").unwrap_or_default();
        answer.parts = list(&content, "parts")
            .into_iter()
            .filter_map(read::<Members<'_>>)
            .map(|Members(part)| Part::of(&part))
            .collect();
        if let Some(reason) = text(&candidate, "finishReason") {
            answer.end = Some(End::of(reason));
        }
        answer.grounding = object(&candidate, "groundingMetadata").map(Grounding::of);
        Some(answer)
    }
}

impl<'a> Part<'a> {
    fn of(part: &Object<'a>) -> Self {
        let is_thought = find(part, "thought").and_then(read::<bool>) == Some(true);
        let content = if let Some(call) = object(part, "functionCall") {
            PartContent::Call {
                id: text(&call, "id").unwrap_or_default(),
                name: text(&call, "name").unwrap_or_default(),
                args: find(&call, "args").map_or("{}", RawValue::get),
            }
        } else if let Some(blob) = object(part, "inlineData") {
            PartContent::Media {
                mime_type: text(&blob, "mimeType").unwrap_or_default(),
                data: text(&blob, "data").unwrap_or_default(),
            }
        } else {
            match (text(part, "text"), is_thought) {
                (Some(thought), true) => PartContent::Thought(thought),
                (Some(text), false) => PartContent::Text(text),
                (None, _) => PartContent::Other,
            }
        };
        Self {
            content,
            signature: text(part, "thoughtSignature").filter(|signature| !signature.is_empty()),
        }
    }
}

impl<'a> End<'a> {
    fn of(reason: Cow<'a, str>) -> Self {
        match &*reason {
            "STOP" => Self::Stop,
            "MAX_TOKENS" => Self::MaxTokens,
            name if BLOCKED.contains(&name) => Self::Blocked(reason),
            _ => Self::Failed(reason),
        }
    }

    pub(crate) fn into_owned(self) -> End<'static> {
        match self {
            Self::Stop => End::Stop,
            Self::MaxTokens => End::MaxTokens,
            Self::Blocked(reason) => End::Blocked(reason.into_owned().into()),
            Self::Failed(reason) => End::Failed(reason.into_owned().into()),
        }
    }
}

impl<'a> Grounding<'a> {
    fn of(metadata: Object<'a>) -> Self {
        let sources = objects(&metadata, "groundingChunks").map(|chunk| {
            let web = object(&chunk, "web").unwrap_or_default();
            Source {
                url: text(&web, "uri").unwrap_or_default(),
                title: text(&web, "title").unwrap_or_default(),
            }
        });
        let citations = objects(&metadata, "groundingSupports").filter_map(|support| {
            let segment = object(&support, "segment")?;
            let offset = |name| find(&segment, name).and_then(read::<usize>);
            let indices = list(&support, "groundingChunkIndices").into_iter();
            Some(Citation {
                // Absent if it is 0.
                start: offset("startIndex").unwrap_or_default(),
                end: offset("endIndex")?,
                text: text(&segment, "text").unwrap_or_default(),
                sources: indices.filter_map(read).collect(),
            })
        });
        Self {
            queries: list(&metadata, "webSearchQueries")
                .into_iter()
                .filter_map(as_text)
                .collect(),
            sources: sources.collect(),
            citations: citations.collect(),
        }
    }
}

fn as_text(value: &RawValue) -> Option<Cow<'_, str>> {
    crate::wire::parameters::text(value).ok()
}

fn text<'a>(object: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    find(object, name).and_then(as_text)
}

fn object<'a>(object: &Object<'a>, name: &str) -> Option<Object<'a>> {
    let Members(members) = find(object, name).and_then(read)?;
    Some(members)
}

fn list<'a>(object: &Object<'a>, name: &str) -> Vec<&'a RawValue> {
    find(object, name).and_then(read).unwrap_or_default()
}

fn objects<'a>(object: &Object<'a>, name: &str) -> impl Iterator<Item = Object<'a>> {
    list(object, name)
        .into_iter()
        .map(|item| read(item).map_or_else(Vec::new, |Members(members)| members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parts_and_their_signatures() {
        let json = br#"{"candidates":[{"content":{"parts":[
            {"text":"Hm.","thought":true},{"text":"Hi \u00e9"},
            {"functionCall":{"name":"f","args":{"b": 1.0,"a":2},"id":"call_1"},"thoughtSignature":"AVSo"},
            {"functionCall":{"name":"g"}},
            {"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"executableCode":{}}],"role":"model"},
            "finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":18,"candidatesTokenCount":2}}"#;
        let answer = Answer::parse(json).unwrap();
        let parts: Vec<String> = answer
            .parts
            .iter()
            .map(|part| format!("{:?} {:?}", part.content, part.signature))
            .collect();
        assert_eq!(
            parts,
            [
                r#"Thought("Hm.") None"#,
                r#"Text("Hi é") None"#,
                r#"Call { id: "call_1", name: "f", args: "{\"b\": 1.0,\"a\":2}" } Some("AVSo")"#,
                r#"Call { id: "", name: "g", args: "{}" } None"#,
                r#"Media { mime_type: "image/png", data: "iVBO" } None"#,
                "Other None",
            ]
        );
        assert_eq!(answer.end, Some(End::Stop));
        assert_eq!(answer.usage.map(|usage| usage.input), Some(18));
    }

    #[test]
    fn reads_why_an_answer_ended() {
        for (reason, expected) in [
            ("STOP", End::Stop),
            ("MAX_TOKENS", End::MaxTokens),
            ("SAFETY", End::Blocked("SAFETY".into())),
            (
                "MALFORMED_FUNCTION_CALL",
                End::Failed("MALFORMED_FUNCTION_CALL".into()),
            ),
        ] {
            let json = format!(r#"{{"candidates":[{{"finishReason":"{reason}"}}]}}"#);
            assert_eq!(Answer::parse(json.as_bytes()).unwrap().end, Some(expected));
        }
        let refused = br#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#;
        let refused = Answer::parse(refused).unwrap().end;
        assert_eq!(refused, Some(End::Blocked("PROHIBITED_CONTENT".into())));
        for other in ["", "[]", "7"] {
            assert!(Answer::parse(other.as_bytes()).is_none(), "{other}");
        }
        for other in ["{}", r#"{"modelVersion":"x"}"#] {
            let answer = Answer::parse(other.as_bytes()).unwrap();
            assert!(answer.parts.is_empty() && answer.end.is_none(), "{other}");
        }
    }

    #[test]
    fn reads_sources_and_citations() {
        let json = br#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["q"],
            "groundingChunks":[{"web":{"uri":"https://a.example/","title":"A"}}],
            "groundingSupports":[{"segment":{"endIndex":5,"text":"Hello"},"groundingChunkIndices":[0]},{"segment":{}}]}}]}"#;
        let grounding = Answer::parse(json).unwrap().grounding.unwrap();
        assert_eq!(grounding.queries, ["q"]);
        assert_eq!(grounding.sources[0].title, "A");
        let [citation] = &grounding.citations[..] else {
            panic!("{grounding:?}")
        };
        assert_eq!((citation.start, citation.end), (0, 5));
        assert_eq!(citation.sources, [0]);
    }
}
