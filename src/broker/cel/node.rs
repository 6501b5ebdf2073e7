//! A compiled expression.

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
/// Largest table that a search builds of it, in bytes.
const TABLE_BYTES_MAX: usize = 512 << 10;
/// How often that table may be thrown away in one search. Beyond, a search takes more work than it is worth.
const TABLES_MAX: usize = 4;

/// A part of an expression, checked.
#[derive(Debug)]
pub enum Node {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number that has no sign.
    Uint(u64),
    /// A number with a fraction.
    Double(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A point in time.
    Time(Timestamp),
    /// A span of time.
    Span(SignedDuration),
    /// `event.NAME`.
    Attribute(String),
    /// `has(event.NAME)`.
    HasAttribute(String),
    /// `data`.
    Data,
    /// What a macro goes through, or what it has gathered.
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
    Choice(Box<[Node; 3]>),
    /// An operator between two values.
    Binary(Operator, Box<Node>, Box<Node>),
    /// A function.
    Call(Function, Vec<Node>),
    /// `x.matches(pattern)`.
    Matches(Box<Node>, Box<Pattern>),
    /// A macro: goes through a list, or through the keys of a map.
    Fold(Box<Fold>),
    /// One value more behind those that a macro has gathered.
    Push(usize, Box<Node>),
    /// A condition to go on, which a failure does not end.
    GoesOn(Box<Node>),
}

/// What is known of the keys of a map before there is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All are literals, of valid types, and distinct.
    Checked,
    /// Some of them depend on the event.
    Open,
}

/// What goes through a list.
#[derive(Debug)]
pub struct Fold {
    /// The list.
    pub range: Node,
    /// Where its item is kept.
    pub item: usize,
    /// Where the outcome is kept.
    pub outcome: usize,
    /// The outcome before the first item.
    pub init: Node,
    /// Whether there is another item to look at.
    pub goes_on: Node,
    /// The outcome behind an item.
    pub step: Node,
    /// What the macro gives.
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

/// A regular expression that is searched in linear time, or not at all.
pub struct Pattern {
    automaton: DFA,
    // A stream evaluates one event at a time: nobody waits here.
    cache: Mutex<Cache>,
    text: String,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Where it is none, or it is too large.
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
                let said = source.to_string();
                let said = said.lines().last().unwrap_or_default();
                format!(
                    "the pattern {text:?} cannot be used: {}",
                    said.trim_start_matches("error: ")
                )
            })?;
        let cache = Mutex::new(automaton.create_cache());
        Ok(Self { automaton, cache, text: text.into() })
    }

    /// Whether it is somewhere in a text. None: to tell would take too much work.
    pub fn finds(&self, text: &str) -> Option<bool> {
        let mut cache = match self.cache.lock() {
            Ok(cache) => cache,
            Err(poisoned) => poisoned.into_inner(),
        };
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        let found = self.automaton.try_search_fwd(&mut cache, &input);
        if found.is_err() {
            cache.reset(&self.automaton);
        }
        found.ok().map(|it| it.is_some())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}
