//! Records, enums and fixed: the types that have names.

use std::collections::HashMap;

use super::{
    build::{Parser, Pending, STAND_IN, Scope, known, notes},
    document::{Json, Node},
    logical::Base,
    model::{At, Enum, Field, Fixed, Kind, Order, Record, Type, TypeId},
    name::check_word,
};

/// Most bytes of a fixed, as Java has it.
const FIXED_BYTES_MAX: u64 = i32::MAX as u64;

impl<'t> Parser<'t> {
    /// A record, or an error of a protocol, which is one.
    pub(super) fn record(&mut self, node: &'t Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.heading(node, scope, path) else { return STAND_IN };
        let scope = &Scope { document: scope.document, namespace: name.namespace().into() };
        let fields = match node.get("fields").map(|it| &it.json) {
            Some(Json::Array(fields)) => fields.as_slice(),
            Some(_) => {
                self.fault(
                    node,
                    scope,
                    path,
                    format!("\"fields\" of record {name} is not an array"),
                );
                &[]
            }
            None => {
                let message = format!(
                    "record {name} has no \"fields\": a record without any has an empty array of them"
                );
                self.fault(node, scope, path, message);
                &[]
            }
        };
        let mut read = Vec::with_capacity(fields.len());
        let mut by_name = HashMap::with_capacity(fields.len());
        for field in fields {
            let length = path.len();
            if let Some(field) = self.field(id, read.len(), field, scope, path) {
                if by_name.insert(field.name.clone(), read.len()).is_some() {
                    let message = format!("record {name} has two fields named {}", field.name);
                    self.fault(field_node(fields, read.len(), node), scope, path, message);
                }
                read.push(field);
            }
            path.truncate(length);
        }
        let logical = self.logical(node, Base::Other, scope, path);
        let keys = ["name", "namespace", "doc", "aliases", "fields"];
        let mut keys = known(&keys, logical.as_ref());
        // "error" is told apart from "record" by protocols alone: it stays a note.
        if node.get("type").and_then(Node::text) == Some("record") {
            keys.push("type");
        }
        let notes = notes(node, &keys);
        let at = At { document: scope.document, byte: node.at };
        let kind = Kind::Record(Record { name, aliases, fields: read, by_name });
        self.put(id, Type { kind, logical, notes, at })
    }

    fn field(
        &mut self,
        record: TypeId,
        index: usize,
        node: &'t Node,
        scope: &Scope,
        path: &mut String,
    ) -> Option<Field> {
        if !matches!(node.json, Json::Object(_)) {
            let message = format!("a field is an object; this is {}", node.kind());
            self.fault(node, scope, path, message);
            return None;
        }
        let Some(name) = node.get("name").and_then(Node::text) else {
            self.fault(node, scope, path, "the field has no \"name\" that is a string");
            return None;
        };
        path.push('.');
        path.push_str(name);
        if let Err(message) = check_word(name) {
            self.fault(node, scope, path, message);
        }
        let of = match node.get("type") {
            Some(of) => self.build(of, scope, path),
            None => {
                self.fault(node, scope, path, "the field has no \"type\"");
                STAND_IN
            }
        };
        let mut aliases = Vec::new();
        for alias in self.words(node, "aliases", scope, path) {
            match check_word(alias) {
                Ok(()) => aliases.push(alias.to_owned()),
                Err(message) => self.fault(node, scope, path, format!("the alias {message}")),
            }
        }
        aliases.sort();
        aliases.dedup();
        let order = match node.get("order").map(|it| (it, it.text())) {
            None | Some((_, Some("ascending"))) => Order::Ascending,
            Some((_, Some("descending"))) => Order::Descending,
            Some((_, Some("ignore"))) => Order::Ignore,
            Some((order, _)) => {
                let message = format!(
                    "the order of a field is \"ascending\", \"descending\" or \"ignore\", not {}",
                    order.to_text()
                );
                self.fault(order, scope, path, message);
                Order::Ascending
            }
        };
        if let Some(default) = node.get("default") {
            self.pending.push(Pending {
                record,
                field: index,
                node: default,
                document: scope.document,
                path: path.clone(),
            });
        }
        if let Some(logical) = node.get("logicalType").and_then(Node::text)
            && of != STAND_IN
        {
            let reason = format!(
                "it stands beside the type of the field: write \"type\": {{\"type\": …, \"logicalType\": \"{logical}\"}}"
            );
            self.ignore(node, scope, path, logical, reason);
        }
        let keys = ["name", "type", "doc", "default", "order", "aliases"];
        let at = At { document: scope.document, byte: node.at };
        let name = name.to_owned();
        Some(Field {
            name,
            aliases,
            of,
            default: None,
            default_branch: 0,
            order,
            notes: notes(node, &keys),
            at,
        })
    }

    /// An enum.
    pub(super) fn enumeration(&mut self, node: &Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.heading(node, scope, path) else { return STAND_IN };
        if node.get("symbols").is_none() {
            self.fault(node, scope, path, format!("enum {name} has no \"symbols\""));
        }
        let words = self.words(node, "symbols", scope, path);
        let mut symbols = Vec::with_capacity(words.len());
        let mut by_symbol = HashMap::with_capacity(words.len());
        for symbol in words {
            if let Err(message) = check_word(symbol) {
                self.fault(node, scope, path, format!("the symbol {message}"));
            }
            if by_symbol.insert(symbol.to_owned(), symbols.len()).is_some() {
                self.fault(node, scope, path, format!("enum {name} has the symbol {symbol} twice"));
            }
            symbols.push(symbol.to_owned());
        }
        let default = match node.get("default").map(|it| (it, it.text())) {
            None => None,
            // What some generators write for no default.
            Some((Node { json: Json::Null, .. }, _)) => None,
            Some((_, Some(symbol))) if by_symbol.contains_key(symbol) => Some(symbol.to_owned()),
            Some((default, _)) => {
                let message = format!(
                    "the default {} of enum {name} is not one of its symbols",
                    cut(&default.to_text())
                );
                self.fault(default, scope, path, message);
                None
            }
        };
        let logical = self.logical(node, Base::Other, scope, path);
        let keys = ["type", "name", "namespace", "doc", "aliases", "symbols", "default"];
        let notes = notes(node, &known(&keys, logical.as_ref()));
        let at = At { document: scope.document, byte: node.at };
        let kind = Kind::Enum(Enum { name, aliases, symbols, default, by_symbol });
        self.put(id, Type { kind, logical, notes, at })
    }

    /// A fixed.
    pub(super) fn fixed(&mut self, node: &Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.heading(node, scope, path) else { return STAND_IN };
        let size = match node.get("size").map(|it| (it, &it.json)) {
            Some((size, Json::Number(number))) => match number.as_u64() {
                Some(size) if size <= FIXED_BYTES_MAX => size,
                _ => {
                    let message = format!(
                        "the size of fixed {name} is a number of bytes from 0 to {FIXED_BYTES_MAX}, not {number}"
                    );
                    self.fault(size, scope, path, message);
                    0
                }
            },
            _ => {
                self.fault(
                    node,
                    scope,
                    path,
                    format!("fixed {name} has no \"size\" that is a number"),
                );
                0
            }
        };
        let logical = self.logical(node, Base::Fixed(size), scope, path);
        let keys = ["type", "name", "namespace", "doc", "aliases", "size"];
        let notes = notes(node, &known(&keys, logical.as_ref()));
        let at = At { document: scope.document, byte: node.at };
        self.put(id, Type { kind: Kind::Fixed(Fixed { name, aliases, size }), logical, notes, at })
    }
}

fn field_node<'n>(fields: &'n [Node], index: usize, record: &'n Node) -> &'n Node {
    fields.get(index).unwrap_or(record)
}

/// The beginning of a long value.
pub fn cut(text: &str) -> String {
    const CHARACTERS_MAX: usize = 120;
    let mut cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
