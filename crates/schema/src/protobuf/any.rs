//! The message inside an Any: one of the schema, one of Protobuf itself, or one of another subject.

use std::{cell::RefCell, collections::HashMap, sync::LazyLock};

use crate::definition::Definition;

use super::{Schema, well_known_json::WellKnown};

/// Finds messages that a schema does not import.
pub trait Messages {
    /// A schema that declares the message with this full name. `None` if no schema does, or if
    /// several do.
    fn declaring(&self, message: &str) -> Option<Schema>;
}

/// Finds no messages.
#[derive(Debug, Clone, Copy)]
pub struct NoMessages;

impl Messages for NoMessages {
    fn declaring(&self, _: &str) -> Option<Schema> {
        None
    }
}

/// Distinct names that are looked up for one payload: a lookup may scan all registered schemas.
const NAMES_MAX: usize = 100;

/// Looks up each name once, and at most [`NAMES_MAX`] of them.
pub(super) struct MessageLookup<'m> {
    messages: &'m dyn Messages,
    cache: RefCell<HashMap<String, Option<Schema>>>,
}

impl<'m> MessageLookup<'m> {
    pub(super) fn new(messages: &'m dyn Messages) -> Self {
        Self { messages, cache: RefCell::default() }
    }

    /// The schema that declares a message, and the message's index in it.
    pub(super) fn find(&self, name: &str) -> Option<(Schema, usize)> {
        let schema = if name.starts_with("google.protobuf.") {
            WELL_KNOWN.clone()
        } else {
            self.declaring(name)
        }?;
        let index = schema.inner.types.message_index(name)?;
        Some((schema, index))
    }

    fn declaring(&self, name: &str) -> Option<Schema> {
        let mut cache = self.cache.borrow_mut();
        if let Some(cached) = cache.get(name) {
            return cached.clone();
        }
        if cache.len() >= NAMES_MAX {
            return None;
        }
        let schema = self.messages.declaring(name);
        cache.insert(name.to_owned(), schema.clone());
        schema
    }
}

/// The well-known types. Every reader of the JSON mapping knows them, imported or not.
static WELL_KNOWN: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let files = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];
    let imports = files.map(|file| format!("import \"google/protobuf/{file}.proto\";"));
    let text = format!("syntax = \"proto3\"; {} message WellKnown {{}}", imports.concat());
    Schema::parse("", &Definition::text(text), &[]).ok()
});

/// How the JSON of an Any contains its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnyForm {
    /// The fields of the message are members of the Any.
    Fields,
    /// The message has a special JSON form, which is the member `value`.
    Value,
    /// `google.protobuf.Empty`. Google's runtimes write only the type; Go also writes `value`, an
    /// empty object.
    Empty,
}

impl AnyForm {
    pub(super) fn of(name: &str) -> Self {
        match WellKnown::of(name) {
            Some(_) => Self::Value,
            None if name == "google.protobuf.Empty" => Self::Empty,
            None => Self::Fields,
        }
    }
}
