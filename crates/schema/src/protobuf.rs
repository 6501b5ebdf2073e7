//! Protobuf: `.proto` texts and descriptor sets of proto2, proto3 and the editions 2023 and 2024.
//!
//! ```text
//! limits -> parser_input -> parse -> link -> types -> compare, ledger, canonical
//!                             │       ├─ editions
//!                             │       └─ check            rules of protoc for a draft
//!                             └─ linker_input, descriptor_set, well_known
//!
//! wire_format -> validate                           checks encoded payloads in place
//!             -> decoded_message -> to_json, convert
//! payload_tables, well_known_json -> from_json
//!
//! compare, convert, to_json, from_json -> counterexample
//! ```

mod any;
mod canonical;
mod check;
mod compare;
mod convert;
mod counterexample;
mod decoded_message;
mod descriptor_set;
mod editions;
mod features;
mod files;
mod findings;
mod from_json;
mod ledger;
mod limits;
mod link;
mod linker_input;
mod literals;
mod locations;
mod options;
mod parse;
mod parser_input;
mod payload_tables;
mod pointer;
mod projection;
mod ranges;
mod rules;
mod scalar;
mod to_json;
mod types;
mod validate;
mod well_known;
mod well_known_json;
mod wire_format;

use std::{borrow::Cow, fmt, sync::Arc};

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};

use crate::{
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Change, Comparison, Finding, Options},
};

pub(crate) use self::projection::Projection;
pub use self::{
    any::{Messages, NoMessages},
    files::{File, Syntax, commented, files, standard},
    rules::RULES,
    well_known::is_shared,
};

use self::{
    canonical::CanonicalForm,
    compare::{Comparer, Roots},
    convert::SchemaView,
    counterexample::Counterexamples,
    link::LinkedDefinition,
    parse::ParsedFiles,
    payload_tables::PayloadTables,
    to_json::Style,
    types::Types,
};

/// A schema: linked files and the root types of a comparison.
#[derive(Clone)]
pub struct Schema {
    inner: Arc<SchemaInner>,
}

struct SchemaInner {
    pool: DescriptorPool,
    types: Types,
    tables: PayloadTables,
    roots: Roots,
    form: CanonicalForm,
    /// Faults that reject a new definition, but not a registered one.
    draft_faults: Vec<Fault>,
    /// Names of the files that are part of the definition itself.
    own: Vec<String>,
}

impl SchemaInner {
    /// The parts that payload operations need, with `root` as the message of the payload.
    fn view(&self, root: usize) -> SchemaView<'_> {
        let Self { pool, types, tables, .. } = self;
        SchemaView { pool, types, tables, root }
    }
}

impl Schema {
    /// Parses a definition. The event's message is the one that the definition names, else the one
    /// that the subject names, else the only top-level message of the file.
    ///
    /// # Errors
    /// Returns the faults if the definition is not a schema, exceeds a limit, or its message is
    /// ambiguous.
    pub fn parse(
        subject: &str,
        definition: &Definition,
        imports: &[Import],
    ) -> Result<Self, InvalidSchema> {
        let linked = link::link(ParsedFiles::load(definition, imports)?)?;
        let message = choose_message(&linked, subject, &definition.message_name)?;
        let addressed = message.full_name() == subject;
        let message = index(&linked.types, &message)?;
        Ok(Self::new(linked, Roots::Event { message, addressed }))
    }

    /// Parses a definition for a comparison of two files. No message is chosen: all messages of the
    /// file are roots. Removing a top-level message breaks its readers and writers; adding one is
    /// compatible.
    ///
    /// # Errors
    /// Returns the faults if the definition is not a schema or exceeds a limit.
    pub fn parse_file(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let linked = link::link(ParsedFiles::load(definition, imports)?)?;
        let file = main_file(&linked)?;
        let mut messages = Vec::new();
        let mut enums: Vec<_> = file.enums().collect();
        let mut queue: Vec<_> = file.messages().filter(|message| !message.is_map_entry()).collect();
        while let Some(message) = queue.pop() {
            messages.push(index(&linked.types, &message)?);
            enums.extend(message.child_enums());
            queue.extend(message.child_messages().filter(|nested| !nested.is_map_entry()));
        }
        messages.sort_unstable();
        let enums =
            enums.iter().filter_map(|kind| linked.types.enum_index(kind.full_name())).collect();
        let package = file.package_name().to_owned();
        Ok(Self::new(linked, Roots::File { package, messages, enums }))
    }

    fn new(linked: LinkedDefinition, roots: Roots) -> Self {
        let form = CanonicalForm::of(&linked.pool, &linked.types, &roots);
        let LinkedDefinition { pool, types, own, draft_faults, .. } = linked;
        let tables = PayloadTables::of(&types);
        Self {
            inner: Arc::new(SchemaInner { pool, types, tables, roots, form, draft_faults, own }),
        }
    }

    /// Checks the rules that only a new definition must meet: those of protoc that are not needed
    /// to read the schema.
    pub fn check(&self) -> Vec<Fault> {
        self.inner.draft_faults.clone()
    }

    /// The canonical form: equal bytes for equal schemas.
    pub fn canonical(&self) -> Vec<u8> {
        self.inner.form.bytes()
    }

    /// Compares this schema with a newer one.
    pub fn compare(&self, new: &Self, options: Options) -> Comparison {
        let change = if self.inner.form == new.inner.form {
            Change::None
        } else if self.shared_with(new).is_equivalent(&new.shared_with(self)) {
            Change::Unnoticeable
        } else {
            Change::Noticeable
        };
        let mut comparer = Comparer::new(&self.inner.types, &new.inner.types, options.surface);
        comparer.enqueue_roots(&self.inner.roots, &new.inner.roots);
        let (findings, parents) = comparer.finish();
        let (old, new) = (self.inner.view(0), new.inner.view(0));
        let counterexamples = Counterexamples::new(old, new, options.surface, &parents);
        Comparison { change, findings: counterexamples.add_to(findings) }
    }

    /// The canonical form of the roots that both schemas have. Readers of one file do not know a
    /// message that only the other file declares.
    fn shared_with(&self, other: &Self) -> Cow<'_, CanonicalForm> {
        let SchemaInner { pool, types, roots, form, .. } = &*self.inner;
        match roots.shared(types, &other.inner.roots, &other.inner.types) {
            Some(shared) => Cow::Owned(CanonicalForm::of(pool, types, &shared)),
            None => Cow::Borrowed(form),
        }
    }

    /// The full name of the event's message. `None` if the schema is a file with several messages.
    pub fn message_name(&self) -> Option<&str> {
        Some(self.message()?.name.as_str())
    }

    /// Checks a JSON payload.
    ///
    /// # Errors
    /// Returns the violations if the JSON mapping of the message does not accept the payload.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        self.encode(json).map(drop)
    }

    /// Checks a binary payload. Unknown fields are allowed.
    ///
    /// # Errors
    /// Returns the violations if the payload does not decode or lacks a required field.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        let SchemaInner { types, tables, .. } = &*self.inner;
        validate::validate(types, tables, self.event_index()?, bytes)
    }

    /// Encodes a payload from the JSON mapping into the binary form.
    ///
    /// # Errors
    /// Returns all violations if the payload does not match the schema.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.encode_with(json, &NoMessages)
    }

    /// Like [`Schema::encode`], but an Any may also contain one of `messages`.
    ///
    /// # Errors
    /// Returns all violations if the payload does not match the schema.
    pub fn encode_with(
        &self,
        json: &str,
        messages: &dyn Messages,
    ) -> Result<Vec<u8>, Vec<Violation>> {
        let SchemaInner { types, tables, .. } = &*self.inner;
        let bytes = from_json::from_json(types, tables, messages, self.event_index()?, json)?;
        // The binary form nests deeper than JSON.
        self.validate_binary(&bytes)?;
        Ok(bytes)
    }

    /// Converts a binary payload to the JSON mapping.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid or has no JSON form.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_json_with(bytes, &NoMessages)
    }

    /// Like [`Schema::to_json`], but an Any may also contain one of `messages`.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid or has no JSON form.
    pub fn to_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        self.write_json(bytes, messages, Style::Mapping)
    }

    /// Converts a binary payload to JSON in which integers are numbers and every field without
    /// presence is present.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid, has no JSON form, or its JSON is larger
    /// than 8 MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_plain_json_with(bytes, &NoMessages)
    }

    /// Like [`Schema::to_plain_json`], but an Any may also contain one of `messages`.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid or has no JSON form.
    pub fn to_plain_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        self.write_json(bytes, messages, Style::Plain)
    }

    fn write_json(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
        style: Style,
    ) -> Result<String, Vec<Violation>> {
        to_json::to_json(&self.inner.types, messages, self.event_index()?, bytes, style)
            .map_err(|violation| vec![violation])
    }

    /// Whether the files of the definition itself, not its imports, declare the message with this
    /// full name.
    pub fn declares(&self, message: &str) -> bool {
        let SchemaInner { pool, own, .. } = &*self.inner;
        pool.get_message_by_name(message)
            .is_some_and(|descriptor| own.iter().any(|own| own == descriptor.parent_file().name()))
    }

    /// Converts a payload of this schema to a payload of `reader`. `None` if the bytes are the
    /// same.
    ///
    /// # Errors
    /// Returns all values that cannot be converted.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        let converted = convert::convert(self.view()?, reader.view()?, bytes)?;
        reader.validate_binary(converted.as_deref().unwrap_or(bytes))?;
        Ok(converted)
    }

    /// The projection to a version that differs only in its fields. `None` if the two differ in
    /// more.
    pub(crate) fn projection(&self, reader: &Self) -> Option<Projection> {
        Projection::between(self.view().ok()?, reader.view().ok()?)
    }

    fn view(&self) -> Result<SchemaView<'_>, Vec<Violation>> {
        Ok(self.inner.view(self.event_index()?))
    }

    fn event_index(&self) -> Result<usize, Vec<Violation>> {
        match &self.inner.roots {
            Roots::Event { message, .. } => Ok(*message),
            Roots::File { .. } => Err(multiple_messages_error()),
        }
    }

    fn message(&self) -> Option<&types::Message> {
        match &self.inner.roots {
            Roots::Event { message, .. } => self.inner.types.message(*message),
            Roots::File { .. } => None,
        }
    }

    /// The descriptor of the event's message.
    ///
    /// # Errors
    /// Returns a violation if the schema is a file with several messages.
    pub fn descriptor(&self) -> Result<MessageDescriptor, Vec<Violation>> {
        let message =
            self.message().and_then(|message| self.inner.pool.get_message_by_name(&message.name));
        message.ok_or_else(multiple_messages_error)
    }
}

fn multiple_messages_error() -> Vec<Violation> {
    let message = "the schema is a file with several messages; name the message of the payload";
    vec![Violation { path: String::new(), message: message.to_owned() }]
}

/// The full names of the top-level messages of a definition's file, in declaration order.
///
/// # Errors
/// Returns the faults if the definition is not a schema or exceeds a limit.
pub fn messages(definition: &Definition, imports: &[Import]) -> Result<Vec<String>, InvalidSchema> {
    let linked = link::link(ParsedFiles::load(definition, imports)?)?;
    Ok(main_file(&linked)?.messages().map(|message| message.full_name().to_owned()).collect())
}

/// Finds numbers and names that `new` reuses with another meaning than an earlier version of its
/// major line. `history` has all versions of the line, oldest first.
pub fn ledger(history: &[&Schema], new: &Schema, options: Options) -> Vec<Finding> {
    let history: Vec<_> =
        history.iter().map(|schema| (&schema.inner.types, &schema.inner.roots)).collect();
    ledger::ledger(&history, (&new.inner.types, &new.inner.roots), options.surface)
}

/// Omits the descriptors: printing those of a recursive type does not terminate.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = &self.inner.types;
        let names = self.inner.roots.messages().iter().filter_map(|index| types.message(*index));
        f.debug_tuple("Schema")
            .field(&names.map(|message| &message.name).collect::<Vec<_>>())
            .finish()
    }
}

fn main_file(linked: &LinkedDefinition) -> Result<FileDescriptor, InvalidSchema> {
    let file = linked.pool.get_file_by_name(&linked.main);
    file.ok_or_else(|| InvalidSchema::new("the definition has no files"))
}

fn index(types: &Types, message: &MessageDescriptor) -> Result<usize, InvalidSchema> {
    let index = types.message_index(message.full_name());
    index.ok_or_else(|| InvalidSchema::new(format!("{} is not linked", message.full_name())))
}

fn choose_message(
    linked: &LinkedDefinition,
    subject: &str,
    name: &str,
) -> Result<MessageDescriptor, InvalidSchema> {
    let file = main_file(linked)?;
    let message = |name: &str| {
        let message = linked.pool.get_message_by_name(name)?;
        (!message.is_map_entry()).then_some(message)
    };
    let own = |message: &MessageDescriptor| {
        linked.own.iter().any(|file| file == message.parent_file().name())
    };
    let candidates: Vec<String> =
        file.messages().map(|message| message.full_name().to_owned()).collect();
    if !name.is_empty() {
        return message(name).ok_or_else(|| {
            let suggestion = nearest_name(name, &candidates)
                .map(|nearest| format!("did you mean {nearest}? "))
                .unwrap_or_default();
            InvalidSchema::new(format!(
                "the message {name:?} does not exist; {suggestion}The file defines {}",
                list_names(&candidates)
            ))
        });
    }
    if let Some(message) = message(subject).filter(own) {
        return Ok(message);
    }
    match candidates.as_slice() {
        [only] => message(only).ok_or_else(|| InvalidSchema::new("the file defines no message")),
        [] => Err(InvalidSchema::new("the file defines no message; an event needs one")),
        _ => {
            let suggestion = nearest_name(subject, &candidates)
                .map(|nearest| format!(" The closest name is {nearest}."))
                .unwrap_or_default();
            Err(InvalidSchema::new(format!(
                "the event's message is ambiguous: the file defines {}, and none of them has the name of the subject, \
                 {subject:?}.{suggestion} Set message_name",
                list_names(&candidates)
            )))
        }
    }
}

/// The candidate that `name` may be a misspelling of.
fn nearest_name<'a>(name: &str, candidates: &'a [String]) -> Option<&'a String> {
    // The edit distance costs the product of the lengths.
    let names =
        candidates.iter().filter(|candidate| candidate.len() <= 200 && name.len() <= 200).take(100);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    names
        .map(|candidate| {
            let full_distance = strsim::damerau_levenshtein(name, candidate);
            let last_distance = strsim::damerau_levenshtein(&last(name), &last(candidate));
            (full_distance.min(last_distance + 1), candidate)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, candidate)| candidate)
}

fn list_names(candidates: &[String]) -> String {
    const NAMES_MAX: usize = 20;
    let names = candidates.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match candidates.len() {
        0 => "no message".to_owned(),
        count if count > NAMES_MAX => format!("{names} and {} more", count - NAMES_MAX),
        _ => names,
    }
}
