//! A conversation with an agent, planned step by step.
//!
//! A step is one answer of the model. Its number is how many answers the request's conversation
//! already has, whatever key it comes with: a request that is sent again, such as after a failover,
//! gets the same step. So a plan suits one conversation, or several that go the same way.
//!
//! A model cannot call what it is not offered. Requests without the tools of their step, such as for
//! a title, are answered with words, and so is everything after the last step.

use crate::answer::{Answer, ToolCall};
use crate::improvise::Options;
use crate::log::Call;
use crate::reply::{Break, Reply};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What the model answers, step by step. Ids and signatures are added as the model has them.
///
/// ```
/// use fake_gemini::{Break, Plan, Reply, ToolCall, errors};
///
/// let read = |path: &str| ToolCall::new("read", format!(r#"{{"path":"{path}"}}"#));
/// let plan = Plan::new()
///     .calls([read("a.txt"), read("b.txt")])
///     .failing(Reply::error(errors::key_expired()))
///     .calls([ToolCall::new("shell", r#"{"command":"make"}"#)])
///     .breaking(1, Break::Close)
///     .says("It builds.");
/// # let _ = plan;
/// ```
#[derive(Debug, Default)]
pub struct Plan(Vec<Step>);

#[derive(Debug)]
struct Step {
    answer: Answer,
    /// What happens to the first requests for the step.
    faults: Mutex<VecDeque<Fault>>,
}

#[derive(Debug)]
enum Fault {
    Reply(Box<Reply>),
    Break(usize, Break),
}

impl Plan {
    /// A plan without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step with any answer.
    pub fn answers(mut self, answer: Answer) -> Self {
        let faults = Mutex::default();
        self.0.push(Step { answer, faults });
        self
    }

    /// Adds a step that calls these tools in parallel.
    pub fn calls(self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.answers(Answer::tool_calls(calls))
    }

    /// Adds a step that says something.
    pub fn says(self, text: &str) -> Self {
        self.answers(Answer::words(text))
    }

    /// Gives a request for the last step another reply, such as an error. Faults happen in the
    /// order in which they are added, one per request, before the step succeeds.
    ///
    /// # Panics
    /// If there is no step.
    pub fn failing(self, reply: Reply) -> Self {
        self.fault(Fault::Reply(Box::new(reply)))
    }

    /// Breaks off the answer to a request for the last step after `events` events.
    ///
    /// # Panics
    /// If there is no step.
    pub fn breaking(self, events: usize, how: Break) -> Self {
        self.fault(Fault::Break(events, how))
    }

    fn fault(mut self, fault: Fault) -> Self {
        let Some(step) = self.0.last_mut() else {
            panic!("a fault belongs to a step");
        };
        let faults = step.faults.get_mut();
        faults
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(fault);
        self
    }

    /// The reply to a call, for [`default_reply`](crate::Builder::default_reply).
    pub fn reply(&self, call: &Call) -> Reply {
        let planned = Options::of(call).and_then(|options| {
            let step = self.0.get(options.turn.answers)?;
            options.allows(&step.answer.tool_calls).then_some(step)
        });
        let Some(step) = planned else {
            return Reply::answer(Answer::default().marked(call));
        };
        let reply = Reply::answer(step.answer.clone().marked(call));
        let faults = step.faults.lock();
        let fault = faults.unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault {
            Some(Fault::Reply(fault)) => *fault,
            Some(Fault::Break(events, how)) => reply.break_after(events, how),
            None => reply,
        }
    }
}
