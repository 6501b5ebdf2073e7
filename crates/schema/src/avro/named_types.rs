//! Builds records, enums and fixed: the types with names.

use std::collections::HashMap;

use super::{
    document::{Json, Node},
    limits::FIXED_BYTES_MAX,
    logical::Base,
    model::{Enum, Field, Fixed, Kind, Order, Record, TextPosition, Type, TypeId},
    name::check_identifier,
    text::shorten_default,
    type_parser::{PLACEHOLDER, Parser, PendingDefault, Scope, annotations, known_keys},
};

impl<'t> Parser<'t> {
    /// Builds a record, or an error of a protocol, which is a record.
    pub(super) fn record(&mut self, node: &'t Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.declaration(node, scope, path) else {
            return PLACEHOLDER;
        };
        let scope = &Scope { document: scope.document, namespace: name.namespace().into() };
        let fields = match node.get("fields").map(|fields| &fields.json) {
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
                    "record {name} has no \"fields\": a record without fields has an empty array"
                );
                self.fault(node, scope, path, message);
                &[]
            }
        };
        let mut built = Vec::with_capacity(fields.len());
        let mut by_name = HashMap::with_capacity(fields.len());
        for field in fields {
            let length = path.len();
            if let Some(field) = self.field(id, built.len(), field, scope, path) {
                if by_name.insert(field.name.clone(), built.len()).is_some() {
                    let message = format!("record {name} has two fields named {}", field.name);
                    self.fault(field_node(fields, built.len(), node), scope, path, message);
                }
                built.push(field);
            }
            path.truncate(length);
        }
        let logical = self.logical(node, Base::Other, scope, path);
        let keys = ["name", "namespace", "doc", "aliases", "fields"];
        let mut keys = known_keys(&keys, logical.as_ref());
        // Only protocols distinguish "error" from "record": "error" stays an annotation.
        if node.get("type").and_then(Node::text) == Some("record") {
            keys.push("type");
        }
        let annotations = annotations(node, &keys);
        let position = TextPosition { document: scope.document, byte: node.offset };
        let kind = Kind::Record(Record { name, aliases, fields: built, by_name });
        self.define(id, Type { kind, logical, annotations, position })
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
            self.fault(node, scope, path, "the field has no \"name\", or one that is not a string");
            return None;
        };
        path.push('.');
        path.push_str(name);
        if let Err(message) = check_identifier(name) {
            self.fault(node, scope, path, message);
        }
        let type_id = match node.get("type") {
            Some(field_type) => self.build(field_type, scope, path),
            None => {
                self.fault(node, scope, path, "the field has no \"type\"");
                PLACEHOLDER
            }
        };
        let mut aliases = Vec::new();
        for alias in self.strings(node, "aliases", scope, path) {
            match check_identifier(alias) {
                Ok(()) => aliases.push(alias.to_owned()),
                Err(message) => self.fault(node, scope, path, format!("the alias {message}")),
            }
        }
        aliases.sort();
        aliases.dedup();
        let order = match node.get("order").map(|order| (order, order.text())) {
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
            self.pending.push(PendingDefault {
                record,
                field: index,
                node: default,
                document: scope.document,
                path: path.clone(),
            });
        }
        if let Some(logical) = node.get("logicalType").and_then(Node::text)
            && type_id != PLACEHOLDER
        {
            let reason = format!(
                "it annotates the field and not its type: write \"type\": {{\"type\": …, \"logicalType\": \"{logical}\"}}"
            );
            self.ignore_logical(node, scope, path, logical, reason);
        }
        let keys = ["name", "type", "doc", "default", "order", "aliases"];
        let position = TextPosition { document: scope.document, byte: node.offset };
        let name = name.to_owned();
        Some(Field {
            name,
            aliases,
            type_id,
            default: None,
            default_branch: 0,
            order,
            annotations: annotations(node, &keys),
            position,
        })
    }

    /// Builds an enum.
    pub(super) fn enumeration(&mut self, node: &Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.declaration(node, scope, path) else {
            return PLACEHOLDER;
        };
        if node.get("symbols").is_none() {
            self.fault(node, scope, path, format!("enum {name} has no \"symbols\""));
        }
        let listed = self.strings(node, "symbols", scope, path);
        let mut symbols = Vec::with_capacity(listed.len());
        let mut by_symbol = HashMap::with_capacity(listed.len());
        for symbol in listed {
            if let Err(message) = check_identifier(symbol) {
                self.fault(node, scope, path, format!("the symbol {message}"));
            }
            if by_symbol.insert(symbol.to_owned(), symbols.len()).is_some() {
                self.fault(node, scope, path, format!("enum {name} has the symbol {symbol} twice"));
            }
            symbols.push(symbol.to_owned());
        }
        let default = match node.get("default").map(|default| (default, default.text())) {
            None => None,
            // Some generators write null for no default.
            Some((Node { json: Json::Null, .. }, _)) => None,
            Some((_, Some(symbol))) if by_symbol.contains_key(symbol) => Some(symbol.to_owned()),
            Some((default, _)) => {
                let message = format!(
                    "the default {} of enum {name} is not one of its symbols",
                    shorten_default(&default.to_text())
                );
                self.fault(default, scope, path, message);
                None
            }
        };
        let logical = self.logical(node, Base::Other, scope, path);
        let keys = ["type", "name", "namespace", "doc", "aliases", "symbols", "default"];
        let annotations = annotations(node, &known_keys(&keys, logical.as_ref()));
        let position = TextPosition { document: scope.document, byte: node.offset };
        let kind = Kind::Enum(Enum { name, aliases, symbols, default, by_symbol });
        self.define(id, Type { kind, logical, annotations, position })
    }

    /// Builds a fixed.
    pub(super) fn fixed(&mut self, node: &Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some((id, name, aliases)) = self.declaration(node, scope, path) else {
            return PLACEHOLDER;
        };
        let size = match node.get("size").map(|size| (size, &size.json)) {
            Some((size, Json::Number(number))) => match number.as_u64() {
                Some(size) if size <= FIXED_BYTES_MAX => size,
                _ => {
                    let message = format!(
                        "the size of fixed {name} is {number}; it must be a number of bytes from 0 to {FIXED_BYTES_MAX}"
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
                    format!("fixed {name} has no \"size\", or one that is not a number"),
                );
                0
            }
        };
        let logical = self.logical(node, Base::Fixed(size), scope, path);
        let keys = ["type", "name", "namespace", "doc", "aliases", "size"];
        let annotations = annotations(node, &known_keys(&keys, logical.as_ref()));
        let position = TextPosition { document: scope.document, byte: node.offset };
        let kind = Kind::Fixed(Fixed { name, aliases, size });
        self.define(id, Type { kind, logical, annotations, position })
    }
}

fn field_node<'n>(fields: &'n [Node], index: usize, record: &'n Node) -> &'n Node {
    fields.get(index).unwrap_or(record)
}
