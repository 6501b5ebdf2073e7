//! The form in which the same schemas are the same bytes.
//!
//! Avro's own Parsing Canonical Form drops defaults, aliases and logical types, which readers notice, and so calls
//! different schemas the same. This one keeps everything, in one spelling: a JSON array with the schema itself, then every
//! named type that it reaches, in the order in which it reaches them. So it does not matter where a type is defined,
//! how its name is spelled, in which order keys stand, or whether a primitive is a string or an object.

use std::collections::{HashSet, VecDeque};

use super::{
    document::quote,
    model::{Kind, Model, Notes, Order, TypeId},
};

/// How much of a schema is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What readers and writers notice.
    Essence,
    /// Documentation and unknown attributes as well.
    All,
}

/// Writes a schema.
pub fn write(model: &Model, detail: Detail) -> String {
    let mut writer =
        Writer { model, detail, out: String::new(), seen: HashSet::new(), queue: VecDeque::new() };
    writer.out.push('[');
    writer.of(model.root);
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

    /// A type where it is used: a name, or all of a type without one. These nest no deeper than their text.
    fn of(&mut self, id: TypeId) {
        let model = self.model;
        let of = model.get(id);
        if let Some(name) = of.name() {
            quote(name.full(), &mut self.out);
            if self.seen.insert(id) {
                self.queue.push_back(id);
            }
            return;
        }
        self.out.push('{');
        match &of.kind {
            Kind::Primitive(primitive) => self.text("type", primitive.name()),
            Kind::Array(items) => {
                self.text("type", "array");
                self.key("items");
                self.of(*items);
            }
            Kind::Map(values) => {
                self.text("type", "map");
                self.key("values");
                self.of(*values);
            }
            Kind::Union(branches) => {
                self.key("union");
                self.out.push('[');
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.of(*branch);
                }
                self.out.push(']');
            }
            // They have names.
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {}
        }
        self.rest(id);
        self.out.push('}');
    }

    fn definition(&mut self, id: TypeId) {
        let model = self.model;
        let of = model.get(id);
        self.out.push('{');
        self.text("name", of.name().map_or("", |name| name.full()));
        self.names("aliases", of.aliases().iter().map(|it| it.full()));
        match &of.kind {
            Kind::Record(record) => {
                self.text("type", "record");
                self.key("fields");
                self.out.push('[');
                for (index, field) in record.fields.iter().enumerate() {
                    self.out.push_str(if index > 0 { ",{" } else { "{" });
                    self.text("name", &field.name);
                    self.names("aliases", field.aliases.iter().map(String::as_str));
                    self.key("type");
                    self.of(field.of);
                    if let Some(default) = &field.default {
                        self.key("default");
                        self.out.push_str(&default.0);
                    }
                    if field.order != Order::Ascending {
                        self.text("order", field.order.name());
                    }
                    self.notes(&field.notes);
                    self.out.push('}');
                }
                self.out.push(']');
            }
            Kind::Enum(it) => {
                self.text("type", "enum");
                self.key("symbols");
                self.list(it.symbols.iter().map(String::as_str));
                if let Some(default) = &it.default {
                    self.text("default", default);
                }
            }
            Kind::Fixed(fixed) => {
                self.text("type", "fixed");
                self.key("size");
                self.out.push_str(&fixed.size.to_string());
            }
            // They have no names.
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => {}
        }
        self.rest(id);
        self.out.push('}');
    }

    fn rest(&mut self, id: TypeId) {
        let model = self.model;
        let of = model.get(id);
        if let Some(logical) = &of.logical {
            self.text("logicalType", &logical.to_string());
        }
        self.notes(&of.notes);
    }

    fn notes(&mut self, notes: &Notes) {
        if self.detail == Detail::Essence {
            return;
        }
        if let Some(doc) = &notes.doc {
            self.text("doc", doc);
        }
        if !notes.attributes.is_empty() {
            self.key("attributes");
            self.out.push('{');
            for (key, value) in &notes.attributes {
                self.key(key);
                self.out.push_str(value);
            }
            self.out.push('}');
        }
    }
}
