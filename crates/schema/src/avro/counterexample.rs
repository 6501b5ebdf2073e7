//! Builds payloads that prove a break: values of the writer's schema that reach an issue of the
//! reader's.

use super::{
    convert::convert,
    cursor::write_long,
    limits::{COUNTEREXAMPLE_DEPTH_MAX, COUNTEREXAMPLE_VALUES_MAX},
    logical::Logical,
    model::{Kind, Model, TypeId},
    path::Segment,
    primitive::Primitive,
    resolve::{Issue, TypePair},
    text::quote,
    validate::validate,
};

/// The smallest uuid.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Builds a payload in Avro's JSON encoding that is valid for the writer's schema and that the
/// reader's cannot read. `segments` are the path to the issue in the writer's schema. Returns
/// `None` if no simple payload proves the issue. The payload is checked with both schemas.
pub fn find(
    writer: &Model,
    reader: &Model,
    issue: &Issue,
    pair: TypePair,
    segments: &[Segment],
) -> Option<String> {
    let mut builder = Builder { model: writer, issue, target: pair.writer, values: 0, depth: 0 };
    let mut sample = Sample::default();
    builder.build(writer.root, segments, true, &mut sample)?;
    let is_written = validate(writer, &sample.bytes).is_ok();
    let is_rejected = convert(writer, reader, &sample.bytes).is_err();
    (is_written && is_rejected).then_some(sample.json)
}

/// A value in both encodings.
#[derive(Default)]
struct Sample {
    json: String,
    bytes: Vec<u8>,
}

struct Builder<'m> {
    model: &'m Model,
    issue: &'m Issue,
    /// The writer's type of the issue.
    target: TypeId,
    values: usize,
    depth: usize,
}

impl Builder<'_> {
    /// Writes the smallest value of a type, or on the path to the issue one that contains the
    /// issue.
    fn build(
        &mut self,
        type_id: TypeId,
        segments: &[Segment],
        on_path: bool,
        out: &mut Sample,
    ) -> Option<()> {
        self.values += 1;
        if self.values > COUNTEREXAMPLE_VALUES_MAX || self.depth > COUNTEREXAMPLE_DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let result = self.build_value(type_id, segments, on_path, out);
        self.depth -= 1;
        result
    }

    fn build_value(
        &mut self,
        type_id: TypeId,
        segments: &[Segment],
        on_path: bool,
        out: &mut Sample,
    ) -> Option<()> {
        let model = self.model;
        match &model.get(type_id).kind {
            Kind::Primitive(primitive) => {
                let (json, bytes): (&str, &[u8]) = match primitive {
                    Primitive::Null => ("null", &[]),
                    Primitive::Boolean => ("false", &[0]),
                    Primitive::Int | Primitive::Long => ("0", &[0]),
                    Primitive::Float => ("0.0", &[0; 4]),
                    Primitive::Double => ("0.0", &[0; 8]),
                    Primitive::Bytes | Primitive::String => match &model.get(type_id).logical {
                        None | Some(Logical::Custom(_)) => ("\"\"", &[0]),
                        Some(Logical::Decimal { .. }) => ("\"\\u0000\"", &[2, 0]),
                        Some(Logical::Uuid) => {
                            out.json.push_str(&format!("\"{UUID}\""));
                            write_index(UUID.len(), &mut out.bytes);
                            ("", UUID.as_bytes())
                        }
                        Some(_) => return None,
                    },
                };
                out.json.push_str(json);
                out.bytes.extend(bytes);
            }
            Kind::Fixed(fixed) => {
                let size = usize::try_from(fixed.size).ok().filter(|size| *size <= 64)?;
                out.json.push_str(&format!("\"{}\"", "\\u0000".repeat(size)));
                out.bytes.extend(std::iter::repeat_n(0, size));
            }
            Kind::Enum(enumeration) => {
                let unknown = match self.issue {
                    Issue::Symbols { unknown, .. } if on_path && type_id == self.target => {
                        unknown.first()
                    }
                    _ => None,
                };
                let symbol = unknown.or(enumeration.symbols.first())?;
                quote(symbol, &mut out.json);
                write_index(*enumeration.by_symbol.get(symbol)?, &mut out.bytes);
            }
            Kind::Union(branches) => {
                let (branch, rest) = self.branch(branches, segments, on_path)?;
                write_index(branches.iter().position(|id| *id == branch)?, &mut out.bytes);
                let name = match &model.get(branch).kind {
                    Kind::Primitive(Primitive::Null) => {
                        return self.build(branch, rest, on_path, out);
                    }
                    Kind::Primitive(primitive) => primitive.name(),
                    Kind::Array(_) => "array",
                    Kind::Map(_) => "map",
                    Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {
                        model.get(branch).name()?.full()
                    }
                    Kind::Union(_) => return None,
                };
                out.json.push_str(&format!("{{\"{name}\":"));
                self.build(branch, rest, on_path, out)?;
                out.json.push('}');
            }
            Kind::Array(items) => {
                let rest = match segments.split_first() {
                    Some((Segment::Items, rest)) if on_path => Some(rest),
                    _ => None,
                };
                out.json.push('[');
                if let Some(rest) = rest {
                    write_index(1, &mut out.bytes);
                    self.build(*items, rest, true, out)?;
                }
                out.json.push(']');
                out.bytes.push(0);
            }
            Kind::Map(values) => {
                let rest = match segments.split_first() {
                    Some((Segment::Values, rest)) if on_path => Some(rest),
                    _ => None,
                };
                out.json.push('{');
                if let Some(rest) = rest {
                    out.json.push_str("\"key\":");
                    write_index(1, &mut out.bytes);
                    out.bytes.extend([6, b'k', b'e', b'y']);
                    self.build(*values, rest, true, out)?;
                }
                out.json.push('}');
                out.bytes.push(0);
            }
            Kind::Record(record) => {
                out.json.push('{');
                for (position, field) in record.fields.iter().enumerate() {
                    if position > 0 {
                        out.json.push(',');
                    }
                    quote(&field.name, &mut out.json);
                    out.json.push(':');
                    match segments.split_first() {
                        Some((Segment::Field(id, index), rest))
                            if on_path && *id == type_id && *index == position =>
                        {
                            self.build(field.type_id, rest, true, out)?;
                        }
                        _ => self.build(field.type_id, &[], false, out)?,
                    }
                }
                out.json.push('}');
            }
        }
        Some(())
    }

    /// Chooses a branch of a union. On the path to the issue: the branch in the path, or the branch
    /// of the issue, or the only one besides null. Elsewhere: null, or the first.
    fn branch<'s>(
        &self,
        branches: &[TypeId],
        segments: &'s [Segment],
        on_path: bool,
    ) -> Option<(TypeId, &'s [Segment])> {
        let is_null =
            |id: &&TypeId| matches!(self.model.get(**id).kind, Kind::Primitive(Primitive::Null));
        if !on_path {
            return branches.iter().find(is_null).or(branches.first()).map(|id| (*id, segments));
        }
        if let Some((Segment::Branch(branch), rest)) = segments.split_first() {
            return Some((*branch, rest));
        }
        let wanted = match self.issue {
            Issue::Branch { branch } if segments.is_empty() => Some(branch),
            _ => None,
        };
        let wanted = wanted.or_else(|| segments.is_empty().then_some(&self.target));
        let branch = branches
            .iter()
            .find(|id| Some(*id) == wanted)
            .or_else(|| branches.iter().find(|id| !is_null(id)))
            .or(branches.first())?;
        Some((*branch, segments))
    }
}

/// Writes an index or a count.
fn write_index(number: usize, out: &mut Vec<u8>) {
    write_long(i64::try_from(number).unwrap_or(i64::MAX), out);
}
