//! Checks that defaults are values of their types, and writes each as canonical JSON.

use std::collections::HashMap;

use super::{
    document::{Document, Json, Node},
    limits::{DEFAULT_STEPS_MAX, FAULTS_MAX},
    model::{Field, Kind, Literal, Model, TypeId},
    primitive::Primitive,
    text::{is_bytes, quote, shorten_default},
    type_parser::PendingDefault,
};
use crate::definition::Fault;

/// A field: its record and its index.
type FieldId = (TypeId, usize);

/// Checks all defaults and stores them in their fields.
pub fn resolve_defaults(
    model: &mut Model,
    documents: &[Document],
    pending: &[PendingDefault<'_>],
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut checked = Vec::new();
    let mut dependencies: HashMap<FieldId, Vec<FieldId>> = HashMap::new();
    let with_default: HashMap<FieldId, ()> =
        pending.iter().map(|default| ((default.record, default.field), ())).collect();
    let mut checker =
        Checker { model, with_default: &with_default, steps: 0, dependencies: Vec::new() };
    let fault = |default: &PendingDefault<'_>, offset: u32, message: String| {
        let document = documents.get(default.document as usize);
        let location = document.map(|document| document.location(offset as usize, &default.path));
        Fault { location: location.unwrap_or_default(), message }
    };
    for default in pending {
        let Some(type_id) =
            checker.field((default.record, default.field)).map(|field| field.type_id)
        else {
            continue;
        };
        let mut out = String::new();
        checker.dependencies.clear();
        match checker.write(type_id, default.node, &mut out) {
            Ok(()) => {
                let mut fields = std::mem::take(&mut checker.dependencies);
                fields.sort_unstable();
                fields.dedup();
                dependencies.insert((default.record, default.field), fields);
                let branches = checker.model.get(type_id).branches().unwrap_or_default();
                let branch = branches.iter().position(|branch| {
                    checker.write(*branch, default.node, &mut String::new()).is_ok()
                });
                checked.push(((default.record, default.field), Literal(out), branch.unwrap_or(0)));
            }
            Err(Mismatch { offset, message }) => faults.push(fault(default, offset, message)),
        }
        if faults.len() >= FAULTS_MAX {
            return faults;
        }
    }
    if let Some(field) = find_cycle(&dependencies)
        && let Some(default) =
            pending.iter().find(|default| (default.record, default.field) == field)
    {
        let message = "the default contains itself: it includes a record that uses the same default for a field";
        faults.push(fault(default, default.node.offset, message.into()));
    }
    for (field, literal, branch) in checked {
        model.set_default(field, literal, branch);
    }
    faults
}

struct Checker<'m> {
    model: &'m Model,
    /// Fields with a default.
    with_default: &'m HashMap<FieldId, ()>,
    steps: usize,
    /// Fields whose defaults the current default includes.
    dependencies: Vec<FieldId>,
}

/// A value that does not match its type.
struct Mismatch {
    offset: u32,
    message: String,
}

impl Checker<'_> {
    fn field(&self, (record, field): FieldId) -> Option<&Field> {
        match &self.model.get(record).kind {
            Kind::Record(record) => record.fields.get(field),
            _ => None,
        }
    }

    /// Writes a value as canonical JSON of its type.
    fn write(&mut self, type_id: TypeId, node: &Node, out: &mut String) -> Result<(), Mismatch> {
        self.steps += 1;
        if self.steps > DEFAULT_STEPS_MAX {
            let message = format!(
                "the defaults take more than {DEFAULT_STEPS_MAX} steps to check: simplify them"
            );
            return Err(Mismatch { offset: node.offset, message });
        }
        let model = self.model;
        match (&model.get(type_id).kind, &node.json) {
            (Kind::Primitive(primitive), _) => {
                let text = primitive_text(*primitive, node);
                out.push_str(&text.ok_or_else(|| self.mismatch(type_id, node))?);
                Ok(())
            }
            (Kind::Array(items), Json::Array(nodes)) => {
                for (index, node) in nodes.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    self.write(*items, node, out)?;
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
                    self.write(*values, node, out)?;
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
                            self.write(field.type_id, value, out)?;
                        }
                        None if self.with_default.contains_key(&(type_id, index)) => {
                            self.dependencies.push((type_id, index))
                        }
                        None => {
                            let message = format!(
                                "the default of {} lacks the field {}, which has no default",
                                model.label(type_id),
                                field.name
                            );
                            return Err(Mismatch { offset: node.offset, message });
                        }
                    }
                    self.steps += 1;
                }
                out.push('}');
                Ok(())
            }
            (Kind::Enum(enumeration), Json::String(symbol))
                if enumeration.by_symbol.contains_key(symbol) =>
            {
                quote(symbol, out);
                Ok(())
            }
            (Kind::Fixed(fixed), Json::String(text))
                if is_bytes(text) && text.chars().count() as u64 == fixed.size =>
            {
                quote(text, out);
                Ok(())
            }
            (Kind::Union(branches), _) => self.union(type_id, branches, node, out),
            _ => Err(self.mismatch(type_id, node)),
        }
    }

    /// Writes a value of the first branch that it matches. Until 1.11 the specification required
    /// the first branch of the union; since 1.12 any branch is valid.
    fn union(
        &mut self,
        type_id: TypeId,
        branches: &[TypeId],
        node: &Node,
        out: &mut String,
    ) -> Result<(), Mismatch> {
        let (length, dependencies) = (out.len(), self.dependencies.len());
        for branch in branches {
            match self.write(*branch, node, out) {
                Ok(()) => return Ok(()),
                Err(mismatch) if self.steps > DEFAULT_STEPS_MAX => return Err(mismatch),
                Err(_) => {
                    out.truncate(length);
                    self.dependencies.truncate(dependencies);
                }
            }
        }
        Err(self.mismatch(type_id, node))
    }

    fn mismatch(&self, type_id: TypeId, node: &Node) -> Mismatch {
        let value = shorten_default(&node.to_text());
        let kind = &self.model.get(type_id).kind;
        let hint = match (kind, &node.json) {
            (Kind::Primitive(Primitive::Null), Json::String(text)) if text == "null" => {
                ": write null without quotes"
            }
            (Kind::Primitive(Primitive::Bytes), Json::String(_)) => {
                ": a byte is a character from \\u0000 to \\u00ff"
            }
            (Kind::Fixed(_), Json::String(_)) => {
                ": each byte is a character from \\u0000 to \\u00ff"
            }
            (_, Json::Null) => ": make the type a union with null, or use another default",
            _ => "",
        };
        let message =
            format!("the default {value} is not a value of {}{hint}", self.model.label(type_id));
        Mismatch { offset: node.offset, message }
    }
}

/// Canonical JSON of a value of a primitive type, or `None` if it is not one.
fn primitive_text(primitive: Primitive, node: &Node) -> Option<String> {
    let quoted = |text: &str| {
        let mut out = String::new();
        quote(text, &mut out);
        out
    };
    match (primitive, &node.json) {
        (Primitive::Null, Json::Null) => Some("null".into()),
        (Primitive::Boolean, Json::Bool(value)) => Some(value.to_string()),
        (Primitive::Int, Json::Number(number)) => number
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .map(|number| number.to_string()),
        (Primitive::Long, Json::Number(number)) => number.as_i64().map(|number| number.to_string()),
        // -0.0 and 0 are encoded as different bytes, and stay different.
        (Primitive::Float | Primitive::Double, Json::Number(number)) => {
            number.as_f64().and_then(serde_json::Number::from_f64).map(|number| number.to_string())
        }
        // JSON has no such numbers; the libraries accept these names.
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

/// Finds a field whose default includes itself, directly or through other defaults.
fn find_cycle(dependencies: &HashMap<FieldId, Vec<FieldId>>) -> Option<FieldId> {
    // False: on the stack. True: finished, without a cycle. Not recursive, because a chain may be
    // 10,000 fields long.
    let mut finished: HashMap<FieldId, bool> = HashMap::new();
    for start in dependencies.keys() {
        let mut stack = vec![(*start, 0_usize)];
        while let Some((field, next)) = stack.pop() {
            if next == 0 {
                match finished.get(&field) {
                    Some(true) => continue,
                    Some(false) => return Some(field),
                    None => {}
                }
                finished.insert(field, false);
            }
            match dependencies.get(&field).and_then(|fields| fields.get(next)) {
                Some(dependency) => {
                    stack.push((field, next + 1));
                    stack.push((*dependency, 0));
                }
                None => {
                    finished.insert(field, true);
                }
            }
        }
    }
    None
}
