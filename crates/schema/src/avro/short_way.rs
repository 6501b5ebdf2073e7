//! The short way from a version to another: where two schemas differ by fields that one of them does not have, a payload is
//! copied in spans, between the fields that go and the defaults that come.
//!
//! What comes out needs no check. It was checked against the writer's schema when it was published, what is left of it means
//! the same in the reader's, and the defaults were checked when the way was found.

use std::collections::HashMap;

use super::{
    binary::{DEPTH_MAX, VALUES_MAX},
    convert::{BYTES_MAX, default_bytes, write_long},
    cursor::Cursor,
    model::{Kind, Model, Primitive, Record, TypeId},
    resolve::{choose, same_name, sources},
};

/// What becomes of the values of two schemas.
#[derive(Debug)]
pub(crate) struct ShortWay {
    /// The first is the root.
    nodes: Vec<Node>,
}

/// A value, by how it lies in the bytes.
#[derive(Debug)]
enum Node {
    /// So many bytes.
    Fixed(usize),
    /// A number, or the index of a symbol.
    Number,
    /// Bytes behind their length.
    Sized,
    /// Blocks of items, or of entries of a map.
    Blocks { item: usize, map: bool },
    /// The index of a branch, and a value of it.
    Union(Vec<usize>),
    /// One part behind the other.
    Record(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Stays(usize),
    Goes(usize),
    /// These bytes, which the payload does not have.
    Comes(Vec<u8>),
}

/// Finds the nodes of two models.
struct Search<'m> {
    writer: &'m Model,
    reader: &'m Model,
    nodes: Vec<Node>,
    /// A writer's type as a reader's, or as nothing.
    known: HashMap<(TypeId, Option<TypeId>), usize>,
    /// Those whose node is not there yet.
    open: Vec<(TypeId, Option<TypeId>)>,
}

impl Search<'_> {
    fn id(&mut self, from: TypeId, to: Option<TypeId>) -> usize {
        *self.known.entry((from, to)).or_insert_with(|| {
            self.open.push((from, to));
            self.nodes.push(Node::Fixed(0));
            self.nodes.len() - 1
        })
    }

    fn node(&mut self, from: TypeId, to: Option<TypeId>) -> Option<Node> {
        let (writer, reader) = (self.writer, self.reader);
        let source = writer.get(from);
        let target = to.map(|it| reader.get(it));
        // Where only one is a union, the index of the branch comes.
        if let (Some(Kind::Union(branches)), false) =
            (target.map(|it| &it.kind), matches!(source.kind, Kind::Union(_)))
        {
            let taken = choose(source, reader, branches)?.taken;
            let index = branches.iter().position(|it| *it == taken)?;
            let mut bytes = Vec::new();
            write_long(i64::try_from(index).ok()?, &mut bytes);
            return Some(Node::Record(vec![
                Part::Comes(bytes),
                Part::Stays(self.id(from, Some(taken))),
            ]));
        }
        if target.is_some_and(|it| it.logical != source.logical) {
            return None;
        }
        match (&source.kind, target.map(|it| &it.kind)) {
            (Kind::Primitive(_), Some(Kind::Primitive(target))) if !matches!(&source.kind, Kind::Primitive(source) if source == target) => {
                None
            }
            (Kind::Primitive(primitive), None | Some(Kind::Primitive(_))) => {
                Some(match primitive {
                    Primitive::Null => Node::Fixed(0),
                    Primitive::Boolean => Node::Fixed(1),
                    Primitive::Float => Node::Fixed(4),
                    Primitive::Double => Node::Fixed(8),
                    Primitive::Int | Primitive::Long => Node::Number,
                    Primitive::Bytes | Primitive::String => Node::Sized,
                })
            }
            (Kind::Array(item), None) => {
                Some(Node::Blocks { item: self.id(*item, None), map: false })
            }
            (Kind::Map(item), None) => Some(Node::Blocks { item: self.id(*item, None), map: true }),
            (Kind::Array(item), Some(Kind::Array(read))) => {
                Some(Node::Blocks { item: self.id(*item, Some(*read)), map: false })
            }
            (Kind::Map(item), Some(Kind::Map(read))) => {
                Some(Node::Blocks { item: self.id(*item, Some(*read)), map: true })
            }
            (Kind::Union(branches), None) => {
                Some(Node::Union(branches.iter().map(|it| self.id(*it, None)).collect()))
            }
            (Kind::Union(written), Some(Kind::Union(read))) => {
                if read.len() < written.len() {
                    return None;
                }
                let mut branches = Vec::with_capacity(written.len());
                for (from, to) in written.iter().zip(read) {
                    if choose(writer.get(*from), reader, read)?.taken != *to {
                        return None;
                    }
                    branches.push(self.id(*from, Some(*to)));
                }
                Some(Node::Union(branches))
            }
            (Kind::Enum(_), None) => Some(Node::Number),
            (Kind::Enum(written), Some(Kind::Enum(read))) => {
                same_name(source, target?)?;
                read.symbols.starts_with(&written.symbols).then_some(Node::Number)
            }
            (Kind::Fixed(fixed), None) => Some(Node::Fixed(usize::try_from(fixed.size).ok()?)),
            (Kind::Fixed(fixed), Some(Kind::Fixed(read))) => {
                same_name(source, target?)?;
                let size = usize::try_from(fixed.size).ok()?;
                (fixed.size == read.size).then_some(Node::Fixed(size))
            }
            (Kind::Record(record), None) => {
                let fields = record.fields.iter().map(|it| Part::Stays(self.id(it.of, None)));
                Some(Node::Record(fields.collect()))
            }
            (Kind::Record(record), Some(Kind::Record(read))) => {
                same_name(source, target?)?;
                self.parts(record, to?, read).map(Node::Record)
            }
            _ => None,
        }
    }

    /// None: the fields that stay are in another order, or it is not plain which they are.
    fn parts(&mut self, written: &Record, id: TypeId, read: &Record) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut rest = written.fields.iter().enumerate();
        let mut next = 0;
        for (index, field) in read.fields.iter().enumerate() {
            match sources(field, written).as_slice() {
                [] => parts.push(Part::Comes(default_bytes(self.reader, (id, index))?)),
                [source] if *source >= next => {
                    next = source + 1;
                    for (at, gone) in rest.by_ref() {
                        if at == *source {
                            parts.push(Part::Stays(self.id(gone.of, Some(field.of))));
                            break;
                        }
                        parts.push(Part::Goes(self.id(gone.of, None)));
                    }
                }
                _ => return None,
            }
        }
        parts.extend(rest.map(|(_, gone)| Part::Goes(self.id(gone.of, None))));
        Some(parts)
    }
}

impl ShortWay {
    /// None: the two differ by more.
    pub(super) fn between(writer: &Model, reader: &Model) -> Option<Self> {
        let mut search =
            Search { writer, reader, nodes: Vec::new(), known: HashMap::new(), open: Vec::new() };
        search.id(writer.root, Some(reader.root));
        while let Some(pair) = search.open.pop() {
            let node = search.node(pair.0, pair.1)?;
            let at = *search.known.get(&pair)?;
            *search.nodes.get_mut(at)? = node;
        }
        Some(Self { nodes: search.nodes })
    }

    /// Writes a payload of the writer's behind what is in `out`. False: it is one of the reader's as it is, and nothing is
    /// written. None: only the long way tells.
    pub(crate) fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let start = out.len();
        let mut copy = Copy {
            nodes: &self.nodes,
            bytes,
            cursor: Cursor::new(bytes),
            copied: 0,
            start,
            out,
            edits: 0,
            values: 0,
        };
        copy.value(0, 0)?;
        if copy.cursor.left() > 0 {
            return None;
        }
        if copy.edits > 0 {
            copy.flush()?;
        }
        let changed = copy.edits > 0 && out[start..] != *bytes;
        if !changed {
            out.truncate(start);
        }
        Some(changed)
    }
}

/// A payload on its way.
struct Copy<'c> {
    nodes: &'c [Node],
    bytes: &'c [u8],
    cursor: Cursor<'c>,
    /// How far the payload is copied, or left out.
    copied: usize,
    start: usize,
    out: &'c mut Vec<u8>,
    edits: usize,
    values: u64,
}

impl Copy<'_> {
    /// Copies up to where the payload is read.
    fn flush(&mut self) -> Option<()> {
        self.out.extend_from_slice(self.bytes.get(self.copied..self.cursor.at())?);
        self.copied = self.cursor.at();
        (self.out.len() - self.start <= BYTES_MAX).then_some(())
    }

    /// Reads over a value. Recurses as deep as values may nest.
    fn value(&mut self, node: usize, depth: usize) -> Option<()> {
        let nodes = self.nodes;
        match nodes.get(node)? {
            Node::Fixed(0) => {}
            Node::Fixed(size) => drop(self.cursor.take(*size).ok()?),
            Node::Number => drop(self.cursor.long().ok()?),
            Node::Sized => drop(self.cursor.sized().ok()?),
            _ if depth >= 2 * DEPTH_MAX => return None,
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
                if self.values > VALUES_MAX {
                    return None;
                }
                let before = self.edits;
                for _ in 0..count {
                    if *map {
                        self.cursor.sized().ok()?;
                    }
                    self.value(*item, depth + 1)?;
                }
                // It says how long it is, and is as long no more.
                if end.is_some() && self.edits > before {
                    return None;
                }
            },
            Node::Record(parts) => {
                for part in parts {
                    match part {
                        Part::Stays(node) => self.value(*node, depth + 1)?,
                        Part::Goes(node) => {
                            self.flush()?;
                            self.value(*node, depth + 1)?;
                            self.edits += 1;
                            self.copied = self.cursor.at();
                        }
                        Part::Comes(bytes) => {
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
        avro::{Schema, ShortWay},
        definition::Definition,
    };

    fn way(writer: &str, reader: &str) -> Option<ShortWay> {
        let parse = |text: &str| Schema::parse(&Definition::text(text), &[]).expect("a schema");
        parse(writer).short_way(&parse(reader))
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
    const MAYBE_A: &str = r#"{"name": "a", "type": ["null", "int"]}"#;

    #[test]
    fn spans_are_copied_between_what_goes_and_what_comes() {
        let (a, ab) = (record(A), record(&format!("{A}, {B}")));
        let (ac, maybe) = (record(&format!("{A}, {C}")), record(MAYBE_A));
        // 6 is 3, 4 the length of two letters.
        let written = [6, 4, b'h', b'i'];
        for (writer, reader, payload, expected) in [
            (&ab, &a, &written[..], Some(&[6][..])),
            (&a, &ab.replace("\"string\"", "\"string\", \"default\": \"\""), &[6], Some(&[6, 0])),
            (&a, &ac, &[6], Some(&[6, 2, b'x'])),
            (&ab, &ac, &written, Some(&[6, 2, b'x'])),
            (&a, &maybe, &[6], Some(&[2, 6])),
            (&ab, &record(B), &written, Some(&[4, b'h', b'i'])),
            (&ab, &ab, &written, None),
            (&list(&ab), &list(&a), &[4, 6, 0, 8, 2, b'h', 0], Some(&[4, 6, 8, 0])),
            (&list(&a), &list(&a), &[3, 4, 6, 8, 0], None),
        ] {
            let mut out = b"before".to_vec();
            let changed = way(writer, reader).and_then(|it| it.apply(payload, &mut out));
            assert_eq!(changed, Some(expected.is_some()), "{writer} {reader}");
            assert_eq!(
                out,
                [b"before", expected.unwrap_or_default()].concat(),
                "{writer} {reader}"
            );
        }
    }

    #[test]
    fn only_the_long_way_tells_what_is_not_as_it_lies() {
        let (a, ab) = (record(A), record(&format!("{A}, {B}")));
        for (writer, reader) in [
            (&ab, &record(&format!("{B}, {A}"))),
            (&a, &a.replace("int", "long")),
            (&a, &record(B)),
            (&record(MAYBE_A), &a),
        ] {
            assert!(way(writer, reader).is_none(), "{writer} {reader}");
        }
        let narrow = way(&list(&ab), &list(&a)).expect("a way");
        for payload in [
            // A block that says how long it is, and would be as long no more; one that ends too soon; and more behind it.
            &[1, 4, 6, 0, 0][..],
            &[2, 6],
            &[0, 0],
        ] {
            assert_eq!(narrow.apply(payload, &mut Vec::new()), None, "{payload:?}");
        }
    }
}
