//! What a schema is read from: its documents, their dialects, and the names under which they refer to each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
    sync::Mutex,
};

use jsonschema::{Draft, Registry, Retrieve, Uri, Validator};
use serde_json::{Map, Value, json};

use super::{
    exact::{self, Exact, STEP_DIGITS_MAX, Wide},
    number::value_key,
    pattern,
    resource::address,
    text,
};
use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, SourceLocation,
};

/// Where a document without an id is taken to be.
pub(crate) const HERE: &str = "json-schema:///";
/// Ids under which imports are known: a relative name means one thing below each.
const BASES_MAX: usize = 50;
/// Faults that one answer lists.
const FAULTS_MAX: usize = 50;

/// One JSON document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Empty: the schema itself. Else what it is called.
    pub name: String,
    /// Of the definition itself, so that its places are the author's.
    pub own: bool,
    pub text: String,
    pub value: Value,
    /// The numbers that the value does not hold, by pointer and as they were written.
    wide: BTreeMap<String, String>,
    pub draft: Draft,
}

/// All documents of a schema, the schema itself first.
#[derive(Debug)]
pub(crate) struct Source {
    pub documents: Vec<Document>,
    pub draft: Draft,
}

/// The dialect that a document declares.
pub(crate) fn dialect(value: &Value, inherited: Draft) -> Result<Draft, String> {
    match value.get("$schema") {
        None => Ok(inherited),
        Some(Value::String(uri)) => match Draft::from_schema_uri(uri) {
            Draft::Unknown => Err(format!(
                "the dialect {uri:?} is not known; known are drafts 4, 6, 7, 2019-09 and 2020-12, such as \
                 \"https://json-schema.org/draft/2020-12/schema\""
            )),
            draft => Ok(draft),
        },
        Some(_) => Err("$schema is not a string".to_owned()),
    }
}

impl Document {
    /// Writes the value as [`text::write_canonical`] does, with all digits.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        if self.wide.is_empty() {
            return text::write_canonical(&self.value, out);
        }
        let wide = Wide::of(&self.text, &self.value, &mut Vec::new());
        wide.during(|| text::write_canonical(&self.value, out));
    }

    /// A number or a list of values with all digits. None: the value holds them.
    fn written(&self, pointer: &str) -> Option<&str> {
        if let Some(token) = self.wide.get(pointer) {
            return Some(token);
        }
        let below = format!("{pointer}/");
        let first = self.wide.range(below.clone()..).next();
        first.filter(|(it, _)| it.starts_with(&below))?;
        text::written(&self.text, pointer)
    }
}

impl Source {
    /// Whether there is a number that a value does not hold as it is written.
    pub(crate) fn is_wide(&self) -> bool {
        self.documents.iter().any(|document| !document.wide.is_empty())
    }

    /// What stands at a pointer, with all digits. None: the value holds them.
    pub(crate) fn written(&self, document: u32, pointer: &str) -> Option<&str> {
        self.documents.get(document as usize)?.written(pointer)
    }

    /// Reads all documents.
    pub(crate) fn read(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            let message = format!("{bytes} bytes, and at most {DEFINITION_BYTES_MAX} are taken");
            return Err(InvalidSchema::new(message));
        }
        let mut faults = Vec::new();
        let mut documents: Vec<Document> = Vec::new();
        let mut draft = Draft::Draft202012;
        let own = std::iter::once((String::new(), true, &definition.form));
        let others = imports.iter().map(|it| (it.name.clone(), false, &it.definition.form));
        let texts = own.chain(others).filter_map(|(name, own, form)| match form {
            Form::Text(text) => Some((name, own, text.as_str())),
            Form::DescriptorSet(_) => None,
        });
        let own_files = definition.files.iter().map(|file| (file, true));
        let files = own_files.chain(
            imports
                .iter()
                .flat_map(|import| import.definition.files.iter().map(|file| (file, false))),
        );
        let files = files.map(|((path, text), own)| (path.clone(), own, text.as_str()));
        for (index, (name, own, text)) in texts.chain(files).enumerate() {
            if documents.iter().any(|it| it.name == name) {
                continue;
            }
            let file = name.clone();
            match text::read_wide(&file, text) {
                Err(fault) => faults.push(fault),
                Ok((value, wide)) => {
                    // A file goes with the schema that it came with; an import stands for itself.
                    let inherited = if own { draft } else { Draft::Draft202012 };
                    let found = dialect(&value, inherited).unwrap_or_else(|message| {
                        let place = text::place(&file, text, "/$schema");
                        faults.push(Fault { place, message });
                        inherited
                    });
                    if index == 0 {
                        draft = found;
                    }
                    let text = text.to_owned();
                    let mut pointers = Vec::new();
                    if wide {
                        Wide::of(&text, &value, &mut pointers);
                    }
                    let wide = pointers.into_iter().collect();
                    documents.push(Document { name, own, text, value, wide, draft: found });
                }
            }
        }
        if documents.is_empty() && faults.is_empty() {
            return Err(InvalidSchema::new("a JSON Schema is given as text"));
        }
        if !faults.is_empty() {
            return Err(InvalidSchema { faults });
        }
        Ok(Self { documents, draft })
    }

    /// The schema itself.
    fn root(&self) -> &Value {
        self.documents.first().map_or(&Value::Null, |document| &document.value)
    }

    /// A fault at a pointer.
    pub(crate) fn fault(&self, document: u32, pointer: &str, message: impl Into<String>) -> Fault {
        let place = self.place(document, pointer);
        Fault { place, message: message.into() }
    }

    /// The place of a pointer.
    pub(crate) fn place(&self, document: u32, pointer: &str) -> SourceLocation {
        match self.documents.get(document as usize) {
            Some(document) => text::place(&document.name, &document.text, pointer),
            None => SourceLocation { path: pointer.to_owned(), ..SourceLocation::default() },
        }
    }

    /// Whether a document is one of the author's.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.documents.iter().any(|document| document.own && document.name == name)
    }

    /// The default of the schema at a pointer, as its author wrote it.
    pub(crate) fn default_at(&self, (document, pointer): (u32, String)) -> Option<&str> {
        let document = self.documents.get(document as usize)?;
        document.value.pointer(&pointer)?.get("default")?;
        text::written(&document.text, &format!("{pointer}/default"))
    }

    /// The place of a path as [`super::model::Model::path`] writes it.
    pub(crate) fn place_of(&self, path: &str) -> SourceLocation {
        let named = path.split_once('#').filter(|_| !path.is_empty() && !path.starts_with('/'));
        let found = named.and_then(|(name, pointer)| {
            let index = self.documents.iter().position(|document| document.name == name)?;
            Some((u32::try_from(index).ok()?, pointer))
        });
        let (document, pointer) = found.unwrap_or((0, path));
        self.place(document, pointer)
    }

    /// Checks every document of the author's against the rules of its dialect.
    pub(crate) fn check_dialects(&self) -> Vec<Fault> {
        self.check(0)
    }

    /// The same for the files alone: the validator was built of the schema itself and found nothing.
    pub(crate) fn check_files(&self) -> Vec<Fault> {
        self.check(1)
    }

    /// Checks every reference and id of the author's to be one that can be resolved.
    pub(crate) fn check_references(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, schema, draft| {
            for keyword in ["$ref", draft.id_keyword(), "$dynamicRef", "$recursiveRef"] {
                let Some(Value::String(text)) = schema.get(keyword) else { continue };
                if resolve(HERE, text).is_some() && is_encoded(text) {
                    continue;
                }
                let message = match encoded(text) {
                    encoded if encoded == *text => {
                        format!("{keyword} {text:?} is not a reference as RFC 3986 has them")
                    }
                    encoded => format!(
                        "{keyword} {text:?} has characters that are percent-encoded in a URI; write {encoded:?}"
                    ),
                };
                faults.push(self.fault(number, &format!("{pointer}/{keyword}"), message));
            }
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// What the arithmetic of steps has no room for.
    pub(crate) fn check_steps(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, _, _| {
            let pointer = format!("{pointer}/multipleOf");
            let digits =
                self.written(number, &pointer).and_then(Exact::parse).map(|it| it.precision());
            if let Some(digits) = digits.filter(|it| *it > STEP_DIGITS_MAX) {
                let message =
                    format!("multipleOf has {digits} digits; the limit is {STEP_DIGITS_MAX}");
                faults.push(self.fault(number, &pointer, message));
            }
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// What draft 4 says of `enum` and the library's rules of it do not: one value at least, and none twice.
    pub(crate) fn check_enums(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, schema, draft| {
            let Some(Value::Array(values)) = schema.get("enum") else { return };
            if draft != Draft::Draft4 {
                return;
            }
            let mut keys = BTreeSet::new();
            let twice = values.iter().find(|value| !keys.insert(value_key(value)));
            let said = match twice {
                Some(value) => {
                    let value: String = value.to_string().chars().take(100).collect();
                    format!("{value} is there twice")
                }
                None if values.is_empty() => "it has no value".to_owned(),
                None => return,
            };
            let message =
                format!("not allowed by draft 4: an enum has one value or more, each once; {said}");
            faults.push(self.fault(number, &format!("{pointer}/enum"), message));
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Goes through the schemas of the author's documents, by number of the document and pointer.
    fn each_schema(&self, mut visit: impl FnMut(u32, &str, &Map<String, Value>, Draft)) {
        for (index, document) in self.documents.iter().enumerate().filter(|(_, it)| it.own) {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            walk(
                &document.value,
                document.draft,
                &mut String::new(),
                &mut |pointer: &str, schema: &Map<String, Value>, draft: Draft| {
                    visit(number, pointer, schema, draft);
                },
            );
        }
    }

    fn check(&self, from: usize) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, document) in self.documents.iter().enumerate().skip(from) {
            if !document.own {
                continue;
            }
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            if !matches!(document.value, Value::Object(_) | Value::Bool(_)) {
                let message = "a JSON Schema is an object, true or false";
                faults.push(self.fault(number, "", message));
                continue;
            }
            let draft = document.draft;
            let Some(rules) = rules_of(draft) else { continue };
            for error in rules.iter_errors(&document.value).take(FAULTS_MAX) {
                let pointer = error.instance_path().as_str().to_owned();
                let said: String = error.to_string().chars().take(300).collect();
                let message = format!("not allowed by {}: {said}", name_of(draft));
                faults.push(self.fault(number, &pointer, message));
            }
        }
        faults
    }

    /// Everything that can be referred to. What cannot be found stands for nothing, and is noted.
    pub(crate) fn registry<'a>(
        &self,
        documents: &'a [Value],
        missing: &Missing,
    ) -> Result<Registry<'a>, String> {
        let root = self.base()?;
        let mut bases = BTreeSet::from([HERE.to_owned(), root.as_str().to_owned()]);
        let mut ids = BTreeSet::new();
        for value in documents {
            collect_ids(value, &mut ids);
        }
        bases.extend(ids.iter().cloned());
        let retriever = Retriever(missing.0.clone());
        let mut builder = Registry::new().retriever(retriever).draft(self.draft);
        let mut taken = BTreeSet::from([root.as_str().to_owned()]);
        for (index, (document, value)) in self.documents.iter().zip(documents).enumerate() {
            let resource = document.draft.create_resource_ref(value);
            if index == 0 {
                builder =
                    builder.add(root.as_str(), resource).map_err(|error| error.to_string())?;
                continue;
            }
            // A relative name means one thing below each base.
            for base in &bases {
                let resource = document.draft.create_resource_ref(value);
                let Some(uri) = resolve(base, &document.name) else { continue };
                // What a document has under the address goes before what is found there by its name.
                let id = value.get(document.draft.id_keyword()).and_then(Value::as_str);
                let own = ids.contains(&uri) && id.map(|id| id.trim_end_matches('#')) != Some(&uri);
                if !own && taken.insert(uri.clone()) {
                    builder = builder.add(&uri, resource).map_err(|error| error.to_string())?;
                }
            }
        }
        builder.prepare().map_err(|error| error.to_string())
    }

    /// The address of the schema itself.
    pub(crate) fn base(&self) -> Result<Uri<String>, String> {
        let id = self.root().get(self.draft.id_keyword()).and_then(Value::as_str);
        let uri = id.and_then(|id| resolve(HERE, id)).unwrap_or_else(|| HERE.to_owned());
        jsonschema::uri::from_str(&uri).map_err(|error| error.to_string())
    }

    /// A validator that asserts what its dialect asserts and nothing else, and fetches nothing.
    pub(crate) fn validator(&self, documents: &[Value]) -> Result<Validator, String> {
        let missing = Missing::default();
        let registry = self.registry(documents, &missing)?;
        let mut options = jsonschema::options()
            .with_draft(self.draft)
            .with_registry(&registry)
            .with_base_uri(self.base()?.as_str())
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(pattern::options());
        // Content is described, not checked.
        for keyword in ["contentMediaType", "contentEncoding", "contentSchema"] {
            options = options.with_keyword(keyword, |_, _, _| Ok(Box::new(Silent)));
        }
        options = options.with_keyword(exact::KEYWORD, |_, value, _| {
            Ok(Box::new(exact::Assertions::read(value)))
        });
        // The library divides doubles.
        options = options
            .with_keyword("multipleOf", |_, value, _| Ok(Box::new(exact::Assertions::step(value))));
        options.build(documents.first().unwrap_or(&Value::Null)).map_err(|error| error.to_string())
    }
}

/// An address in full, without a fragment.
pub(crate) fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = jsonschema::uri::from_str(base.split('#').next()?).ok()?;
    let reference = reference.split('#').next()?;
    let uri = jsonschema::uri::resolve_against(&base.borrow(), reference).ok()?;
    Some(uri.as_str().trim_end_matches('#').to_owned())
}

/// Goes through the subschemas of a value, the value among them. Documents nest at most [`text::DEPTH_MAX`] deep.
fn walk(
    value: &Value,
    draft: Draft,
    pointer: &mut String,
    visit: &mut impl FnMut(&str, &Map<String, Value>, Draft),
) {
    let Value::Object(members) = value else { return };
    let draft = draft.detect(value);
    visit(pointer, members, draft);
    let subschemas: HashSet<_> = draft.subresources_of(value).map(address).collect();
    if subschemas.is_empty() {
        return;
    }
    let length = pointer.len();
    let push = |pointer: &mut String, token: &str| {
        pointer.push('/');
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
    };
    for (name, value) in members {
        push(pointer, name);
        if subschemas.contains(&address(value)) {
            walk(value, draft, pointer, visit);
        }
        // Most keywords hold one; the others a list of them, or some by name.
        let inner = pointer.len();
        let named: Vec<(String, &Value)> = match value {
            Value::Object(members) => {
                members.iter().map(|(it, value)| (it.clone(), value)).collect()
            }
            Value::Array(items) => {
                items.iter().enumerate().map(|(it, value)| (it.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (token, value) in named {
            if subschemas.contains(&address(value)) {
                push(pointer, &token);
                walk(value, draft, pointer, visit);
                pointer.truncate(inner);
            }
        }
        pointer.truncate(length);
    }
}

/// Whether a text has only characters that a URI has.
fn is_encoded(text: &str) -> bool {
    encoded(text) == text
}

/// A text with the characters encoded that no URI has.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut fragment = false;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = || {
            let digits = bytes.get(index + 1..index + 3);
            digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
        };
        let kept = match byte {
            b'%' => escape(),
            b'#' => !std::mem::replace(&mut fragment, true),
            // Around the address of a host alone.
            b'[' | b']' => !fragment,
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(byte),
        };
        if kept {
            out.push(char::from(*byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Since 2019-09.
pub(crate) fn is_modern(draft: Draft) -> bool {
    matches!(draft, Draft::Draft201909 | Draft::Draft202012 | Draft::Unknown)
}

fn name_of(draft: Draft) -> &'static str {
    match draft {
        Draft::Draft4 => "draft 4",
        Draft::Draft6 => "draft 6",
        Draft::Draft7 => "draft 7",
        Draft::Draft201909 => "draft 2019-09",
        _ => "draft 2020-12",
    }
}

fn rules_of(draft: Draft) -> Option<Validator> {
    let rules = match draft {
        Draft::Draft4 => "http://json-schema.org/draft-04/schema#",
        Draft::Draft6 => "http://json-schema.org/draft-06/schema#",
        Draft::Draft7 => "http://json-schema.org/draft-07/schema#",
        Draft::Draft201909 => "https://json-schema.org/draft/2019-09/schema",
        _ => "https://json-schema.org/draft/2020-12/schema",
    };
    jsonschema::options()
        .offline()
        .with_draft(draft)
        .should_validate_formats(false)
        .build(&json!({ "$ref": rules }))
        .ok()
}

/// Every id below a value, as a base.
fn collect_ids(value: &Value, bases: &mut BTreeSet<String>) {
    if bases.len() >= BASES_MAX {
        return;
    }
    match value {
        Value::Object(members) => {
            for keyword in ["$id", "id"] {
                if let Some(Value::String(id)) = members.get(keyword)
                    && id.contains("://")
                {
                    bases.insert(id.trim_end_matches('#').to_owned());
                }
            }
            members.values().for_each(|value| collect_ids(value, bases));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_ids(value, bases)),
        _ => {}
    }
}

/// The addresses that nobody supplied.
#[derive(Debug, Default)]
pub(crate) struct Missing(std::sync::Arc<Mutex<BTreeMap<String, ()>>>);

impl Missing {
    pub(crate) fn contains(&self, uri: &str) -> bool {
        self.0.lock().is_ok_and(|missing| missing.contains_key(uri.trim_end_matches('#')))
    }
}

/// Fetches nothing: notes what it was asked for.
struct Retriever(std::sync::Arc<Mutex<BTreeMap<String, ()>>>);

impl Retrieve for Retriever {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        if let Ok(mut missing) = self.0.lock() {
            missing.insert(uri.as_str().trim_end_matches('#').to_owned(), ());
        }
        Ok(Value::Object(serde_json::Map::new()))
    }
}

/// A keyword that says nothing.
struct Silent;

impl<'i> jsonschema::Keyword<'i> for Silent {
    fn validate(&self, _: &'i Value) -> Result<(), jsonschema::ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        true
    }
}
