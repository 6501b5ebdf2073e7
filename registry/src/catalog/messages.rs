//! Messages by their full names: what an Any in a payload holds, where the payload's schema does
//! not import it.

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

/// Names that are remembered. Payloads choose them.
const NAMES_MAX: usize = 1_000;

/// What was looked up at one revision.
#[derive(Debug, Default)]
pub(super) struct LookedUp(Mutex<HashMap<String, Option<protobuf::Schema>>>);

/// The next revision looks up by itself.
impl Clone for LookedUp {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Messages for Catalog {
    /// That of the subject whose newest version declares the message. Where several do, nothing
    /// says which is meant.
    fn declaring(&self, message: &str) -> Option<protobuf::Schema> {
        let looked_up = || self.looked_up.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = looked_up().get(message) {
            return known.clone();
        }
        let found = self.only_declaring(message);
        let mut known = looked_up();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(message.to_owned(), found.clone());
        found
    }
}

impl Catalog {
    fn only_declaring(&self, message: &str) -> Option<protobuf::Schema> {
        let word = message.rsplit('.').next().filter(|it| !it.is_empty())?;
        let newest = self
            .subjects_behind(None)
            .filter(|it| it.format == Format::Protobuf)
            .filter_map(|subject| subject.newest())
            // Reading all definitions takes a second for each 10,000; looking for a word 10 ms.
            .filter(|it| mentions(&it.definition, word));
        let mut declaring = newest.filter_map(|it| match &*self.parsed(it).ok()? {
            Schema::Protobuf(schema) if schema.declares(message) => Some(schema.clone()),
            Schema::Protobuf(_) | Schema::Json(_) | Schema::Avro(_) => None,
        });
        let first = declaring.next()?;
        declaring.next().is_none().then_some(first)
    }
}

fn mentions(definition: &Definition, word: &str) -> bool {
    let form = match &definition.form {
        Form::Text(text) => text.contains(word),
        Form::DescriptorSet(bytes) => memchr::memmem::find(bytes, word.as_bytes()).is_some(),
    };
    form || definition.files.values().any(|text| text.contains(word))
}
