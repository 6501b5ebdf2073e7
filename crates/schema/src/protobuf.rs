//! Protobuf: `.proto` texts and descriptor sets of proto2, proto3 and the editions 2023 and 2024.
//!
//! ```text
//! limits -> rewritten -> source -> link -> types -> compare, ledger, form
//!                           │       ├─ editions
//!                           │       └─ check              what protoc refuses of a draft
//!                           └─ amendments, descriptor_set, well_known
//!
//! scan -> payload                     checking payloads as they lie
//!      -> content -> shown, convert   what they mean
//! encode, special                     from JSON
//!
//! compare, convert, shown, encode -> counterexample
//! ```

mod amendments;
mod any;
mod check;
mod compare;
mod content;
mod convert;
mod counterexample;
mod demands;
mod descriptor_set;
mod editions;
mod encode;
mod features;
mod files;
mod form;
mod ledger;
mod limits;
mod link;
mod literals;
mod options;
mod payload;
mod places;
mod pointer;
mod ranges;
mod report;
mod rewritten;
mod rules;
mod scan;
mod short_way;
mod shown;
mod source;
mod special;
mod types;
mod well_known;
mod wire;

use std::{borrow::Cow, fmt, sync::Arc};

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};

use crate::{
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Change, Comparison, Finding, Options},
};

pub(crate) use self::short_way::ShortWay;
pub use self::{
    any::{Messages, NoMessages},
    files::{File, Syntax, commented, files, standard},
    rules::RULES,
    well_known::is_shared,
};

use self::{
    compare::{Roots, Walk},
    convert::Side,
    counterexample::Counterexamples,
    demands::Demands,
    form::CanonicalForm,
    link::Linked,
    shown::Style,
    source::Sources,
    types::Types,
};

/// A schema: linked files, and where in them the event begins.
#[derive(Clone)]
pub struct Schema {
    parts: Arc<Parts>,
}

struct Parts {
    pool: DescriptorPool,
    types: Types,
    demands: Demands,
    roots: Roots,
    form: CanonicalForm,
    /// What only a new definition is refused for.
    draft_faults: Vec<Fault>,
    /// The names of the files that came with the definition itself.
    own: Vec<String>,
}

impl Parts {
    /// As far as payloads are concerned, those of one message.
    fn side(&self, root: usize) -> Side<'_> {
        let Self { pool, types, demands, .. } = self;
        Side { pool, types, demands, root }
    }
}

impl Schema {
    /// Parses a definition. Its message is the one that it names, else the one that the subject names, else the only one
    /// at the top level of its file.
    ///
    /// # Errors
    /// Where it is not a schema, it is beyond the limits, or its message is not clear.
    pub fn parse(
        subject: &str,
        definition: &Definition,
        imports: &[Import],
    ) -> Result<Self, InvalidSchema> {
        let linked = link::link(Sources::load(definition, imports)?)?;
        let message = choose(&linked, subject, &definition.message_name)?;
        let addressed = message.full_name() == subject;
        let message = index(&linked.types, &message)?;
        Ok(Self::new(linked, Roots::Event { message, addressed }))
    }

    /// Parses a definition for a comparison of two files, without a choice of one message: all messages of its file
    /// count. One at the top level that is missing later breaks those who read or write it; one that is new breaks
    /// nobody.
    ///
    /// # Errors
    /// Where it is not a schema, or it is beyond the limits.
    pub fn parse_file(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let linked = link::link(Sources::load(definition, imports)?)?;
        let file = main_file(&linked)?;
        let mut messages = Vec::new();
        let mut enums: Vec<_> = file.enums().collect();
        let mut queue: Vec<_> = file.messages().filter(|it| !it.is_map_entry()).collect();
        while let Some(message) = queue.pop() {
            messages.push(index(&linked.types, &message)?);
            enums.extend(message.child_enums());
            queue.extend(message.child_messages().filter(|it| !it.is_map_entry()));
        }
        messages.sort_unstable();
        let enums = enums.iter().filter_map(|it| linked.types.enum_index(it.full_name())).collect();
        let package = file.package_name().to_owned();
        Ok(Self::new(linked, Roots::File { package, messages, enums }))
    }

    fn new(linked: Linked, roots: Roots) -> Self {
        let form = CanonicalForm::of(&linked.pool, &linked.types, &roots);
        let Linked { pool, types, own, draft_faults, .. } = linked;
        let demands = Demands::of(&types);
        Self { parts: Arc::new(Parts { pool, types, demands, roots, form, draft_faults, own }) }
    }

    /// The rules that only a new definition has to meet: those of protoc, as far as they are not
    /// needed to read it.
    pub fn check(&self) -> Vec<Fault> {
        self.parts.draft_faults.clone()
    }

    /// The form in which the same schemas are the same bytes.
    pub fn canonical(&self) -> Vec<u8> {
        self.parts.form.bytes()
    }

    /// What changed from this schema to a newer one.
    pub fn compare(&self, new: &Self, options: Options) -> Comparison {
        let change = if self.parts.form == new.parts.form {
            Change::None
        } else if self.shared_with(new).alike(&new.shared_with(self)) {
            Change::Unnoticeable
        } else {
            Change::Noticeable
        };
        let mut walk = Walk::new(&self.parts.types, &new.parts.types, options.surface);
        walk.begin(&self.parts.roots, &new.parts.roots);
        let (found, ways) = walk.finish();
        let (old, new) = (self.parts.side(0), new.parts.side(0));
        let findings = Counterexamples::new(old, new, options.surface, &ways).show(found);
        Comparison { change, findings }
    }

    /// The form of what both begin with. A message that only one of two files has is none that the other's readers know.
    fn shared_with(&self, other: &Self) -> Cow<'_, CanonicalForm> {
        let Parts { pool, types, roots, form, .. } = &*self.parts;
        match roots.shared(types, &other.parts.roots, &other.parts.types) {
            Some(shared) => Cow::Owned(CanonicalForm::of(pool, types, &shared)),
            None => Cow::Borrowed(form),
        }
    }

    /// The full name of the event's message. None: the schema is a file of several.
    pub fn message_name(&self) -> Option<&str> {
        Some(self.message()?.name.as_str())
    }

    /// Checks a payload that is JSON.
    ///
    /// # Errors
    /// Where the JSON mapping of the message does not take it.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        self.encode(json).map(drop)
    }

    /// Checks a payload in the binary form. Fields that the schema does not have are fine.
    ///
    /// # Errors
    /// Where it does not decode, or something required is missing.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        let Parts { types, demands, .. } = &*self.parts;
        payload::validate(types, demands, self.event()?, bytes)
    }

    /// Reads a payload in the JSON mapping and writes it in the binary form.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.encode_with(json, &NoMessages)
    }

    /// As [`Schema::encode`], where an Any may hold further messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn encode_with(
        &self,
        json: &str,
        messages: &dyn Messages,
    ) -> Result<Vec<u8>, Vec<Violation>> {
        let Parts { types, demands, .. } = &*self.parts;
        let bytes = encode::encode(types, demands, messages, self.event()?, json)?;
        // What nests in JSON nests deeper in binary.
        self.validate_binary(&bytes)?;
        Ok(bytes)
    }

    /// Shows a payload in the binary form in the JSON mapping.
    ///
    /// # Errors
    /// Where it is not a payload, or has no JSON.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_json_with(bytes, &NoMessages)
    }

    /// As [`Schema::to_json`], where an Any may hold further messages.
    ///
    /// # Errors
    /// Where it is not a payload, or has no JSON.
    pub fn to_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        self.show(bytes, messages, Style::Mapping)
    }

    /// Shows a payload in the binary form as JSON whose integers are numbers, and that has the fields without presence,
    /// whatever they hold.
    ///
    /// # Errors
    /// Where it is not a payload, has no JSON, or one of more than 8 MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_plain_json_with(bytes, &NoMessages)
    }

    /// As [`Schema::to_plain_json`], where an Any may hold further messages.
    ///
    /// # Errors
    /// Where it is not a payload, or has no JSON.
    pub fn to_plain_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        self.show(bytes, messages, Style::Plain)
    }

    fn show(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
        style: Style,
    ) -> Result<String, Vec<Violation>> {
        shown::show(&self.parts.types, messages, self.event()?, bytes, style).map_err(|it| vec![it])
    }

    /// Whether a message of this full name is declared in the files of the definition itself, and
    /// not in an import.
    pub fn declares(&self, message: &str) -> bool {
        let Parts { pool, own, .. } = &*self.parts;
        pool.get_message_by_name(message)
            .is_some_and(|it| own.iter().any(|own| own == it.parent_file().name()))
    }

    /// A payload of this schema as one of another.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        let converted = convert::convert(self.side()?, reader.side()?, bytes)?;
        reader.validate_binary(converted.as_deref().unwrap_or(bytes))?;
        Ok(converted)
    }

    /// The short way to a version that differs by fields alone. None: the two differ by more.
    pub(crate) fn short_way(&self, reader: &Self) -> Option<ShortWay> {
        ShortWay::between(self.side().ok()?, reader.side().ok()?)
    }

    fn side(&self) -> Result<Side<'_>, Vec<Violation>> {
        Ok(self.parts.side(self.event()?))
    }

    /// The index of the event's message.
    fn event(&self) -> Result<usize, Vec<Violation>> {
        match &self.parts.roots {
            Roots::Event { message, .. } => Ok(*message),
            Roots::File { .. } => Err(several()),
        }
    }

    fn message(&self) -> Option<&types::Message> {
        match &self.parts.roots {
            Roots::Event { message, .. } => self.parts.types.message(*message),
            Roots::File { .. } => None,
        }
    }

    /// The descriptor of the event's message.
    ///
    /// # Errors
    /// Where the schema is a file of several messages.
    pub fn descriptor(&self) -> Result<MessageDescriptor, Vec<Violation>> {
        let message = self.message().and_then(|it| self.parts.pool.get_message_by_name(&it.name));
        message.ok_or_else(several)
    }
}

fn several() -> Vec<Violation> {
    let message = "the schema is a file of several messages; name the one that the payload is";
    vec![Violation { path: String::new(), message: message.to_owned() }]
}

/// The full names of the top-level messages of a definition's file, in its order.
///
/// # Errors
/// Where it is not a schema, or it is beyond the limits.
pub fn messages(definition: &Definition, imports: &[Import]) -> Result<Vec<String>, InvalidSchema> {
    let linked = link::link(Sources::load(definition, imports)?)?;
    Ok(main_file(&linked)?.messages().map(|it| it.full_name().to_owned()).collect())
}

/// What `new` brings back as something else: numbers and names that had a meaning in a version of its major line.
/// `history` has all versions of the line, oldest first.
pub fn ledger(history: &[&Schema], new: &Schema, options: Options) -> Vec<Finding> {
    let history: Vec<_> = history.iter().map(|it| (&it.parts.types, &it.parts.roots)).collect();
    ledger::ledger(&history, (&new.parts.types, &new.parts.roots), options.surface)
}

/// Without the descriptors: those of a type that contains itself print themselves for ever.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = &self.parts.types;
        let names = self.parts.roots.messages().iter().filter_map(|it| types.message(*it));
        f.debug_tuple("Schema").field(&names.map(|it| &it.name).collect::<Vec<_>>()).finish()
    }
}

fn main_file(linked: &Linked) -> Result<FileDescriptor, InvalidSchema> {
    let file = linked.pool.get_file_by_name(&linked.main);
    file.ok_or_else(|| InvalidSchema::new("the definition has no files"))
}

fn index(types: &Types, message: &MessageDescriptor) -> Result<usize, InvalidSchema> {
    let index = types.message_index(message.full_name());
    index.ok_or_else(|| InvalidSchema::new(format!("{} is not linked", message.full_name())))
}

/// Chooses the event's message.
fn choose(linked: &Linked, subject: &str, name: &str) -> Result<MessageDescriptor, InvalidSchema> {
    let file = main_file(linked)?;
    let message = |name: &str| {
        let message = linked.pool.get_message_by_name(name)?;
        (!message.is_map_entry()).then_some(message)
    };
    let own = |message: &MessageDescriptor| {
        linked.own.iter().any(|it| it == message.parent_file().name())
    };
    let candidates: Vec<String> = file.messages().map(|it| it.full_name().to_owned()).collect();
    if !name.is_empty() {
        return message(name).ok_or_else(|| {
            let nearest = nearest(name, &candidates)
                .map(|it| format!("did you mean {it}? "))
                .unwrap_or_default();
            InvalidSchema::new(format!(
                "the message {name:?} is not there; {nearest}The file defines {}",
                listed(&candidates)
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
            let nearest = nearest(subject, &candidates)
                .map(|it| format!(" {it} is nearest to the subject."))
                .unwrap_or_default();
            Err(InvalidSchema::new(format!(
                "which message is the event? The file defines {}, and none of them is called {subject:?} as the subject \
                 is.{nearest} Set message_name",
                listed(&candidates)
            )))
        }
    }
}

/// The candidate that a name may be a slip of.
fn nearest<'a>(name: &str, candidates: &'a [String]) -> Option<&'a String> {
    // The distance costs the product of the lengths.
    let names = candidates.iter().filter(|it| it.len() <= 200 && name.len() <= 200).take(100);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    names
        .map(|it| {
            let whole = strsim::damerau_levenshtein(name, it);
            (whole.min(strsim::damerau_levenshtein(&last(name), &last(it)) + 1), it)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, it)| it)
}

fn listed(candidates: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match candidates.len() {
        0 => "no message".to_owned(),
        count if count > SHOWN => format!("{shown} and {} more", count - SHOWN),
        _ => shown,
    }
}
