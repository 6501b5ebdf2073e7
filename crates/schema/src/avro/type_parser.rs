//! Builds the types of a definition. Collects all faults: an invalid type is replaced by a
//! placeholder, so that the rest is checked.

use std::collections::HashMap;

use super::{
    document::{Document, Json, Node},
    limits::FAULTS_MAX,
    logical::{Base, Logical},
    model::{Annotations, IgnoredLogical, Kind, TextPosition, Type, TypeId},
    name::Name,
    primitive::Primitive,
};
use crate::definition::{Fault, Import, SourceLocation};

/// The id of the placeholder for invalid types.
pub const PLACEHOLDER: TypeId = TypeId(0);

/// A default to check once all types are complete.
pub struct PendingDefault<'t> {
    pub record: TypeId,
    pub field: usize,
    pub node: &'t Node,
    pub document: u32,
    pub path: String,
}

/// The document and the namespace in which names are resolved.
#[derive(Clone)]
pub struct Scope {
    pub document: u32,
    pub namespace: String,
}

/// Parses the texts of a definition.
pub struct Parser<'t> {
    documents: &'t [Document],
    /// `None` for a type that is declared and not yet built.
    pub types: Vec<Option<Type>>,
    /// Declared types by full name.
    names: HashMap<String, (TypeId, TextPosition)>,
    by_position: HashMap<TextPosition, TypeId>,
    /// Number of named types.
    pub named: usize,
    /// Number of fields.
    pub fields: usize,
    pub faults: Vec<Fault>,
    /// Faults that reject a new definition. Registered definitions may have them.
    pub draft_faults: Vec<Fault>,
    pub ignored: Vec<IgnoredLogical>,
    pub pending: Vec<PendingDefault<'t>>,
}

/// The type that replaces an invalid one.
pub fn placeholder() -> Type {
    Type {
        kind: Kind::Primitive(Primitive::Null),
        logical: None,
        annotations: Annotations::default(),
        position: TextPosition::default(),
    }
}

/// The keyword of an object's "type"; empty if that is not a string.
fn type_keyword(node: &Node) -> &str {
    node.get("type").and_then(Node::text).unwrap_or("")
}

/// The full name of a named type, or the reason if it has no valid name.
fn full_name(node: &Node, namespace: &str) -> Result<Name, String> {
    let name = match node.get("name") {
        None => return Err("there is no \"name\"".into()),
        Some(name) => name.text().ok_or_else(|| format!("its name is {}", name.kind()))?,
    };
    let namespace = match node.get("namespace").map(|namespace| &namespace.json) {
        None | Some(Json::Null) => namespace,
        Some(Json::String(namespace)) => namespace,
        Some(_) => return Err("its namespace is not a string".into()),
    };
    let name = Name::new(name, namespace)?;
    if Primitive::named(name.short()).is_some() {
        return Err(format!("{name} is the name of a primitive type: choose another name"));
    }
    Ok(name)
}

impl<'t> Parser<'t> {
    pub fn new(documents: &'t [Document]) -> Self {
        Self {
            documents,
            types: vec![Some(placeholder())],
            names: HashMap::new(),
            by_position: HashMap::new(),
            named: 0,
            fields: 0,
            faults: Vec::new(),
            draft_faults: Vec::new(),
            ignored: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Assigns ids to the named types of a text, so that texts can refer to one another in any
    /// order.
    pub fn declare(&mut self, node: &Node, scope: &Scope) {
        if let Json::Array(branches) = &node.json {
            branches.iter().for_each(|branch| self.declare(branch, scope));
            return;
        }
        let inner = match type_keyword(node) {
            "array" => node.get("items"),
            "map" => node.get("values"),
            "record" | "error" | "enum" | "fixed" => {
                self.declare_named(node, scope);
                None
            }
            "" => node.get("type"),
            _ => None,
        };
        if let Some(inner) = inner {
            self.declare(inner, scope);
        }
    }

    fn declare_named(&mut self, node: &Node, scope: &Scope) {
        self.named += 1;
        let mut own_scope = scope.clone();
        if let Ok(name) = full_name(node, &scope.namespace) {
            let position = TextPosition { document: scope.document, byte: node.offset };
            own_scope.namespace = name.namespace().into();
            let id = self.reserve();
            self.by_position.insert(position, id);
            self.names.entry(name.full().into()).or_insert((id, position));
        }
        let Some(Json::Array(fields)) = node.get("fields").map(|fields| &fields.json) else {
            return;
        };
        self.fields += fields.len();
        for field_type in fields.iter().filter_map(|field| field.get("type")) {
            self.declare(field_type, &own_scope);
        }
    }

    fn reserve(&mut self) -> TypeId {
        let id = TypeId(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(None);
        id
    }

    pub(super) fn define(&mut self, id: TypeId, ty: Type) -> TypeId {
        if let Some(slot) = self.types.get_mut(id.0 as usize) {
            *slot = Some(ty);
        }
        id
    }

    pub fn check_import(&mut self, import: &Import) {
        if self.names.contains_key(&import.name) {
            return;
        }
        let Import { name, subject, version, .. } = import;
        let document = self.documents.iter().position(|document| document.file == *name);
        let mut defined: Vec<_> = self
            .names
            .iter()
            .filter(|(_, (_, position))| Some(position.document as usize) == document)
            .map(|(name, _)| name.as_str())
            .collect();
        defined.sort_unstable();
        defined.truncate(5);
        let defined = match defined.as_slice() {
            [] => "it defines no named type".to_owned(),
            names => format!("it defines {}", names.join(", ")),
        };
        self.faults.push(Fault {
            location: SourceLocation { file: name.clone(), ..SourceLocation::default() },
            message: format!(
                "{subject} {version} does not define the referenced type {name}: {defined}"
            ),
        });
    }

    pub(super) fn fault(
        &mut self,
        node: &Node,
        scope: &Scope,
        path: &str,
        message: impl Into<String>,
    ) {
        if self.faults.len() < FAULTS_MAX {
            let position = TextPosition { document: scope.document, byte: node.offset };
            self.faults
                .push(Fault { location: self.location(position, path), message: message.into() });
        }
    }

    /// Records a fault of a definition that libraries reject and that earlier releases accepted: it
    /// stays readable.
    fn draft_fault(&mut self, node: &Node, scope: &Scope, path: &str, message: String) {
        if self.draft_faults.len() < FAULTS_MAX {
            let position = TextPosition { document: scope.document, byte: node.offset };
            self.draft_faults.push(Fault { location: self.location(position, path), message });
        }
    }

    pub(super) fn location(&self, position: TextPosition, path: &str) -> SourceLocation {
        let document = self.documents.get(position.document as usize);
        document.map_or_else(SourceLocation::default, |document| {
            document.location(position.byte as usize, path)
        })
    }

    pub fn build(&mut self, node: &'t Node, scope: &Scope, path: &mut String) -> TypeId {
        match &node.json {
            Json::String(name) => self.reference(name, node, scope, path),
            Json::Array(branches) => self.union(branches, node, scope, path),
            Json::Object(_) => self.object(node, scope, path),
            Json::Null | Json::Bool(_) | Json::Number(_) => {
                let message = format!(
                    "a type is a name, an object with a \"type\", or an array of branches; this is {}",
                    node.kind()
                );
                self.fault(node, scope, path, message);
                PLACEHOLDER
            }
        }
    }

    /// Adds a type without a name.
    fn add(&mut self, kind: Kind, node: &Node, scope: &Scope) -> TypeId {
        let position = TextPosition { document: scope.document, byte: node.offset };
        let id = self.reserve();
        self.define(id, Type { kind, logical: None, annotations: Annotations::default(), position })
    }

    fn reference(&mut self, name: &str, node: &Node, scope: &Scope, path: &str) -> TypeId {
        if let Some(primitive) = Primitive::named(name) {
            return self.add(Kind::Primitive(primitive), node, scope);
        }
        let full = match Name::new(name, &scope.namespace) {
            Ok(full) => full,
            Err(message) => {
                self.fault(node, scope, path, message);
                return PLACEHOLDER;
            }
        };
        // A name that is not in the namespace may be a name without a namespace, as in Java.
        let qualified = self.names.get(full.full()).copied();
        let Some((id, position)) = qualified.or_else(|| self.names.get(name).copied()) else {
            if self.faults.len() < FAULTS_MAX {
                let message = self.unknown_type(&full);
                self.fault(node, scope, path, message);
            }
            return PLACEHOLDER;
        };
        if position.document == scope.document && position.byte > node.offset {
            let line = self.location(position, "").line;
            let message = format!(
                "{full} is used before its definition in line {line}: define it at its first use, and refer to it by name afterwards"
            );
            self.fault(node, scope, path, message);
            return PLACEHOLDER;
        }
        let is_open = self.types.get(id.0 as usize).is_some_and(Option::is_none);
        if qualified.is_none() && is_open && position.document == scope.document {
            let message = format!(
                "{name} encloses this type and has no namespace: within the namespace {} libraries look for {full} and do not find it; give {name} a namespace",
                scope.namespace
            );
            self.draft_fault(node, scope, path, message);
        }
        id
    }

    fn unknown_type(&self, name: &Name) -> String {
        const COMMON_MISTAKES: [(&str, &str); 6] = [
            ("bool", "boolean"),
            ("integer", "int"),
            ("str", "string"),
            ("number", "double"),
            ("decimal", "{\"type\": \"bytes\", \"logicalType\": \"decimal\", …}"),
            ("timestamp", "{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}"),
        ];
        // Longer names are not misspellings, and a comparison takes the product of their lengths.
        let is_similar = |known: &&str| {
            known.len() < 100
                && name.full().len() < 100
                && strsim::jaro_winkler(known, name.full()) > 0.85
        };
        let primitives = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
        let known = self.names.keys().map(String::as_str).chain(primitives);
        let suggestion = COMMON_MISTAKES
            .iter()
            .find(|(wrong, _)| name.short().eq_ignore_ascii_case(wrong))
            .map(|(_, right)| *right)
            .or_else(|| known.filter(is_similar).min());
        let start = format!("there is no type {name}");
        // A common mistake: the field's "type" is the keyword, and the rest of the type stands
        // beside it.
        let rest = match name.short() {
            "record" | "error" => "\"name\": …, \"fields\": […]",
            "enum" => "\"name\": …, \"symbols\": […]",
            "fixed" => "\"name\": …, \"size\": …",
            "array" => "\"items\": …",
            "map" => "\"values\": …",
            _ => "",
        };
        if !rest.is_empty() {
            let name = name.short();
            return format!(
                "{name} needs an object of its own: write \"type\": {{\"type\": \"{name}\", {rest}}}"
            );
        }
        match suggestion {
            Some(suggestion) => format!("{start}: did you mean {suggestion}?"),
            None => format!("{start}: define it here, or refer to the subject that defines it"),
        }
    }

    fn union(
        &mut self,
        branches: &'t [Node],
        node: &'t Node,
        scope: &Scope,
        path: &mut String,
    ) -> TypeId {
        let mut ids = Vec::with_capacity(branches.len());
        let mut keys = HashMap::new();
        for branch in branches {
            if matches!(branch.json, Json::Array(_)) {
                self.fault(
                    branch,
                    scope,
                    path,
                    "a union cannot be a branch of a union: list its branches in the outer union",
                );
                continue;
            }
            let length = path.len();
            let id = self.build(branch, scope, path);
            path.truncate(length);
            let Some(key) = self.branch_key(id) else { continue };
            if id != PLACEHOLDER && keys.insert(key.clone(), ()).is_some() {
                let message = format!(
                    "the union has two branches of {key}, which readers cannot distinguish: keep one, or wrap each in a record"
                );
                self.fault(branch, scope, path, message);
            }
            ids.push(id);
        }
        self.add(Kind::Union(ids), node, scope)
    }

    /// The key that must be unique among the branches of a union. Returns `None` for a union, which
    /// is a fault itself.
    fn branch_key(&self, id: TypeId) -> Option<String> {
        let declared = self.types.get(id.0 as usize)?;
        let Some(ty) = declared else {
            // An enclosing type: its id is unique.
            return Some(format!("type {}", id.0));
        };
        Some(match &ty.kind {
            Kind::Primitive(primitive) => primitive.name().into(),
            Kind::Array(_) => "array".into(),
            Kind::Map(_) => "map".into(),
            Kind::Union(_) => return None,
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => ty.name()?.full().into(),
        })
    }

    fn object(&mut self, node: &'t Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some(inner) = node.get("type") else {
            self.fault(node, scope, path, "there is no \"type\"");
            return PLACEHOLDER;
        };
        match type_keyword(node) {
            "record" | "error" => self.record(node, scope, path),
            "enum" => self.enumeration(node, scope, path),
            "fixed" => self.fixed(node, scope, path),
            "array" => self.collection(node, "items", Kind::Array, scope, path),
            "map" => self.collection(node, "values", Kind::Map, scope, path),
            _ => {
                let id = self.build(inner, scope, path);
                self.annotate(id, node, scope, path);
                id
            }
        }
    }

    /// Adds the logical type and the annotations of an object to the type in its "type". A named
    /// type has its own.
    fn annotate(&mut self, id: TypeId, node: &Node, scope: &Scope, path: &str) {
        let named = match self.types.get(id.0 as usize) {
            Some(Some(ty)) => ty.name().is_some() || ty.logical.is_some(),
            _ => true,
        };
        if id == PLACEHOLDER {
            return;
        }
        if named {
            if let Some(name) = node.get("logicalType").and_then(Node::text) {
                let reason = "it annotates a reference: move it to the definition of the type";
                self.ignore_logical(node, scope, path, name, reason.into());
            }
            return;
        }
        let base = match self.types.get(id.0 as usize) {
            Some(Some(ty)) => ty.base(),
            _ => return,
        };
        let logical = self.logical(node, base, scope, path);
        let added = annotations(node, &known_keys(&["type"], logical.as_ref()));
        if let Some(Some(ty)) = self.types.get_mut(id.0 as usize) {
            ty.logical = logical;
            ty.annotations.doc = added.doc.or(ty.annotations.doc.take());
            ty.annotations.attributes.extend(added.attributes);
            ty.annotations.attributes.sort();
            ty.annotations.attributes.dedup();
        }
    }

    pub(super) fn logical(
        &mut self,
        node: &Node,
        base: Base,
        scope: &Scope,
        path: &str,
    ) -> Option<Logical> {
        let name = node.get("logicalType")?;
        let Some(name) = name.text() else {
            self.ignore_logical(
                node,
                scope,
                path,
                name.kind(),
                "the name of a logical type is a string".into(),
            );
            return None;
        };
        match Logical::read(name, node, base) {
            Ok(logical) => Some(logical),
            Err(reason) => {
                self.ignore_logical(node, scope, path, name, reason);
                None
            }
        }
    }

    /// Records a logical type without effect.
    pub(super) fn ignore_logical(
        &mut self,
        node: &Node,
        scope: &Scope,
        path: &str,
        name: &str,
        reason: String,
    ) {
        if self.ignored.len() < FAULTS_MAX {
            let location =
                self.location(TextPosition { document: scope.document, byte: node.offset }, path);
            self.ignored.push(IgnoredLogical { location, name: name.into(), reason });
        }
    }

    fn collection(
        &mut self,
        node: &'t Node,
        key: &str,
        kind: fn(TypeId) -> Kind,
        scope: &Scope,
        path: &mut String,
    ) -> TypeId {
        let Some(element) = node.get(key) else {
            self.fault(node, scope, path, format!("there is no {key:?}, the type of the elements"));
            return PLACEHOLDER;
        };
        let length = path.len();
        path.push_str(if key == "items" { "[]" } else { "{}" });
        let element = self.build(element, scope, path);
        path.truncate(length);
        let id = self.add(kind(element), node, scope);
        let logical = self.logical(node, Base::Other, scope, path);
        let annotations = annotations(node, &known_keys(&["type", key], logical.as_ref()));
        if let Some(Some(ty)) = self.types.get_mut(id.0 as usize) {
            ty.logical = logical;
            ty.annotations = annotations;
        }
        id
    }

    /// Reads the id, the name and the aliases of a named type, and records their faults.
    pub(super) fn declaration(
        &mut self,
        node: &Node,
        scope: &Scope,
        path: &mut String,
    ) -> Option<(TypeId, Name, Vec<Name>)> {
        let position = TextPosition { document: scope.document, byte: node.offset };
        let name = match full_name(node, &scope.namespace) {
            Ok(name) => name,
            Err(message) => {
                self.fault(node, scope, path, message);
                return None;
            }
        };
        if path.is_empty() {
            path.push_str(name.short());
        }
        let id = self.by_position.get(&position).copied()?;
        if let Some((_, first)) = self.names.get(name.full()).copied()
            && first != position
        {
            let SourceLocation { file, line, .. } = self.location(first, "");
            let file = if file.is_empty() { file } else { format!(" of {file}") };
            let message = format!(
                "{name} is defined twice, first in line {line}{file}: refer to the first definition by name"
            );
            self.fault(node, scope, path, message);
        }
        let mut aliases = Vec::new();
        for alias in self.strings(node, "aliases", scope, path) {
            match Name::new(alias, name.namespace()) {
                Ok(alias) => aliases.push(alias),
                Err(message) => self.fault(node, scope, path, format!("the alias {message}")),
            }
        }
        aliases.sort();
        aliases.dedup();
        Some((id, name, aliases))
    }

    /// Reads an array of strings, and records a fault if it is anything else.
    pub(super) fn strings<'n>(
        &mut self,
        node: &'n Node,
        key: &str,
        scope: &Scope,
        path: &str,
    ) -> Vec<&'n str> {
        let Some(list) = node.get(key) else { return Vec::new() };
        let Json::Array(items) = &list.json else {
            let message = format!("{key:?} is an array of strings; this is {}", list.kind());
            self.fault(list, scope, path, message);
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.text() {
                Some(text) => strings.push(text),
                None => {
                    let message = format!("{key:?} holds strings; this is {}", item.kind());
                    self.fault(item, scope, path, message);
                }
            }
        }
        strings
    }
}

/// The keys of an object that are not annotations.
pub fn known_keys<'a>(keys: &[&'a str], logical: Option<&Logical>) -> Vec<&'a str> {
    let mut keys = keys.to_vec();
    match logical {
        None => {}
        Some(Logical::Decimal { .. }) => keys.extend(["logicalType", "precision", "scale"]),
        Some(_) => keys.push("logicalType"),
    }
    keys
}

/// Reads the documentation and the attributes of an object.
pub fn annotations(node: &Node, known: &[&str]) -> Annotations {
    let mut annotations = Annotations::default();
    for (key, value) in node.entries() {
        match value.text() {
            Some(doc) if key == "doc" => annotations.doc = Some(doc.into()),
            _ if known.contains(&key.as_str()) => {}
            _ => annotations.attributes.push((key.clone(), value.to_text())),
        }
    }
    annotations.attributes.sort();
    annotations
}
