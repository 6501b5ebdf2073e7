//! The fast conversion between two versions whose messages differ only in added and removed fields:
//! copies the encoded fields that the reader declares.
//!
//! The result needs no validation. The payload was validated with the writer's schema when it was
//! published, and the remaining fields have the same meaning in the reader's schema.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    convert::SchemaView,
    scalar::Layout,
    types::{Cardinality, Enum, Field, Kind, Message, json_form},
    wire_format::{DEPTH_MAX, WireReader, WireToken, put_length, put_tag},
};

/// The wire type of length-delimited values.
const DELIMITED: u8 = 2;

/// The actions for the fields of one message.
#[derive(Debug, Default)]
struct MessageProjection {
    /// Actions by field number. Fields that neither message declares are dropped.
    fields: BTreeMap<u32, FieldAction>,
}

#[derive(Debug)]
enum FieldAction {
    /// Copy the field.
    Keep,
    /// Project the nested message with the projection at this index.
    Nested(usize),
    /// Copy the enum if the reader has a name for the number.
    EnumNumber(BTreeSet<i32>),
    /// Drop the field.
    Drop,
    /// Fall back to the full conversion.
    Fallback,
}

/// The projections of all messages that an event contains.
#[derive(Debug)]
pub(crate) struct Projection {
    messages: Vec<MessageProjection>,
}

impl Projection {
    /// `None` if the versions differ in more than added and removed fields.
    pub(super) fn between(writer: SchemaView<'_>, reader: SchemaView<'_>) -> Option<Self> {
        let mut projection = Self { messages: Vec::new() };
        let mut indices = HashMap::new();
        projection.add_message(writer, reader, (writer.root, reader.root), &mut indices)?;
        Some(projection)
    }

    fn add_message(
        &mut self,
        writer: SchemaView<'_>,
        reader: SchemaView<'_>,
        root: (usize, usize),
        indices: &mut HashMap<(usize, usize), usize>,
    ) -> Option<usize> {
        indices.insert(root, 0);
        self.messages.push(MessageProjection::default());
        let mut queue = vec![root];
        while let Some(pair) = queue.pop() {
            let (source, target) = (writer.types.message(pair.0)?, reader.types.message(pair.1)?);
            let has_plain_defaults =
                |view: SchemaView<'_>, at| view.tables.get(at).defaults.is_empty();
            if !same_shape(source, target)
                || !has_plain_defaults(writer, pair.0)
                || !has_plain_defaults(reader, pair.1)
            {
                return None;
            }
            let mut projection = MessageProjection::default();
            for (number, read) in &target.fields {
                let Some(written) = source.fields.get(number) else {
                    if read.cardinality == Cardinality::Required {
                        return None;
                    }
                    projection.fields.insert(*number, FieldAction::Fallback);
                    continue;
                };
                let action = match (written.kind, read.kind) {
                    _ if !same_encoding(written, read) => return None,
                    (Kind::Scalar(from), Kind::Scalar(to)) if from == to => FieldAction::Keep,
                    (Kind::Enum(from), Kind::Enum(to)) => {
                        let (from, to) =
                            (writer.types.enumeration(from)?, reader.types.enumeration(to)?);
                        enum_action(from, to, read)?
                    }
                    (Kind::Message(from), Kind::Message(to)) => {
                        let next = self.messages.len();
                        let at = *indices.entry((from, to)).or_insert(next);
                        if at == next {
                            self.messages.push(MessageProjection::default());
                            queue.push((from, to));
                        }
                        FieldAction::Nested(at)
                    }
                    _ => return None,
                };
                projection.fields.insert(*number, action);
            }
            for (number, written) in &source.fields {
                if !target.fields.contains_key(number) {
                    // Dropping the last member of a oneof would set an earlier member.
                    let action = if written.oneof.is_some() {
                        FieldAction::Fallback
                    } else {
                        FieldAction::Drop
                    };
                    projection.fields.insert(*number, action);
                }
            }
            let at = *indices.get(&pair)?;
            *self.messages.get_mut(at)? = projection;
        }
        Some(0)
    }

    /// Writes the payload without the fields that the reader does not declare. Returns `false`, and
    /// writes nothing, if there are none. `None` if the payload needs the full conversion.
    pub(crate) fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let start = out.len();
        let changed = self.message(0, bytes, 0, out)?;
        if !changed {
            out.truncate(start);
        }
        Some(changed)
    }

    /// Returns whether a field was dropped. `None` if the payload needs the full conversion.
    fn message(
        &self,
        projection: usize,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        let projection = self.messages.get(projection)?;
        let mut reader = WireReader::new(bytes);
        let mut changed = false;
        // Consecutive kept fields are copied at once. `copied` is the end of the bytes handled so
        // far.
        let mut copied = 0;
        while !reader.is_at_end() {
            let from = reader.at();
            let (number, token) = reader.field().ok()?;
            if matches!(token, WireToken::GroupStart | WireToken::GroupEnd) {
                return None;
            }
            match projection.fields.get(&number) {
                Some(FieldAction::Keep) => {}
                Some(FieldAction::EnumNumber(known_numbers)) => {
                    let WireToken::Varint(value) = token else { return None };
                    // An enum is encoded as a sign-extended 64-bit number.
                    #[expect(clippy::cast_possible_truncation, reason = "as decoders read it")]
                    let value = value as i32;
                    if !known_numbers.contains(&value) {
                        return None;
                    }
                }
                Some(FieldAction::Nested(inner)) => {
                    let WireToken::Delimited(body) = token else { return None };
                    let out_start = out.len();
                    out.extend_from_slice(reader.between(copied, from));
                    put_tag(number, DELIMITED, out);
                    let start = out.len();
                    if self.message(*inner, body, depth + 1, out)? {
                        put_length(start, out);
                        copied = reader.at();
                        changed = true;
                    } else {
                        out.truncate(out_start);
                    }
                }
                Some(FieldAction::Fallback) => return None,
                Some(FieldAction::Drop) | None => {
                    changed = true;
                    out.extend_from_slice(reader.between(copied, from));
                    copied = reader.at();
                }
            }
        }
        out.extend_from_slice(reader.between(copied, bytes.len()));
        Some(changed)
    }
}

fn same_shape(source: &Message, target: &Message) -> bool {
    json_form(&source.name) == json_form(&target.name)
        && !source.message_set
        && !target.message_set
        && source.map_entry == target.map_entry
}

/// Whether two fields encode their values in the same way.
fn same_encoding(written: &Field, read: &Field) -> bool {
    written.cardinality == read.cardinality
        && written.oneof == read.oneof
        && written.utf8 == read.utf8
        && written.extension == read.extension
        && written.kind.layout() == read.kind.layout()
        && written.default == read.default
}

/// The action for an enum field. `None` if the enums are not compatible.
fn enum_action(from: &Enum, to: &Enum, read: &Field) -> Option<FieldAction> {
    if from.closed != to.closed || from.first != to.first || read.kind.layout() != Layout::Varint {
        return None;
    }
    // The numbers of a list may be packed.
    if !read.cardinality.singular() {
        return Some(FieldAction::Fallback);
    }
    Some(FieldAction::EnumNumber(to.values.keys().copied().collect()))
}
