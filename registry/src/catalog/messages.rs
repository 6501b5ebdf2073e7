//! Looks up messages by their full names, for an Any in a payload whose schema does not import the
//! message.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tidings_schema::{
    definition::{Definition, Form},
    protobuf::{self, Messages},
    schema::{Format, Schema},
};

use super::Catalog;

/// Limits the cached names. Payloads choose the names.
const NAMES_MAX: usize = 1_000;

/// The messages that were looked up at one revision.
#[derive(Debug, Default)]
pub(super) struct MessageCache(Mutex<HashMap<String, Option<protobuf::Schema>>>);

/// A clone begins empty: the next revision looks messages up again.
impl Clone for MessageCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Messages for Catalog {
    /// Returns the schema of the subject whose newest version declares the message. None if several
    /// subjects declare it: nothing says which one is meant.
    fn declaring(&self, message: &str) -> Option<protobuf::Schema> {
        let cache = || self.message_cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache().get(message) {
            return cached.clone();
        }
        let schema = self.only_declaring(message);
        let mut cache = cache();
        if cache.len() >= NAMES_MAX {
            cache.clear();
        }
        cache.insert(message.to_owned(), schema.clone());
        schema
    }
}

impl Catalog {
    fn only_declaring(&self, message: &str) -> Option<protobuf::Schema> {
        let name = message.rsplit('.').next().filter(|name| !name.is_empty())?;
        let newest = self
            .subjects_after(None)
            .filter(|subject| subject.format == Format::Protobuf)
            .filter_map(|subject| subject.newest())
            // Parsing takes a second for each 10,000 definitions; a search for the name takes 10
            // ms.
            .filter(|schema| mentions(&schema.definition, name));
        let mut declaring = newest.filter_map(|schema| match &*self.parsed(schema).ok()? {
            Schema::Protobuf(schema) if schema.declares(message) => Some(schema.clone()),
            Schema::Protobuf(_) | Schema::Json(_) | Schema::Avro(_) => None,
        });
        let first = declaring.next()?;
        declaring.next().is_none().then_some(first)
    }
}

fn mentions(definition: &Definition, name: &str) -> bool {
    let form = match &definition.form {
        Form::Text(text) => text.contains(name),
        Form::DescriptorSet(bytes) => memchr::memmem::find(bytes, name.as_bytes()).is_some(),
    };
    form || definition.files.values().any(|text| text.contains(name))
}
