//! Payloads that show a break: values of the writer's schema, led to the place where the reader gives up.

use super::{
    binary, convert, document,
    logical::Logical,
    model::{Kind, Model, Primitive, TypeId},
    path::Step,
    resolve::{Issue, Pair},
};

/// Values in a witness. A larger one shows less.
const VALUES_MAX: usize = 100;

/// Records, arrays and maps within one another.
const DEPTH_MAX: usize = 40;

/// The least uuid.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

/// A payload in Avro's JSON encoding that is of the writer's schema and that the reader's cannot read; `steps` lead to
/// the issue. None: nothing simple shows it. It is checked.
pub fn find(
    writer: &Model,
    reader: &Model,
    issue: &Issue,
    pair: Pair,
    steps: &[Step],
) -> Option<String> {
    let mut maker = Maker { model: writer, issue, end: pair.writer, values: 0, depth: 0 };
    let mut sample = Sample::default();
    maker.make(writer.root, steps, true, &mut sample)?;
    let of_writer = binary::validate(writer, &sample.bytes).is_ok();
    let refused = convert::convert(writer, reader, &sample.bytes).is_err();
    (of_writer && refused).then_some(sample.json)
}

/// A value in both encodings.
#[derive(Default)]
struct Sample {
    json: String,
    bytes: Vec<u8>,
}

struct Maker<'m> {
    model: &'m Model,
    issue: &'m Issue,
    /// The type that the issue is about.
    end: TypeId,
    values: usize,
    depth: usize,
}

impl Maker<'_> {
    /// Writes the least value; on the way to the issue, one that gets there.
    fn make(&mut self, of: TypeId, steps: &[Step], on_way: bool, out: &mut Sample) -> Option<()> {
        self.values += 1;
        if self.values > VALUES_MAX || self.depth > DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let made = self.nested(of, steps, on_way, out);
        self.depth -= 1;
        made
    }

    fn nested(&mut self, of: TypeId, steps: &[Step], on_way: bool, out: &mut Sample) -> Option<()> {
        let model = self.model;
        match &model.get(of).kind {
            Kind::Primitive(primitive) => {
                let (json, bytes): (&str, &[u8]) = match primitive {
                    Primitive::Null => ("null", &[]),
                    Primitive::Boolean => ("false", &[0]),
                    Primitive::Int | Primitive::Long => ("0", &[0]),
                    Primitive::Float => ("0.0", &[0; 4]),
                    Primitive::Double => ("0.0", &[0; 8]),
                    Primitive::Bytes | Primitive::String => match &model.get(of).logical {
                        None | Some(Logical::Custom(_)) => ("\"\"", &[0]),
                        Some(Logical::Decimal { .. }) => ("\"\\u0000\"", &[2, 0]),
                        Some(Logical::Uuid) => {
                            out.json.push_str(&format!("\"{UUID}\""));
                            index(UUID.len(), &mut out.bytes);
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
            Kind::Enum(it) => {
                let unknown = match self.issue {
                    Issue::Symbols { unknown, .. } if on_way && of == self.end => unknown.first(),
                    _ => None,
                };
                let symbol = unknown.or(it.symbols.first())?;
                document::quote(symbol, &mut out.json);
                index(*it.by_symbol.get(symbol)?, &mut out.bytes);
            }
            Kind::Union(branches) => {
                let (branch, rest) = self.branch(branches, steps, on_way)?;
                index(branches.iter().position(|it| *it == branch)?, &mut out.bytes);
                let name = match &model.get(branch).kind {
                    Kind::Primitive(Primitive::Null) => {
                        return self.make(branch, rest, on_way, out);
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
                self.make(branch, rest, on_way, out)?;
                out.json.push('}');
            }
            Kind::Array(items) => {
                let rest = match steps.split_first() {
                    Some((Step::Items, rest)) if on_way => Some(rest),
                    _ => None,
                };
                out.json.push('[');
                if let Some(rest) = rest {
                    index(1, &mut out.bytes);
                    self.make(*items, rest, true, out)?;
                }
                out.json.push(']');
                out.bytes.push(0);
            }
            Kind::Map(values) => {
                let rest = match steps.split_first() {
                    Some((Step::Values, rest)) if on_way => Some(rest),
                    _ => None,
                };
                out.json.push('{');
                if let Some(rest) = rest {
                    out.json.push_str("\"key\":");
                    index(1, &mut out.bytes);
                    out.bytes.extend([6, b'k', b'e', b'y']);
                    self.make(*values, rest, true, out)?;
                }
                out.json.push('}');
                out.bytes.push(0);
            }
            Kind::Record(record) => {
                out.json.push('{');
                for (at, field) in record.fields.iter().enumerate() {
                    if at > 0 {
                        out.json.push(',');
                    }
                    document::quote(&field.name, &mut out.json);
                    out.json.push(':');
                    match steps.split_first() {
                        Some((Step::Field(id, index), rest))
                            if on_way && *id == of && *index == at =>
                        {
                            self.make(field.of, rest, true, out)?;
                        }
                        _ => self.make(field.of, &[], false, out)?,
                    }
                }
                out.json.push('}');
            }
        }
        Some(())
    }

    /// The branch to take: the one that the steps name, or that goes without saying, or that the issue is about; off the
    /// way the shortest.
    fn branch<'s>(
        &self,
        branches: &[TypeId],
        steps: &'s [Step],
        on_way: bool,
    ) -> Option<(TypeId, &'s [Step])> {
        let null =
            |id: &&TypeId| matches!(self.model.get(**id).kind, Kind::Primitive(Primitive::Null));
        if !on_way {
            return branches.iter().find(null).or(branches.first()).map(|it| (*it, steps));
        }
        if let Some((Step::Branch(branch), rest)) = steps.split_first() {
            return Some((*branch, rest));
        }
        let asked = match self.issue {
            Issue::Branch { branch } if steps.is_empty() => Some(branch),
            _ => None,
        };
        let asked = asked.or_else(|| steps.is_empty().then_some(&self.end));
        let branch = branches
            .iter()
            .find(|it| Some(*it) == asked)
            .or_else(|| branches.iter().find(|it| !null(it)))
            .or(branches.first())?;
        Some((*branch, steps))
    }
}

/// Writes a small number: an index or a count.
fn index(number: usize, out: &mut Vec<u8>) {
    convert::write_long(i64::try_from(number).unwrap_or(i64::MAX), out);
}
