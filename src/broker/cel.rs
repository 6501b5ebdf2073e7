//! Filters in CEL, the Common Expression Language: compiled once, bounded in size and in work.
//!
//! ```text
//! text -> bounds -> the parser of the cel crate -> check -> Node -> evaluate -> value, function
//! ```
//!
//! The crate's parser is used, and its interpreter is not: it has no bound on work, and copies what it reads. What
//! an expression says is checked as far as it can be before there is an event: names, functions, and the types of
//! what is not out of a payload.

mod bounds;
mod check;
mod evaluate;
mod function;
mod node;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value as Json;

use crate::model::encoded::EncodedEvent;
use node::Node;

pub use bounds::{DEPTH_MAX, EXPRESSIONS_MAX, TEXT_BYTES_MAX, TOKENS_MAX};

/// Steps of all the expressions of a request for one event: some milliseconds at most. A step is a part of an expression
/// evaluated once, or 16 bytes that are read or written.
pub const STEPS_MAX: u64 = 50_000;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1; of the first character that is wrong.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Whether the expression has several lines.
    is_long: bool,
    /// What is there, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_long {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}: {}", self.column, self.message)
    }
}

/// Why an event has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It does not have an attribute, a field or a payload that is asked for.
    Absent,
    /// A value is of another type than the operation takes.
    Type,
    /// A number is too large, a text is no time, a position is not in the list.
    Value,
    /// More than [`STEPS_MAX`] steps.
    Work,
}

/// Steps that are left for an event.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// For one event.
    pub fn new() -> Self {
        Self(STEPS_MAX)
    }

    /// Steps that were taken.
    pub fn spent(&self) -> u64 {
        STEPS_MAX - self.0
    }

    fn take(&mut self, steps: u64) -> Result<(), Failure> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Failure::Work)
            }
        }
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Failure> {
        self.take(bytes as u64 / 16)
    }
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    slots: usize,
    uses_data: bool,
}

impl Expression {
    /// Compiles a text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        bounds::check(text)?;
        let parsed = cel::parser::Parser::new()
            .max_recursion_depth(bounds::PARSER_DEPTH_MAX)
            .parse_with_source_info(text);
        let (tree, places) = parsed.map_err(|errors| bounds::told(text, &errors))?;
        check::check(text, &tree, &places)
    }

    /// Whether it looks into payloads.
    pub fn uses_data(&self) -> bool {
        self.uses_data
    }

    /// Whether an event is as it says. `data` is the payload; None: there is none, or none that can be read.
    pub(super) fn holds(
        &self,
        event: EncodedEvent<'_>,
        data: Option<&Json>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        evaluate::evaluate(&self.root, self.slots, event, data, budget)
    }
}
