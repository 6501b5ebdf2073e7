//! Nodes of a compiled expression.

use std::{fmt, sync::Mutex};

use jiff::SignedDuration;
use regex_automata::{
    Anchored, Input,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
};

use super::function::Function;
use crate::model::timestamp::Timestamp;

/// Largest automaton of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Largest lookup table that a search builds of it, in bytes.
const TABLE_BYTES_MAX: usize = 512 << 10;
/// How often that table may be cleared in one search. Beyond that, the search is too expensive.
const TABLES_MAX: usize = 4;

/// A node of a checked expression.
#[derive(Debug)]
pub enum Node {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A timestamp.
    Time(Timestamp),
    /// A duration.
    Span(SignedDuration),
    /// `event.NAME`.
    Attribute(String),
    /// `has(event.NAME)`.
    HasAttribute(String),
    /// `data`.
    Data,
    /// The variable or the accumulator of a macro.
    Slot(usize),
    /// A field of a map.
    Field(Box<Node>, String),
    /// `has(x.NAME)`.
    HasField(Box<Node>, String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<(Node, Node)>, Keys),
    /// `!x`.
    Not(Box<Node>),
    /// `-x`.
    Negate(Box<Node>),
    /// `x && y`.
    And(Box<Node>, Box<Node>),
    /// `x || y`.
    Or(Box<Node>, Box<Node>),
    /// `x ? y : z`.
    Conditional(Box<[Node; 3]>),
    /// An operator between two values.
    Binary(Operator, Box<Node>, Box<Node>),
    /// A function call.
    Call(Function, Vec<Node>),
    /// `x.matches(pattern)`.
    Matches(Box<Node>, Box<Pattern>),
    /// A macro over a list, or over the keys of a map.
    Fold(Box<Fold>),
    /// Appends a value to the accumulator of a macro.
    Push(usize, Box<Node>),
    /// The loop condition of a macro, which a failure does not end.
    NotStrictlyFalse(Box<Node>),
}

/// Whether the keys of a map are known without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All keys are distinct literals of valid types.
    Checked,
    /// Some keys depend on the event.
    Dynamic,
}

/// A loop over a list.
#[derive(Debug)]
pub struct Fold {
    /// The list.
    pub range: Node,
    /// The slot of the item.
    pub item: usize,
    /// The slot of the accumulator.
    pub accumulator: usize,
    /// The accumulator before the first item.
    pub init: Node,
    /// Whether to continue with the next item.
    pub condition: Node,
    /// The accumulator after an item.
    pub step: Node,
    /// The value of the macro.
    pub result: Node,
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `in`
    In,
    /// `x[y]`
    At,
}

/// A regular expression with a search in linear time, or no search at all.
pub struct Pattern {
    automaton: DFA,
    // A stream evaluates one event at a time, so there is no contention.
    cache: Mutex<Cache>,
    text: String,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Returns an error if the text is not a valid pattern, or is too large.
    pub fn new(text: &str) -> Result<Self, String> {
        let config = DFA::config()
            .cache_capacity(TABLE_BYTES_MAX)
            .minimum_cache_clear_count(Some(TABLES_MAX));
        let automaton = DFA::builder()
            .configure(config)
            .thompson(thompson::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX)))
            .build(text)
            .map_err(|error| {
                let mut source: &dyn std::error::Error = &error;
                while let Some(inner) = source.source() {
                    source = inner;
                }
                let message = source.to_string();
                let message = message.lines().last().unwrap_or_default();
                format!(
                    "the pattern {text:?} cannot be used: {}",
                    message.trim_start_matches("error: ")
                )
            })?;
        let cache = Mutex::new(automaton.create_cache());
        Ok(Self { automaton, cache, text: text.into() })
    }

    /// Whether the pattern matches somewhere in a text. None: the search is too expensive.
    pub fn finds(&self, text: &str) -> Option<bool> {
        let mut cache = match self.cache.lock() {
            Ok(cache) => cache,
            Err(poisoned) => poisoned.into_inner(),
        };
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        let searched = self.automaton.try_search_fwd(&mut cache, &input);
        if searched.is_err() {
            cache.reset(&self.automaton);
        }
        searched.ok().map(|end| end.is_some())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}
