//! The types of a text, built one by one. Every fault is collected; what is wrong is stood in for by null, so that the rest
//! is looked at.

use std::collections::HashMap;

use super::{
    document::{Document, Json, Node},
    logical::{Base, Logical},
    model::{At, Ignored, Kind, Notes, Primitive, Type, TypeId},
    name::Name,
    parse::FAULTS_MAX,
};
use crate::definition::{Fault, Import, SourceLocation};

/// Stands in for what could not be read.
pub const STAND_IN: TypeId = TypeId(0);

/// A default whose type was not complete yet when it was met.
pub struct Pending<'t> {
    pub record: TypeId,
    pub field: usize,
    pub node: &'t Node,
    pub document: u32,
    pub path: String,
}

/// Where names are looked up.
#[derive(Clone)]
pub struct Scope {
    pub document: u32,
    pub namespace: String,
}

/// Reads the texts of one definition.
pub struct Parser<'t> {
    documents: &'t [Document],
    /// None: declared, and not built yet.
    pub types: Vec<Option<Type>>,
    /// By full name.
    names: HashMap<String, (TypeId, At)>,
    by_place: HashMap<At, TypeId>,
    pub named: usize,
    pub fields: usize,
    pub faults: Vec<Fault>,
    /// What only a new definition is refused for.
    pub draft_faults: Vec<Fault>,
    pub ignored: Vec<Ignored>,
    pub pending: Vec<Pending<'t>>,
}

/// A type in place of one that could not be read.
pub fn stand_in() -> Type {
    Type {
        kind: Kind::Primitive(Primitive::Null),
        logical: None,
        notes: Notes::default(),
        at: At::default(),
    }
}

/// What an object describes, by its "type".
fn described(node: &Node) -> &str {
    node.get("type").and_then(Node::text).unwrap_or("")
}

/// The full name of a definition, where it has a valid one.
fn full_name(node: &Node, namespace: &str) -> Result<Name, String> {
    let name = match node.get("name") {
        None => return Err("there is no \"name\"".into()),
        Some(name) => name.text().ok_or_else(|| format!("its name is {}", name.kind()))?,
    };
    let namespace = match node.get("namespace").map(|it| &it.json) {
        None | Some(Json::Null) => namespace,
        Some(Json::String(namespace)) => namespace,
        Some(_) => return Err("its namespace is not a string".into()),
    };
    let name = Name::new(name, namespace)?;
    if Primitive::named(name.short()).is_some() {
        return Err(format!("{name} is the name of a primitive type: choose another"));
    }
    Ok(name)
}

impl<'t> Parser<'t> {
    pub fn new(documents: &'t [Document]) -> Self {
        Self {
            documents,
            types: vec![Some(stand_in())],
            names: HashMap::new(),
            by_place: HashMap::new(),
            named: 0,
            fields: 0,
            faults: Vec::new(),
            draft_faults: Vec::new(),
            ignored: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Gives every named type of a text its number, so that texts may refer to one another in any order.
    pub fn declare(&mut self, node: &Node, scope: &Scope) {
        if let Json::Array(branches) = &node.json {
            branches.iter().for_each(|it| self.declare(it, scope));
            return;
        }
        let part = match described(node) {
            "array" => node.get("items"),
            "map" => node.get("values"),
            "record" | "error" | "enum" | "fixed" => {
                self.declare_named(node, scope);
                None
            }
            "" => node.get("type"),
            _ => None,
        };
        if let Some(part) = part {
            self.declare(part, scope);
        }
    }

    fn declare_named(&mut self, node: &Node, scope: &Scope) {
        self.named += 1;
        let mut inner = scope.clone();
        if let Ok(name) = full_name(node, &scope.namespace) {
            let at = At { document: scope.document, byte: node.at };
            inner.namespace = name.namespace().into();
            let id = self.reserve();
            self.by_place.insert(at, id);
            self.names.entry(name.full().into()).or_insert((id, at));
        }
        let Some(Json::Array(fields)) = node.get("fields").map(|it| &it.json) else { return };
        self.fields += fields.len();
        for of in fields.iter().filter_map(|field| field.get("type")) {
            self.declare(of, &inner);
        }
    }

    fn reserve(&mut self) -> TypeId {
        let id = TypeId(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(None);
        id
    }

    pub(super) fn put(&mut self, id: TypeId, of: Type) -> TypeId {
        if let Some(slot) = self.types.get_mut(id.0 as usize) {
            *slot = Some(of);
        }
        id
    }

    pub fn check_import(&mut self, import: &Import) {
        if self.names.contains_key(&import.name) {
            return;
        }
        let Import { name, subject, version, .. } = import;
        let document = self.documents.iter().position(|it| it.file == *name);
        let mut defined: Vec<_> = self
            .names
            .iter()
            .filter(|(_, (_, at))| Some(at.document as usize) == document)
            .map(|(name, _)| name.as_str())
            .collect();
        defined.sort_unstable();
        defined.truncate(5);
        let defined = match defined.as_slice() {
            [] => "it defines no named type".to_owned(),
            names => format!("it defines {}", names.join(", ")),
        };
        self.faults.push(Fault {
            place: SourceLocation { file: name.clone(), ..SourceLocation::default() },
            message: format!("{subject} {version} does not define the type {name} that it is referred to for: {defined}"),
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
            let at = At { document: scope.document, byte: node.at };
            self.faults.push(Fault { place: self.place(at, path), message: message.into() });
        }
    }

    /// Of a definition that libraries refuse, and that was accepted here once: it can be read.
    fn draft_fault(&mut self, node: &Node, scope: &Scope, path: &str, message: String) {
        if self.draft_faults.len() < FAULTS_MAX {
            let at = At { document: scope.document, byte: node.at };
            self.draft_faults.push(Fault { place: self.place(at, path), message });
        }
    }

    pub(super) fn place(&self, at: At, path: &str) -> SourceLocation {
        let document = self.documents.get(at.document as usize);
        document.map_or_else(SourceLocation::default, |it| it.place(at.byte as usize, path))
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
                STAND_IN
            }
        }
    }

    fn plain(&mut self, kind: Kind, node: &Node, scope: &Scope) -> TypeId {
        let at = At { document: scope.document, byte: node.at };
        let id = self.reserve();
        self.put(id, Type { kind, logical: None, notes: Notes::default(), at })
    }

    fn reference(&mut self, name: &str, node: &Node, scope: &Scope, path: &str) -> TypeId {
        if let Some(primitive) = Primitive::named(name) {
            return self.plain(Kind::Primitive(primitive), node, scope);
        }
        let full = match Name::new(name, &scope.namespace) {
            Ok(full) => full,
            Err(message) => {
                self.fault(node, scope, path, message);
                return STAND_IN;
            }
        };
        // A name that its namespace does not have may be one without a namespace, as Java has it.
        let qualified = self.names.get(full.full()).copied();
        let Some((id, at)) = qualified.or_else(|| self.names.get(name).copied()) else {
            if self.faults.len() < FAULTS_MAX {
                let message = self.unknown(&full);
                self.fault(node, scope, path, message);
            }
            return STAND_IN;
        };
        if at.document == scope.document && at.byte > node.at {
            let line = self.place(at, "").line;
            let message = format!(
                "{full} is used before it is defined (in line {line}): define it where it is used first, and name it from then on"
            );
            self.fault(node, scope, path, message);
            return STAND_IN;
        }
        let is_open = self.types.get(id.0 as usize).is_some_and(Option::is_none);
        if qualified.is_none() && is_open && at.document == scope.document {
            let message = format!(
                "{name} is a type around this one and has no namespace: from within the namespace {} no library finds it, for they look for {full}; give {name} a namespace",
                scope.namespace
            );
            self.draft_fault(node, scope, path, message);
        }
        id
    }

    fn unknown(&self, name: &Name) -> String {
        const TIDY: [(&str, &str); 6] = [
            ("bool", "boolean"),
            ("integer", "int"),
            ("str", "string"),
            ("number", "double"),
            ("decimal", "{\"type\": \"bytes\", \"logicalType\": \"decimal\", …}"),
            ("timestamp", "{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}"),
        ];
        // Longer names are not misspellings, and comparing them takes the product of their lengths.
        let near = |known: &&str| {
            known.len() < 100
                && name.full().len() < 100
                && strsim::jaro_winkler(known, name.full()) > 0.85
        };
        let primitives = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
        let known = self.names.keys().map(String::as_str).chain(primitives);
        let meant = TIDY
            .iter()
            .find(|(wrong, _)| name.short().eq_ignore_ascii_case(wrong))
            .map(|(_, right)| *right)
            .or_else(|| known.filter(near).min());
        let start = format!("there is no type {name}");
        // The mistake that everybody makes once: a field's "type" with the rest of the type beside it.
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
                "{name} is described by an object of its own: write \"type\": {{\"type\": \"{name}\", {rest}}}"
            );
        }
        match meant {
            Some(meant) => format!("{start}: is {meant} meant?"),
            None => format!("{start}: define it here, or refer to the subject that does"),
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
        let mut seen = HashMap::new();
        for branch in branches {
            if matches!(branch.json, Json::Array(_)) {
                self.fault(
                    branch,
                    scope,
                    path,
                    "a union may not be a branch of a union: list its branches in the outer one",
                );
                continue;
            }
            let length = path.len();
            let id = self.build(branch, scope, path);
            path.truncate(length);
            let Some(key) = self.branch_key(id) else { continue };
            if id != STAND_IN && seen.insert(key.clone(), ()).is_some() {
                let message = format!(
                    "the union has two branches of {key}, and readers could not tell them apart: keep one, or wrap them in records of their own"
                );
                self.fault(branch, scope, path, message);
            }
            ids.push(id);
        }
        self.plain(Kind::Union(ids), node, scope)
    }

    /// What no two branches of a union may share. None: unions, which are a fault of their own.
    fn branch_key(&self, id: TypeId) -> Option<String> {
        let declared = self.types.get(id.0 as usize)?;
        let Some(of) = declared else {
            // It is being built around this union: a name of its own.
            return Some(format!("type {}", id.0));
        };
        Some(match &of.kind {
            Kind::Primitive(primitive) => primitive.name().into(),
            Kind::Array(_) => "array".into(),
            Kind::Map(_) => "map".into(),
            Kind::Union(_) => return None,
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => of.name()?.full().into(),
        })
    }

    fn object(&mut self, node: &'t Node, scope: &Scope, path: &mut String) -> TypeId {
        let Some(of) = node.get("type") else {
            self.fault(node, scope, path, "there is no \"type\"");
            return STAND_IN;
        };
        match described(node) {
            "record" | "error" => self.record(node, scope, path),
            "enum" => self.enumeration(node, scope, path),
            "fixed" => self.fixed(node, scope, path),
            "array" => self.collection(node, "items", Kind::Array, scope, path),
            "map" => self.collection(node, "values", Kind::Map, scope, path),
            _ => {
                let id = self.build(of, scope, path);
                self.decorate(id, node, scope, path);
                id
            }
        }
    }

    /// What an object adds to the type that its "type" is: a logical type, notes. A type with a name has its own.
    fn decorate(&mut self, id: TypeId, node: &Node, scope: &Scope, path: &str) {
        let named = match self.types.get(id.0 as usize) {
            Some(Some(of)) => of.name().is_some() || of.logical.is_some(),
            _ => true,
        };
        if id == STAND_IN {
            return;
        }
        if named {
            if let Some(name) = node.get("logicalType").and_then(Node::text) {
                let reason = "it stands beside a reference: put it where the type is defined";
                self.ignore(node, scope, path, name, reason.into());
            }
            return;
        }
        let base = match self.types.get(id.0 as usize) {
            Some(Some(of)) => of.base(),
            _ => return,
        };
        let logical = self.logical(node, base, scope, path);
        let notes = notes(node, &known(&["type"], logical.as_ref()));
        if let Some(Some(of)) = self.types.get_mut(id.0 as usize) {
            of.logical = logical;
            of.notes.doc = notes.doc.or(of.notes.doc.take());
            of.notes.attributes.extend(notes.attributes);
            of.notes.attributes.sort();
            of.notes.attributes.dedup();
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
            self.ignore(
                node,
                scope,
                path,
                name.kind(),
                "a logical type is named by a string".into(),
            );
            return None;
        };
        match Logical::read(name, node, base) {
            Ok(logical) => Some(logical),
            Err(reason) => {
                self.ignore(node, scope, path, name, reason);
                None
            }
        }
    }

    pub(super) fn ignore(
        &mut self,
        node: &Node,
        scope: &Scope,
        path: &str,
        name: &str,
        reason: String,
    ) {
        if self.ignored.len() < FAULTS_MAX {
            let place = self.place(At { document: scope.document, byte: node.at }, path);
            self.ignored.push(Ignored { place, name: name.into(), reason });
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
        let Some(part) = node.get(key) else {
            self.fault(
                node,
                scope,
                path,
                format!("there is no {key:?}, the type of what is in it"),
            );
            return STAND_IN;
        };
        let length = path.len();
        path.push_str(if key == "items" { "[]" } else { "{}" });
        let part = self.build(part, scope, path);
        path.truncate(length);
        let id = self.plain(kind(part), node, scope);
        let logical = self.logical(node, Base::Other, scope, path);
        let notes = notes(node, &known(&["type", key], logical.as_ref()));
        if let Some(Some(of)) = self.types.get_mut(id.0 as usize) {
            of.logical = logical;
            of.notes = notes;
        }
        id
    }

    /// The number, the name and the aliases of a definition; what is wrong with them is told.
    pub(super) fn heading(
        &mut self,
        node: &Node,
        scope: &Scope,
        path: &mut String,
    ) -> Option<(TypeId, Name, Vec<Name>)> {
        let at = At { document: scope.document, byte: node.at };
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
        let id = self.by_place.get(&at).copied()?;
        if let Some((_, first)) = self.names.get(name.full()).copied()
            && first != at
        {
            let SourceLocation { file, line, .. } = self.place(first, "");
            let file = if file.is_empty() { file } else { format!(" of {file}") };
            let message = format!(
                "{name} is defined twice, first in line {line}{file}: refer to that one by its name"
            );
            self.fault(node, scope, path, message);
        }
        let mut aliases = Vec::new();
        for alias in self.words(node, "aliases", scope, path) {
            match Name::new(alias, name.namespace()) {
                Ok(alias) => aliases.push(alias),
                Err(message) => self.fault(node, scope, path, format!("the alias {message}")),
            }
        }
        aliases.sort();
        aliases.dedup();
        Some((id, name, aliases))
    }

    /// The strings of an array; where it is another thing, that is told.
    pub(super) fn words<'n>(
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
        let mut words = Vec::new();
        for item in items {
            match item.text() {
                Some(text) => words.push(text),
                None => {
                    let message = format!("{key:?} holds strings; this is {}", item.kind());
                    self.fault(item, scope, path, message);
                }
            }
        }
        words
    }
}

/// The keys of an object that are more than notes.
pub fn known<'a>(keys: &[&'a str], logical: Option<&Logical>) -> Vec<&'a str> {
    let mut known = keys.to_vec();
    match logical {
        None => {}
        Some(Logical::Decimal { .. }) => known.extend(["logicalType", "precision", "scale"]),
        Some(_) => known.push("logicalType"),
    }
    known
}

/// What no reader notices.
pub fn notes(node: &Node, known: &[&str]) -> Notes {
    let mut notes = Notes::default();
    for (key, value) in node.entries() {
        match value.text() {
            Some(doc) if key == "doc" => notes.doc = Some(doc.into()),
            _ if known.contains(&key.as_str()) => {}
            _ => notes.attributes.push((key.clone(), value.to_text())),
        }
    }
    notes.attributes.sort();
    notes
}
