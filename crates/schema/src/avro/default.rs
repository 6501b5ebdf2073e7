//! Defaults: whether they are values of their types, in one spelling each.

use std::collections::HashMap;

use super::{
    build::Pending,
    document::{Document, Json, Node, quote},
    model::{Field, Kind, Literal, Model, Primitive, TypeId},
    named::cut,
    parse::FAULTS_MAX,
};
use crate::definition::Fault;

/// Values looked at for all defaults together. A default of a union is tried against one branch after the other, which
/// nested unions multiply.
const STEPS_MAX: usize = 1_000_000;

/// A field: its record and its position.
type FieldId = (TypeId, usize);

/// Checks all defaults and gives them to their fields.
pub fn settle(model: &mut Model, documents: &[Document], pending: &[Pending<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut settled = Vec::new();
    let mut relies: HashMap<FieldId, Vec<FieldId>> = HashMap::new();
    let owed: HashMap<FieldId, ()> = pending.iter().map(|it| ((it.record, it.field), ())).collect();
    let mut check = Check { model, owed: &owed, steps: 0, relies: Vec::new() };
    let fault = |it: &Pending<'_>, at: u32, message: String| {
        let document = documents.get(it.document as usize);
        let place = document.map(|document| document.place(at as usize, &it.path));
        Fault { place: place.unwrap_or_default(), message }
    };
    for it in pending {
        let Some(of) = check.field((it.record, it.field)).map(|field| field.of) else { continue };
        let mut out = String::new();
        check.relies.clear();
        match check.literal(of, it.node, &mut out) {
            Ok(()) => {
                let mut on = std::mem::take(&mut check.relies);
                on.sort_unstable();
                on.dedup();
                relies.insert((it.record, it.field), on);
                let branches = check.model.get(of).branches().unwrap_or_default();
                let taken = branches
                    .iter()
                    .position(|it_of| check.literal(*it_of, it.node, &mut String::new()).is_ok());
                settled.push(((it.record, it.field), Literal(out), taken.unwrap_or(0)));
            }
            Err(Mismatch { at, message }) => faults.push(fault(it, at, message)),
        }
        if faults.len() >= FAULTS_MAX {
            return faults;
        }
    }
    if let Some(field) = endless(&relies)
        && let Some(it) = pending.iter().find(|it| (it.record, it.field) == field)
    {
        let message = "the default contains itself without end: a record in it takes its own default for a field";
        faults.push(fault(it, it.node.at, message.into()));
    }
    for (field, literal, branch) in settled {
        model.set_default(field, literal, branch);
    }
    faults
}

struct Check<'m> {
    model: &'m Model,
    /// Fields that have a default.
    owed: &'m HashMap<FieldId, ()>,
    steps: usize,
    /// The fields whose defaults the default at hand takes over.
    relies: Vec<FieldId>,
}

/// A value that is not of its type.
struct Mismatch {
    at: u32,
    message: String,
}

impl Check<'_> {
    fn field(&self, (record, field): FieldId) -> Option<&Field> {
        match &self.model.get(record).kind {
            Kind::Record(record) => record.fields.get(field),
            _ => None,
        }
    }

    /// Writes the value in one spelling.
    fn literal(&mut self, of: TypeId, node: &Node, out: &mut String) -> Result<(), Mismatch> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let message =
                format!("the defaults take more than {STEPS_MAX} steps to check: simplify them");
            return Err(Mismatch { at: node.at, message });
        }
        let model = self.model;
        match (&model.get(of).kind, &node.json) {
            (Kind::Primitive(primitive), _) => {
                let text = primitive_text(*primitive, node);
                out.push_str(&text.ok_or_else(|| self.mismatch(of, node))?);
                Ok(())
            }
            (Kind::Array(items), Json::Array(nodes)) => {
                for (index, node) in nodes.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    self.literal(*items, node, out)?;
                }
                out.push_str(if nodes.is_empty() { "[]" } else { "]" });
                Ok(())
            }
            (Kind::Map(values), Json::Object(entries)) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                for (index, (key, node)) in sorted.iter().enumerate() {
                    out.push(if index == 0 { '{' } else { ',' });
                    quote(key, out);
                    out.push(':');
                    self.literal(*values, node, out)?;
                }
                out.push_str(if sorted.is_empty() { "{}" } else { "}" });
                Ok(())
            }
            (Kind::Record(record), Json::Object(_)) => {
                out.push('{');
                let mut first = true;
                for (index, field) in record.fields.iter().enumerate() {
                    match node.get(&field.name) {
                        Some(value) => {
                            if !first {
                                out.push(',');
                            }
                            first = false;
                            quote(&field.name, out);
                            out.push(':');
                            self.literal(field.of, value, out)?;
                        }
                        None if self.owed.contains_key(&(of, index)) => {
                            self.relies.push((of, index))
                        }
                        None => {
                            let message = format!(
                                "the default of {} lacks the field {}, which has no default of its own",
                                model.label(of),
                                field.name
                            );
                            return Err(Mismatch { at: node.at, message });
                        }
                    }
                    self.steps += 1;
                }
                out.push('}');
                Ok(())
            }
            (Kind::Enum(it), Json::String(symbol)) if it.by_symbol.contains_key(symbol) => {
                quote(symbol, out);
                Ok(())
            }
            (Kind::Fixed(fixed), Json::String(text))
                if is_bytes(text) && text.chars().count() as u64 == fixed.size =>
            {
                quote(text, out);
                Ok(())
            }
            (Kind::Union(branches), _) => self.union(of, branches, node, out),
            _ => Err(self.mismatch(of, node)),
        }
    }

    /// The first branch that takes it. Until 1.11 the specification wanted that to be the first of all; since 1.12 any
    /// will do.
    fn union(
        &mut self,
        of: TypeId,
        branches: &[TypeId],
        node: &Node,
        out: &mut String,
    ) -> Result<(), Mismatch> {
        let (length, relied) = (out.len(), self.relies.len());
        for branch in branches {
            match self.literal(*branch, node, out) {
                Ok(()) => return Ok(()),
                Err(mismatch) if self.steps > STEPS_MAX => return Err(mismatch),
                Err(_) => {
                    out.truncate(length);
                    self.relies.truncate(relied);
                }
            }
        }
        Err(self.mismatch(of, node))
    }

    fn mismatch(&self, of: TypeId, node: &Node) -> Mismatch {
        let value = cut(&node.to_text());
        let of_type = &self.model.get(of).kind;
        let hint = match (of_type, &node.json) {
            (Kind::Primitive(Primitive::Null), Json::String(text)) if text == "null" => {
                ": write null without quotes"
            }
            (Kind::Primitive(Primitive::Bytes), Json::String(_)) => {
                ": a byte is a character from \\u0000 to \\u00ff"
            }
            (Kind::Fixed(_), Json::String(_)) => {
                ": it is so many characters from \\u0000 to \\u00ff, one for each byte"
            }
            (_, Json::Null) => ": make the type a union with null, or give another default",
            _ => "",
        };
        let message =
            format!("the default {value} is not a value of {}{hint}", self.model.label(of));
        Mismatch { at: node.at, message }
    }
}

/// The one spelling of a value of a primitive type; none where it is not one.
fn primitive_text(primitive: Primitive, node: &Node) -> Option<String> {
    let quoted = |text: &str| {
        let mut out = String::new();
        quote(text, &mut out);
        out
    };
    match (primitive, &node.json) {
        (Primitive::Null, Json::Null) => Some("null".into()),
        (Primitive::Boolean, Json::Bool(value)) => Some(value.to_string()),
        (Primitive::Int, Json::Number(number)) => {
            number.as_i64().and_then(|it| i32::try_from(it).ok()).map(|it| it.to_string())
        }
        (Primitive::Long, Json::Number(number)) => number.as_i64().map(|it| it.to_string()),
        // -0.0 and 0 are different bytes, and stay apart.
        (Primitive::Float | Primitive::Double, Json::Number(number)) => {
            number.as_f64().and_then(serde_json::Number::from_f64).map(|it| it.to_string())
        }
        // JSON has no such numbers, and the libraries take these names for them.
        (Primitive::Float | Primitive::Double, Json::String(text))
            if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") =>
        {
            Some(quoted(text))
        }
        (Primitive::Bytes, Json::String(text)) if is_bytes(text) => Some(quoted(text)),
        (Primitive::String, Json::String(text)) => Some(quoted(text)),
        _ => None,
    }
}

/// Whether every character stands for one byte.
pub fn is_bytes(text: &str) -> bool {
    text.chars().all(|it| u32::from(it) <= 0xff)
}

/// A field whose default takes itself over, by however many others.
fn endless(relies: &HashMap<FieldId, Vec<FieldId>>) -> Option<FieldId> {
    // Grey: on the way. Black: shown to end. Without recursion, for the way may be 10,000 fields long.
    let mut black: HashMap<FieldId, bool> = HashMap::new();
    for start in relies.keys() {
        let mut way = vec![(*start, 0_usize)];
        while let Some((field, next)) = way.pop() {
            if next == 0 {
                match black.get(&field) {
                    Some(true) => continue,
                    Some(false) => return Some(field),
                    None => {}
                }
                black.insert(field, false);
            }
            match relies.get(&field).and_then(|on| on.get(next)) {
                Some(on) => {
                    way.push((field, next + 1));
                    way.push((*on, 0));
                }
                None => {
                    black.insert(field, true);
                }
            }
        }
    }
    None
}
