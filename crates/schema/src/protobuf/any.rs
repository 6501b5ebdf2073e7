//! What an Any holds: a message of the schema, one of Protobuf itself, or one of another subject.

use std::{cell::RefCell, collections::HashMap, sync::LazyLock};

use crate::definition::Definition;

use super::{Schema, special::Special};

/// Finds messages that a schema does not import.
pub trait Messages {
    /// A schema that has a message of this full name. None: there is none, or it is not clear which
    /// one is meant.
    fn declaring(&self, message: &str) -> Option<Schema>;
}

/// Knows no message: a schema by itself.
#[derive(Debug, Clone, Copy)]
pub struct NoMessages;

impl Messages for NoMessages {
    fn declaring(&self, _: &str) -> Option<Schema> {
        None
    }
}

/// Names of further messages that one payload may have: to look for each may take a walk over all
/// that is registered.
const NAMES_MAX: usize = 100;

/// Looks each name up once, and not too many of them.
pub(super) struct Bounded<'m> {
    messages: &'m dyn Messages,
    known: RefCell<HashMap<String, Option<Schema>>>,
}

impl<'m> Bounded<'m> {
    pub(super) fn new(messages: &'m dyn Messages) -> Self {
        Self { messages, known: RefCell::default() }
    }

    /// The schema of a message that another schema does not have, and the message's index in it.
    pub(super) fn find(&self, name: &str) -> Option<(Schema, usize)> {
        let schema = if name.starts_with("google.protobuf.") {
            WELL_KNOWN.clone()
        } else {
            self.declaring(name)
        }?;
        let index = schema.parts.types.message_index(name)?;
        Some((schema, index))
    }

    fn declaring(&self, name: &str) -> Option<Schema> {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(name) {
            return known.clone();
        }
        if known.len() >= NAMES_MAX {
            return None;
        }
        let found = self.messages.declaring(name);
        known.insert(name.to_owned(), found.clone());
        found
    }
}

/// Every reader of the JSON mapping knows them, whatever a schema imports.
static WELL_KNOWN: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let files = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];
    let imports = files.map(|it| format!("import \"google/protobuf/{it}.proto\";"));
    let text = format!("syntax = \"proto3\"; {} message WellKnown {{}}", imports.concat());
    Schema::parse("", &Definition::text(text), &[]).ok()
});

/// How the JSON of an Any has its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Its fields are members of the Any.
    Fields,
    /// It has a JSON of its own, which is the member `value`.
    Value,
    /// Google's runtimes have nothing in the Any but its type, Go has a `value` as well: it is an
    /// object with nothing in it.
    Empty,
}

impl Held {
    pub(super) fn of(name: &str) -> Self {
        match Special::of(name) {
            Some(_) => Self::Value,
            None if name == "google.protobuf.Empty" => Self::Empty,
            None => Self::Fields,
        }
    }
}
