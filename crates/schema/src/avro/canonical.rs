//! The canonical form: equal schemas have equal bytes.
//!
//! Avro's Parsing Canonical Form drops defaults, aliases and logical types, which readers notice,
//! so different schemas have the same form. This form keeps everything: a JSON array of the schema
//! itself and then of each named type that it reaches, in the order of the first reference. The
//! place of a definition, the spelling of its name, the order of keys, and whether a primitive type
//! is a string or an object do not matter.

use std::collections::{HashSet, VecDeque};

use super::{
    model::{Annotations, Kind, Model, Order, TypeId},
    text::quote,
};

/// The parts of a schema that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The parts that readers and writers notice.
    Noticeable,
    /// Documentation and unknown attributes too.
    All,
}

/// Writes the canonical form of a schema.
pub fn write(model: &Model, detail: Detail) -> String {
    let mut writer =
        Writer { model, detail, out: String::new(), seen: HashSet::new(), queue: VecDeque::new() };
    writer.out.push('[');
    writer.type_use(model.root);
    while let Some(id) = writer.queue.pop_front() {
        writer.out.push(',');
        writer.definition(id);
    }
    writer.out.push(']');
    writer.out
}

struct Writer<'m> {
    model: &'m Model,
    detail: Detail,
    out: String,
    seen: HashSet<TypeId>,
    queue: VecDeque<TypeId>,
}

impl Writer<'_> {
    fn key(&mut self, key: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        quote(key, &mut self.out);
        self.out.push(':');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(value, &mut self.out);
    }

    fn list<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        self.out.push('[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            quote(value, &mut self.out);
        }
        self.out.push(']');
    }

    fn names<'a>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        if values.len() > 0 {
            self.key(key);
            self.list(values);
        }
    }

    /// Writes a use of a type: its name, or its definition if it has no name. Types without names
    /// nest no deeper than the text of the schema.
    fn type_use(&mut self, id: TypeId) {
        let model = self.model;
        let ty = model.get(id);
        if let Some(name) = ty.name() {
            quote(name.full(), &mut self.out);
            if self.seen.insert(id) {
                self.queue.push_back(id);
            }
            return;
        }
        self.out.push('{');
        match &ty.kind {
            Kind::Primitive(primitive) => self.text("type", primitive.name()),
            Kind::Array(items) => {
                self.text("type", "array");
                self.key("items");
                self.type_use(*items);
            }
            Kind::Map(values) => {
                self.text("type", "map");
                self.key("values");
                self.type_use(*values);
            }
            Kind::Union(branches) => {
                self.key("union");
                self.out.push('[');
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.type_use(*branch);
                }
                self.out.push(']');
            }
            // Named types.
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {}
        }
        self.properties(id);
        self.out.push('}');
    }

    fn definition(&mut self, id: TypeId) {
        let model = self.model;
        let ty = model.get(id);
        self.out.push('{');
        self.text("name", ty.name().map_or("", |name| name.full()));
        self.names("aliases", ty.aliases().iter().map(|alias| alias.full()));
        match &ty.kind {
            Kind::Record(record) => {
                self.text("type", "record");
                self.key("fields");
                self.out.push('[');
                for (index, field) in record.fields.iter().enumerate() {
                    self.out.push_str(if index > 0 { ",{" } else { "{" });
                    self.text("name", &field.name);
                    self.names("aliases", field.aliases.iter().map(String::as_str));
                    self.key("type");
                    self.type_use(field.type_id);
                    if let Some(default) = &field.default {
                        self.key("default");
                        self.out.push_str(&default.0);
                    }
                    if field.order != Order::Ascending {
                        self.text("order", field.order.name());
                    }
                    self.annotations(&field.annotations);
                    self.out.push('}');
                }
                self.out.push(']');
            }
            Kind::Enum(enumeration) => {
                self.text("type", "enum");
                self.key("symbols");
                self.list(enumeration.symbols.iter().map(String::as_str));
                if let Some(default) = &enumeration.default {
                    self.text("default", default);
                }
            }
            Kind::Fixed(fixed) => {
                self.text("type", "fixed");
                self.key("size");
                self.out.push_str(&fixed.size.to_string());
            }
            // Types without names.
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => {}
        }
        self.properties(id);
        self.out.push('}');
    }

    /// Writes the logical type and the annotations of a type.
    fn properties(&mut self, id: TypeId) {
        let model = self.model;
        let ty = model.get(id);
        if let Some(logical) = &ty.logical {
            self.text("logicalType", &logical.to_string());
        }
        self.annotations(&ty.annotations);
    }

    fn annotations(&mut self, annotations: &Annotations) {
        if self.detail == Detail::Noticeable {
            return;
        }
        if let Some(doc) = &annotations.doc {
            self.text("doc", doc);
        }
        if !annotations.attributes.is_empty() {
            self.key("attributes");
            self.out.push('{');
            for (key, value) in &annotations.attributes {
                self.key(key);
                self.out.push_str(value);
            }
            self.out.push('}');
        }
    }
}
