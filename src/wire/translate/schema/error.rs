//! What a schema is for, and why one cannot be sent.

use std::fmt;

/// What a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The parameters of a tool, which must be an object.
    Parameters,
    /// An answer.
    Answer,
}

/// A schema that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// The place, as a JSON pointer.
    pub pointer: String,
    /// What is wrong with the value at this place, as the end of a sentence about it.
    pub problem: &'static str,
}

impl SchemaError {
    pub(super) fn new(path: &[String], problem: &'static str) -> Self {
        let mut pointer = String::new();
        for step in path {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        }
        Self { pointer, problem }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "the schema {}", self.problem),
            pointer => write!(f, "the schema at {pointer} {}", self.problem),
        }
    }
}

impl std::error::Error for SchemaError {}
