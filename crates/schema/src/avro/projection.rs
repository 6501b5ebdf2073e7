//! The fast path of a conversion: if two schemas differ only by fields that one of them lacks,
//! spans of the payload are copied, without the dropped fields and with defaults inserted.
//!
//! The result needs no validation. The payload was validated against the writer's schema when it
//! was published, the copied spans have the same meaning in the reader's schema, and the defaults
//! were checked when the projection was built.

use std::collections::HashMap;

use super::{
    convert::default_bytes,
    cursor::{Cursor, write_long},
    limits::{CONVERTED_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_VALUES_MAX},
    model::{Kind, Model, Record, TypeId},
    primitive::Primitive,
    resolve::{choose_branch, match_names, sources},
};

/// A projection of payloads from a writer's schema to a reader's.
#[derive(Debug)]
pub(crate) struct Projection {
    /// The first node is the root.
    nodes: Vec<Node>,
}

/// The binary layout of a value.
#[derive(Debug)]
enum Node {
    /// A number of bytes.
    Fixed(usize),
    /// A variable-length number, or the index of a symbol.
    Number,
    /// Bytes that follow their length.
    LengthPrefixed,
    /// Blocks of items, or of map entries.
    Blocks { item: usize, map: bool },
    /// The index of a branch, and a value of the branch.
    Union(Vec<usize>),
    /// Fields in sequence.
    Record(Vec<FieldAction>),
}

#[derive(Debug)]
enum FieldAction {
    /// Copies the field, converted by its node.
    Keep(usize),
    /// Skips the field.
    Drop(usize),
    /// Inserts the bytes of a default, or of the index of a branch.
    Insert(Vec<u8>),
}

/// Builds the nodes of a projection.
struct Builder<'m> {
    writer: &'m Model,
    reader: &'m Model,
    nodes: Vec<Node>,
    /// The nodes of pairs of a writer's and a reader's type. A dropped type has no reader's type.
    node_ids: HashMap<(TypeId, Option<TypeId>), usize>,
    /// Pairs whose nodes are placeholders.
    pending: Vec<(TypeId, Option<TypeId>)>,
}

impl Builder<'_> {
    fn node_id(&mut self, from: TypeId, to: Option<TypeId>) -> usize {
        *self.node_ids.entry((from, to)).or_insert_with(|| {
            self.pending.push((from, to));
            self.nodes.push(Node::Fixed(0));
            self.nodes.len() - 1
        })
    }

    fn build(&mut self, from: TypeId, to: Option<TypeId>) -> Option<Node> {
        let (writer, reader) = (self.writer, self.reader);
        let source = writer.get(from);
        let target = to.map(|to| reader.get(to));
        // If only the reader's type is a union, the index of its branch is inserted.
        if let (Some(Kind::Union(branches)), false) =
            (target.map(|target| &target.kind), matches!(source.kind, Kind::Union(_)))
        {
            let branch = choose_branch(source, reader, branches)?.best;
            let index = branches.iter().position(|id| *id == branch)?;
            let mut bytes = Vec::new();
            write_long(i64::try_from(index).ok()?, &mut bytes);
            return Some(Node::Record(vec![
                FieldAction::Insert(bytes),
                FieldAction::Keep(self.node_id(from, Some(branch))),
            ]));
        }
        if target.is_some_and(|target| target.logical != source.logical) {
            return None;
        }
        match (&source.kind, target.map(|target| &target.kind)) {
            (Kind::Primitive(written), Some(Kind::Primitive(read))) if written != read => None,
            (Kind::Primitive(primitive), None | Some(Kind::Primitive(_))) => {
                Some(match primitive {
                    Primitive::Null => Node::Fixed(0),
                    Primitive::Boolean => Node::Fixed(1),
                    Primitive::Float => Node::Fixed(4),
                    Primitive::Double => Node::Fixed(8),
                    Primitive::Int | Primitive::Long => Node::Number,
                    Primitive::Bytes | Primitive::String => Node::LengthPrefixed,
                })
            }
            (Kind::Array(item), None) => {
                Some(Node::Blocks { item: self.node_id(*item, None), map: false })
            }
            (Kind::Map(item), None) => {
                Some(Node::Blocks { item: self.node_id(*item, None), map: true })
            }
            (Kind::Array(item), Some(Kind::Array(read))) => {
                Some(Node::Blocks { item: self.node_id(*item, Some(*read)), map: false })
            }
            (Kind::Map(item), Some(Kind::Map(read))) => {
                Some(Node::Blocks { item: self.node_id(*item, Some(*read)), map: true })
            }
            (Kind::Union(branches), None) => Some(Node::Union(
                branches.iter().map(|branch| self.node_id(*branch, None)).collect(),
            )),
            (Kind::Union(written), Some(Kind::Union(read))) => {
                if read.len() < written.len() {
                    return None;
                }
                let mut branches = Vec::with_capacity(written.len());
                for (from, to) in written.iter().zip(read) {
                    if choose_branch(writer.get(*from), reader, read)?.best != *to {
                        return None;
                    }
                    branches.push(self.node_id(*from, Some(*to)));
                }
                Some(Node::Union(branches))
            }
            (Kind::Enum(_), None) => Some(Node::Number),
            (Kind::Enum(written), Some(Kind::Enum(read))) => {
                match_names(source, target?)?;
                read.symbols.starts_with(&written.symbols).then_some(Node::Number)
            }
            (Kind::Fixed(fixed), None) => Some(Node::Fixed(usize::try_from(fixed.size).ok()?)),
            (Kind::Fixed(fixed), Some(Kind::Fixed(read))) => {
                match_names(source, target?)?;
                let size = usize::try_from(fixed.size).ok()?;
                (fixed.size == read.size).then_some(Node::Fixed(size))
            }
            (Kind::Record(record), None) => {
                let actions = record
                    .fields
                    .iter()
                    .map(|field| FieldAction::Keep(self.node_id(field.type_id, None)));
                Some(Node::Record(actions.collect()))
            }
            (Kind::Record(record), Some(Kind::Record(read))) => {
                match_names(source, target?)?;
                self.field_actions(record, to?, read).map(Node::Record)
            }
            _ => None,
        }
    }

    /// The actions that turn a written record into a read one. Returns `None` if the kept fields
    /// are in another order, or a field matches several written fields.
    fn field_actions(
        &mut self,
        written: &Record,
        id: TypeId,
        read: &Record,
    ) -> Option<Vec<FieldAction>> {
        let mut actions = Vec::new();
        let mut rest = written.fields.iter().enumerate();
        let mut next = 0;
        for (index, field) in read.fields.iter().enumerate() {
            match sources(field, written).as_slice() {
                [] => actions.push(FieldAction::Insert(default_bytes(self.reader, (id, index))?)),
                [source] if *source >= next => {
                    next = source + 1;
                    for (position, written_field) in rest.by_ref() {
                        if position == *source {
                            let node = self.node_id(written_field.type_id, Some(field.type_id));
                            actions.push(FieldAction::Keep(node));
                            break;
                        }
                        actions.push(FieldAction::Drop(self.node_id(written_field.type_id, None)));
                    }
                }
                _ => return None,
            }
        }
        actions.extend(
            rest.map(|(_, dropped)| FieldAction::Drop(self.node_id(dropped.type_id, None))),
        );
        Some(actions)
    }
}

impl Projection {
    /// Builds the projection between two schemas. Returns `None` if they differ by more than
    /// fields.
    pub(super) fn between(writer: &Model, reader: &Model) -> Option<Self> {
        let mut builder = Builder {
            writer,
            reader,
            nodes: Vec::new(),
            node_ids: HashMap::new(),
            pending: Vec::new(),
        };
        builder.node_id(writer.root, Some(reader.root));
        while let Some(pair) = builder.pending.pop() {
            let node = builder.build(pair.0, pair.1)?;
            let id = *builder.node_ids.get(&pair)?;
            *builder.nodes.get_mut(id)? = node;
        }
        Some(Self { nodes: builder.nodes })
    }

    /// Appends the projection of a payload to `out`. Returns false, and appends nothing, if the
    /// payload is already valid for the reader's schema. Returns `None` if only a full conversion
    /// can decide.
    pub(crate) fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let start = out.len();
        let mut copier = Copier {
            nodes: &self.nodes,
            bytes,
            cursor: Cursor::new(bytes),
            copied_to: 0,
            start,
            out,
            edits: 0,
            values: 0,
        };
        copier.value(0, 0)?;
        if copier.cursor.remaining() > 0 {
            return None;
        }
        if copier.edits > 0 {
            copier.flush()?;
        }
        let changed = copier.edits > 0 && out[start..] != *bytes;
        if !changed {
            out.truncate(start);
        }
        Some(changed)
    }
}

/// Copies a payload.
struct Copier<'c> {
    nodes: &'c [Node],
    bytes: &'c [u8],
    cursor: Cursor<'c>,
    /// The end of the part that is copied or dropped.
    copied_to: usize,
    start: usize,
    out: &'c mut Vec<u8>,
    edits: usize,
    values: u64,
}

impl Copier<'_> {
    /// Copies the payload up to the cursor.
    fn flush(&mut self) -> Option<()> {
        self.out.extend_from_slice(self.bytes.get(self.copied_to..self.cursor.position())?);
        self.copied_to = self.cursor.position();
        (self.out.len() - self.start <= CONVERTED_BYTES_MAX).then_some(())
    }

    /// Reads a value. Recurses as deep as values may nest.
    fn value(&mut self, node: usize, depth: usize) -> Option<()> {
        let nodes = self.nodes;
        match nodes.get(node)? {
            Node::Fixed(0) => {}
            Node::Fixed(size) => drop(self.cursor.take(*size).ok()?),
            Node::Number => drop(self.cursor.long().ok()?),
            Node::LengthPrefixed => drop(self.cursor.length_prefixed().ok()?),
            _ if depth >= 2 * PAYLOAD_DEPTH_MAX => return None,
            Node::Union(branches) => {
                let branch = *self.cursor.index(branches, "").ok()?;
                self.value(branch, depth + 1)?;
            }
            Node::Blocks { item, map } => loop {
                let (count, end) = self.cursor.block().ok()?;
                if count == 0 {
                    break;
                }
                self.values += count;
                if self.values > PAYLOAD_VALUES_MAX {
                    return None;
                }
                let edits = self.edits;
                for _ in 0..count {
                    if *map {
                        self.cursor.length_prefixed().ok()?;
                    }
                    self.value(*item, depth + 1)?;
                }
                // The size of the block is no longer right.
                if end.is_some() && self.edits > edits {
                    return None;
                }
            },
            Node::Record(actions) => {
                for action in actions {
                    match action {
                        FieldAction::Keep(node) => self.value(*node, depth + 1)?,
                        FieldAction::Drop(node) => {
                            self.flush()?;
                            self.value(*node, depth + 1)?;
                            self.edits += 1;
                            self.copied_to = self.cursor.position();
                        }
                        FieldAction::Insert(bytes) => {
                            self.flush()?;
                            self.out.extend_from_slice(bytes);
                            self.edits += 1;
                        }
                    }
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        avro::{Projection, Schema},
        definition::Definition,
    };

    fn projection(writer: &str, reader: &str) -> Option<Projection> {
        let parse = |text: &str| Schema::parse(&Definition::text(text), &[]).expect("a schema");
        parse(writer).projection(&parse(reader))
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#)
    }

    fn list(item: &str) -> String {
        format!(r#"{{"type": "array", "items": {item}}}"#)
    }

    const A: &str = r#"{"name": "a", "type": "int"}"#;
    const B: &str = r#"{"name": "b", "type": "string"}"#;
    const C: &str = r#"{"name": "c", "type": "string", "default": "x"}"#;
    const OPTIONAL_A: &str = r#"{"name": "a", "type": ["null", "int"]}"#;

    #[test]
    fn fields_are_dropped_and_defaults_inserted() {
        let (a, ab) = (record(A), record(&format!("{A}, {B}")));
        let (ac, optional) = (record(&format!("{A}, {C}")), record(OPTIONAL_A));
        // 6 encodes 3; 4 encodes the length 2.
        let written = [6, 4, b'h', b'i'];
        for (writer, reader, payload, expected) in [
            (&ab, &a, &written[..], Some(&[6][..])),
            (&a, &ab.replace("\"string\"", "\"string\", \"default\": \"\""), &[6], Some(&[6, 0])),
            (&a, &ac, &[6], Some(&[6, 2, b'x'])),
            (&ab, &ac, &written, Some(&[6, 2, b'x'])),
            (&a, &optional, &[6], Some(&[2, 6])),
            (&ab, &record(B), &written, Some(&[4, b'h', b'i'])),
            (&ab, &ab, &written, None),
            (&list(&ab), &list(&a), &[4, 6, 0, 8, 2, b'h', 0], Some(&[4, 6, 8, 0])),
            (&list(&a), &list(&a), &[3, 4, 6, 8, 0], None),
        ] {
            let mut out = b"before".to_vec();
            let changed = projection(writer, reader)
                .and_then(|projection| projection.apply(payload, &mut out));
            assert_eq!(changed, Some(expected.is_some()), "{writer} {reader}");
            assert_eq!(
                out,
                [b"before", expected.unwrap_or_default()].concat(),
                "{writer} {reader}"
            );
        }
    }

    #[test]
    fn a_projection_is_declined_if_more_than_fields_differ() {
        let (a, ab) = (record(A), record(&format!("{A}, {B}")));
        for (writer, reader) in [
            (&ab, &record(&format!("{B}, {A}"))),
            (&a, &a.replace("int", "long")),
            (&a, &record(B)),
            (&record(OPTIONAL_A), &a),
        ] {
            assert!(projection(writer, reader).is_none(), "{writer} {reader}");
        }
        let narrow = projection(&list(&ab), &list(&a)).expect("a projection");
        for payload in [
            // A block with a size that would change; a truncated block; bytes after the value.
            &[1, 4, 6, 0, 0][..],
            &[2, 6],
            &[0, 0],
        ] {
            assert_eq!(narrow.apply(payload, &mut Vec::new()), None, "{payload:?}");
        }
    }
}
