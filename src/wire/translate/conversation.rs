//! Builds Gemini's `contents` from the messages or items of another API.
//!
//! Gemini wants the results of a step's tool calls in one content directly after the calls, one for
//! each (<https://ai.google.dev/gemini-api/docs/function-calling>). Other APIs allow messages
//! between them, any order, and in part their absence, so results are sorted by call, and what the
//! user says in between follows them.
//!
//! Nor may a conversation begin with calls. Agents drop its oldest messages once it is too long, so
//! [`BEGINNING`] stands in front of what the model does first.

use super::generate::{Content, FunctionCall, FunctionResponse, Json, Part, Role, object};
use super::thinking::Generation;
use super::tool_names::ToolNames;
use crate::wire::parameters::Invalid;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// What the user says before the model if the conversation begins with the model.
const BEGINNING: &str = "(The conversation begins here.)";

/// The contents so far.
pub(crate) struct Conversation<'a> {
    generation: Generation,
    tool_names: &'a ToolNames,
    contents: Vec<Content<'a>>,
    /// The signature for the model's next part.
    signature: Option<Cow<'a, str>>,
    /// The calls of the current step, with their results.
    step: Vec<Call<'a>>,
    /// The indices of those calls that the next results with an id belong to.
    step_ids: HashMap<Cow<'a, str>, VecDeque<usize>>,
    /// What the user says after the step.
    after_step: Vec<Part<'a>>,
    /// The name of each call so far, by id.
    names: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

struct Call<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    result: Option<Outcome<'a>>,
}

/// The result of a tool call.
pub(crate) struct Outcome<'a> {
    /// What the tool returned: its text, or an error.
    pub(crate) text: Cow<'a, str>,
    pub(crate) status: Status,
    /// Images and files.
    pub(crate) media: Vec<Part<'a>>,
}

impl Outcome<'_> {
    /// Joins two results of one call: Gemini accepts only one.
    fn followed_by(mut self, mut later: Self) -> Self {
        let text = self.text.to_mut();
        text.push('\n');
        text.push_str(&later.text);
        self.media.append(&mut later.media);
        if later.status == Status::Error {
            self.status = Status::Error;
        }
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Error,
}

impl<'a> Conversation<'a> {
    /// An empty conversation with a model of this generation.
    pub(crate) fn new(generation: Generation, tool_names: &'a ToolNames) -> Self {
        Self {
            generation,
            tool_names,
            contents: Vec::new(),
            signature: None,
            step: Vec::new(),
            step_ids: HashMap::new(),
            after_step: Vec::new(),
            names: HashMap::new(),
        }
    }

    /// The user says something.
    pub(crate) fn user(&mut self, part: Part<'a>) {
        self.signature = None;
        match self.step.is_empty() {
            true => self.push(Role::User, part),
            false => self.after_step.push(part),
        }
    }

    /// The model says something.
    pub(crate) fn model(&mut self, mut part: Part<'a>) {
        self.end_step_with_results();
        part.thought_signature = self.signature.take();
        self.push(Role::Model, part);
    }

    /// The model has thought. The signature belongs to what it does next.
    pub(crate) fn thought(&mut self, signature: Option<Cow<'a, str>>) {
        self.signature = signature;
    }

    /// The model calls a tool, by the client's name for it. `args` must be an object.
    pub(crate) fn call(&mut self, id: Cow<'a, str>, name: Cow<'a, str>, args: Json<'a>) {
        self.end_step_with_results();
        let name: Cow<'a, str> = self.tool_names.to_gemini(&name).into_owned().into();
        self.names.insert(id.clone(), name.clone());
        let indices = self.step_ids.entry(id.clone()).or_default();
        indices.push_back(self.step.len());
        self.step.push(Call {
            id: id.clone(),
            name: name.clone(),
            result: None,
        });
        let part = Part {
            function_call: Some(FunctionCall {
                id: Some(id),
                name,
                args,
            }),
            thought_signature: self.signature.take(),
            ..Part::default()
        };
        self.push(Role::Model, part);
    }

    /// A tool has returned.
    ///
    /// # Errors
    /// The current step has no such call.
    pub(crate) fn result(&mut self, id: &str, result: Outcome<'a>) -> Result<(), Invalid> {
        let indices = self
            .step_ids
            .get_mut(id)
            .filter(|indices| !indices.is_empty());
        let Some(indices) = indices else {
            return Err(Invalid::new(match self.names.contains_key(id) {
                true => {
                    "names a tool call whose results were followed by other messages; send each result after its call"
                }
                false => "names no tool call of the conversation; send the call before its result",
            }));
        };
        // Each result belongs to the next call with the id, and the last of them takes the rest.
        let index = match indices.len() {
            1 => indices.front().copied(),
            _ => indices.pop_front(),
        };
        if let Some(call) = index.and_then(|index| self.step.get_mut(index)) {
            call.result = Some(match call.result.take() {
                Some(earlier) => earlier.followed_by(result),
                None => result,
            });
        }
        Ok(())
    }

    /// The finished contents, of which the first is the user's.
    pub(crate) fn into_contents(mut self) -> Vec<Content<'a>> {
        self.end_step();
        let first = self.contents.first().and_then(|content| content.role);
        if first == Some(Role::Model) {
            let parts = vec![Part::text(BEGINNING)];
            let role = Some(Role::User);
            self.contents.insert(0, Content { role, parts });
        }
        self.contents
    }

    /// Ends the step before the model goes on, unless it is still calling tools.
    fn end_step_with_results(&mut self) {
        let is_calling =
            self.after_step.is_empty() && self.step.iter().all(|call| call.result.is_none());
        if !is_calling {
            self.end_step();
        }
    }

    fn end_step(&mut self) {
        self.step_ids.clear();
        let mut beside_results = Vec::new();
        for call in std::mem::take(&mut self.step) {
            let result = call.result.unwrap_or_else(|| Outcome {
                text: "The tool was not run.".into(),
                status: Status::Error,
                media: Vec::new(),
            });
            let name = match result.status {
                Status::Ok => "output",
                Status::Error => "error",
            };
            let (inside, beside) = match self.generation {
                Generation::Gemini3 => (result.media, Vec::new()),
                Generation::Gemini25 | Generation::WithoutThought => (Vec::new(), result.media),
            };
            let response = FunctionResponse {
                id: Some(call.id),
                name: call.name,
                response: object(name, &result.text),
                parts: inside,
            };
            let part = Part {
                function_response: Some(response),
                ..Part::default()
            };
            self.push(Role::User, part);
            beside_results.extend(beside);
        }
        let after_step = std::mem::take(&mut self.after_step);
        for part in beside_results.into_iter().chain(after_step) {
            self.push(Role::User, part);
        }
    }

    fn push(&mut self, role: Role, part: Part<'a>) {
        match self.contents.last_mut() {
            // Results have a content of their own.
            Some(content)
                if content.role == Some(role)
                    && (role == Role::Model
                        || content.parts.last().is_none_or(is_result) == is_result(&part)) =>
            {
                content.parts.push(part);
            }
            _ => self.contents.push(Content {
                role: Some(role),
                parts: vec![part],
            }),
        }
    }
}

fn is_result(part: &Part<'_>) -> bool {
    part.function_response.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::generate::json;
    use super::*;
    use serde_json::{Value, json as value};

    fn ok(text: &str) -> Outcome<'_> {
        Outcome {
            text: text.into(),
            status: Status::Ok,
            media: Vec::new(),
        }
    }

    fn contents(
        generation: Generation,
        build: impl FnOnce(&mut Conversation<'_>) -> Result<(), Invalid>,
    ) -> Value {
        let names = ToolNames::new(["read", "write"].into_iter());
        let mut conversation = Conversation::new(generation, &names);
        build(&mut conversation).unwrap();
        serde_json::to_value(conversation.into_contents()).unwrap()
    }

    fn call(conversation: &mut Conversation<'_>, id: &'static str, name: &'static str) {
        conversation.call(id.into(), name.into(), json(&value!({"path": id})));
    }

    #[test]
    fn results_follow_their_calls_in_the_order_of_the_calls() {
        let contents = contents(Generation::Gemini3, |conversation| {
            conversation.user(Part::text("go"));
            conversation.thought(Some("AVSo".into()));
            call(conversation, "a", "read");
            call(conversation, "b", "write");
            conversation.user(Part::text("hurry"));
            conversation.result("b", ok("second"))?;
            conversation.result("a", ok("first"))?;
            conversation.model(Part::text("done"));
            Ok(())
        });
        let result = |id: &str, name: &str, output: &str| value!({"functionResponse": {"id": id, "name": name, "response": {"output": output}}});
        let call = |id: &str, name: &str| value!({"functionCall": {"id": id, "name": name, "args": {"path": id}}});
        let mut first = call("a", "read");
        first["thoughtSignature"] = "AVSo".into();
        assert_eq!(
            contents,
            value!([
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": [first, call("b", "write")]},
                {"role": "user", "parts": [result("a", "read", "first"), result("b", "write", "second")]},
                {"role": "user", "parts": [{"text": "hurry"}]},
                {"role": "model", "parts": [{"text": "done"}]},
            ])
        );
    }

    #[test]
    fn the_user_begins() {
        let begun = value!({"role": "user", "parts": [{"text": BEGINNING}]});
        let dropped = contents(Generation::Gemini3, |conversation| {
            call(conversation, "a", "read");
            conversation.result("a", ok("first"))?;
            conversation.user(Part::text("go on"));
            Ok(())
        });
        let roles = ["user", "model", "user", "user"];
        for (index, role) in roles.into_iter().enumerate() {
            assert_eq!(dropped[index]["role"], role, "{dropped}");
        }
        assert_eq!(dropped[0], begun);
        let greeted = contents(Generation::Gemini25, |conversation| {
            conversation.model(Part::text("Hello"));
            conversation.user(Part::text("hi"));
            Ok(())
        });
        assert_eq!(greeted[0], begun);
        let usual = contents(Generation::Gemini3, |conversation| {
            conversation.user(Part::text("go"));
            conversation.model(Part::text("done"));
            Ok(())
        });
        assert_eq!(usual.as_array().map(Vec::len), Some(2), "{usual}");
        assert_eq!(contents(Generation::Gemini3, |_| Ok(())), value!([]));
    }

    #[test]
    fn a_missing_result_becomes_an_error() {
        for ends in [true, false] {
            let contents = contents(Generation::Gemini3, |conversation| {
                call(conversation, "a", "read");
                call(conversation, "b", "write");
                conversation.result("b", ok("second"))?;
                if !ends {
                    call(conversation, "c", "read");
                    conversation.result("c", ok("third"))?;
                }
                Ok(())
            });
            let results = &contents[2]["parts"];
            assert_eq!(
                results[0]["functionResponse"]["response"],
                value!({"error": "The tool was not run."})
            );
            assert_eq!(
                results[1]["functionResponse"]["response"]["output"],
                "second"
            );
            assert_eq!(
                contents.as_array().map(Vec::len),
                Some(if ends { 3 } else { 5 })
            );
        }
    }

    #[test]
    fn steps_of_a_turn_stay_apart() {
        let contents = contents(Generation::Gemini3, |conversation| {
            conversation.user(Part::text("go"));
            for (id, signature) in [("a", "one"), ("b", "two")] {
                conversation.thought(Some(signature.into()));
                call(conversation, id, "read");
                conversation.result(id, ok(id))?;
            }
            Ok(())
        });
        let roles: Vec<&str> = contents
            .as_array()
            .unwrap()
            .iter()
            .map(|content| content["role"].as_str().unwrap())
            .collect();
        assert_eq!(roles, ["user", "model", "user", "model", "user"]);
        assert_eq!(contents[1]["parts"][0]["thoughtSignature"], "one");
        assert_eq!(contents[3]["parts"][0]["thoughtSignature"], "two");
    }

    #[test]
    fn media_of_results_go_where_the_model_accepts_them() {
        for (generation, expected) in [
            (Generation::Gemini3, "/0/functionResponse/parts/0/text"),
            (Generation::Gemini25, "/1/text"),
        ] {
            let contents = contents(generation, |conversation| {
                call(conversation, "a", "read");
                conversation.result(
                    "a",
                    Outcome {
                        media: vec![Part::text("image")],
                        ..ok("")
                    },
                )
            });
            let flat: Vec<&Value> = contents
                .as_array()
                .unwrap()
                .iter()
                .skip(2)
                .flat_map(|content| content["parts"].as_array().unwrap())
                .collect();
            let flat = value!(flat);
            assert_eq!(flat.pointer(expected), Some(&value!("image")), "{flat}");
        }
    }

    #[test]
    fn media_outside_results_keep_the_order_of_the_calls() {
        let contents = contents(Generation::Gemini25, |conversation| {
            for id in ["a", "b"] {
                call(conversation, id, "read");
            }
            conversation.user(Part::text("later"));
            for id in ["a", "b"] {
                let media = vec![Part::text(id)];
                conversation.result(id, Outcome { media, ..ok("") })?;
            }
            Ok(())
        });
        assert_eq!(
            contents[3]["parts"],
            value!([{"text": "a"}, {"text": "b"}, {"text": "later"}])
        );
    }

    #[test]
    fn results_with_one_id_belong_to_its_calls_in_order() {
        let contents = contents(Generation::Gemini3, |conversation| {
            call(conversation, "a", "read");
            call(conversation, "a", "write");
            conversation.result("a", ok("first"))?;
            conversation.result("a", ok("second"))
        });
        for (index, expected) in ["first", "second"].into_iter().enumerate() {
            let response = &contents[2]["parts"][index]["functionResponse"]["response"];
            assert_eq!(response, &value!({"output": expected}));
        }
    }

    #[test]
    fn several_results_of_a_call_are_joined() {
        let contents = contents(Generation::Gemini3, |conversation| {
            call(conversation, "a", "read");
            conversation.result("a", ok("first"))?;
            conversation.result("a", ok("second"))
        });
        let response = &contents[2]["parts"][0]["functionResponse"]["response"];
        assert_eq!(response, &value!({"output": "first\nsecond"}));
    }

    #[test]
    fn results_without_a_call_are_refused() {
        let names = ToolNames::default();
        let mut conversation = Conversation::new(Generation::Gemini3, &names);
        call(&mut conversation, "a", "read");
        conversation.result("a", ok("1")).unwrap();
        let error = conversation.result("b", ok("2")).unwrap_err();
        assert!(
            error.reason.starts_with("names no tool call"),
            "{}",
            error.reason
        );
        conversation.model(Part::text("done"));
        let error = conversation.result("a", ok("2")).unwrap_err();
        assert!(error.reason.contains("followed by"), "{}", error.reason);
    }
}
