//! The source of a schema: its documents, their dialects, and the names by which they refer to each
//! other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use jsonschema::{Draft, Registry, Retrieve, Uri, Validator};
use serde_json::{Map, Value, json};

use super::{
    exact::{Exact, STEP_DIGITS_MAX},
    limits::FAULTS_MAX,
    number::value_key,
    numeric_assertions::{self, NumericAssertions},
    pattern,
    resource::address,
    text,
    wide::WideNumbers,
};
use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, SourceLocation,
};

/// Base URI of a document without an id.
pub(crate) const DEFAULT_BASE: &str = "json-schema:///";
/// Ids under which imports are registered: a relative name resolves differently against each base.
const BASES_MAX: usize = 50;
/// A JSON document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Name of the import or file. The schema itself has an empty name.
    pub name: String,
    /// Part of the definition itself, so that its faults are reported to the author.
    pub own: bool,
    pub text: String,
    pub value: Value,
    /// Wide numbers, by pointer: their text.
    pub(super) wide: BTreeMap<String, String>,
    pub draft: Draft,
}

/// All documents of a schema. The schema itself comes first.
#[derive(Debug)]
pub(crate) struct Source {
    pub documents: Vec<Document>,
    pub draft: Draft,
}

/// The dialect that a document declares, or else the inherited one.
pub(crate) fn dialect(value: &Value, inherited: Draft) -> Result<Draft, String> {
    match value.get("$schema") {
        None => Ok(inherited),
        Some(Value::String(uri)) => match Draft::from_schema_uri(uri) {
            Draft::Unknown => Err(format!(
                "the dialect {uri:?} is not known; the known dialects are drafts 4, 6, 7, 2019-09 \
                 and 2020-12, such as \
                 \"https://json-schema.org/draft/2020-12/schema\""
            )),
            draft => Ok(draft),
        },
        Some(_) => Err("$schema is not a string".to_owned()),
    }
}

impl Document {
    /// The text of a number or of a list of values, if it contains a wide number.
    fn written(&self, pointer: &str) -> Option<&str> {
        if let Some(token) = self.wide.get(pointer) {
            return Some(token);
        }
        let below = format!("{pointer}/");
        let first = self.wide.range(below.clone()..).next();
        first.filter(|(wide, _)| wide.starts_with(&below))?;
        text::written(&self.text, pointer)
    }
}

impl Source {
    /// Whether a document contains a wide number.
    pub(crate) fn is_wide(&self) -> bool {
        self.documents.iter().any(|document| !document.wide.is_empty())
    }

    /// The text at a pointer, if it contains a wide number.
    pub(crate) fn written(&self, document: u32, pointer: &str) -> Option<&str> {
        self.documents.get(document as usize)?.written(pointer)
    }

    /// Reads all documents.
    ///
    /// # Errors
    /// Returns all faults if a text is not JSON or its dialect is not known.
    pub(crate) fn read(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            let message = format!("{bytes} bytes; the limit is {DEFINITION_BYTES_MAX}");
            return Err(InvalidSchema::new(message));
        }
        let mut faults = Vec::new();
        let mut documents: Vec<Document> = Vec::new();
        let mut draft = Draft::Draft202012;
        let own = std::iter::once((String::new(), true, &definition.form));
        let imported =
            imports.iter().map(|import| (import.name.clone(), false, &import.definition.form));
        let texts = own.chain(imported).filter_map(|(name, own, form)| match form {
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
            if documents.iter().any(|document| document.name == name) {
                continue;
            }
            let file = name.clone();
            match text::read_wide(&file, text) {
                Err(fault) => faults.push(fault),
                Ok((value, wide)) => {
                    // A file inherits the dialect of its schema; an import does not.
                    let inherited = if own { draft } else { Draft::Draft202012 };
                    let document_draft = dialect(&value, inherited).unwrap_or_else(|message| {
                        let location = text::location(&file, text, "/$schema");
                        faults.push(Fault { location, message });
                        inherited
                    });
                    if index == 0 {
                        draft = document_draft;
                    }
                    let text = text.to_owned();
                    let mut pointers = Vec::new();
                    if wide {
                        WideNumbers::of(&text, &value, &mut pointers);
                    }
                    let wide = pointers.into_iter().collect();
                    documents.push(Document {
                        name,
                        own,
                        text,
                        value,
                        wide,
                        draft: document_draft,
                    });
                }
            }
        }
        if documents.is_empty() && faults.is_empty() {
            return Err(InvalidSchema::new("a JSON Schema must be given as text"));
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
        let location = self.location(document, pointer);
        Fault { location, message: message.into() }
    }

    /// The source location of a pointer.
    pub(crate) fn location(&self, document: u32, pointer: &str) -> SourceLocation {
        match self.documents.get(document as usize) {
            Some(document) => text::location(&document.name, &document.text, pointer),
            None => SourceLocation { path: pointer.to_owned(), ..SourceLocation::default() },
        }
    }

    /// Whether a document belongs to the author.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.documents.iter().any(|document| document.own && document.name == name)
    }

    /// The default of the schema at a pointer, as written.
    pub(crate) fn default_at(&self, (document, pointer): (u32, String)) -> Option<&str> {
        let document = self.documents.get(document as usize)?;
        document.value.pointer(&pointer)?.get("default")?;
        text::written(&document.text, &format!("{pointer}/default"))
    }

    /// The source location of a path in the format of [`super::model::Model::path`].
    pub(crate) fn location_of(&self, path: &str) -> SourceLocation {
        let named = path.split_once('#').filter(|_| !path.is_empty() && !path.starts_with('/'));
        let named_document = named.and_then(|(name, pointer)| {
            let index = self.documents.iter().position(|document| document.name == name)?;
            Some((u32::try_from(index).ok()?, pointer))
        });
        let (document, pointer) = named_document.unwrap_or((0, path));
        self.location(document, pointer)
    }

    /// Checks every document of the author against the metaschema of its dialect.
    pub(crate) fn check_dialects(&self) -> Vec<Fault> {
        self.check(0)
    }

    /// As [`Source::check_dialects`], for the files alone: the schema itself was checked by the
    /// build.
    pub(crate) fn check_files(&self) -> Vec<Fault> {
        self.check(1)
    }

    /// Checks that every reference and id of the author is a URI reference.
    pub(crate) fn check_references(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, schema, draft| {
            for keyword in ["$ref", draft.id_keyword(), "$dynamicRef", "$recursiveRef"] {
                let Some(Value::String(text)) = schema.get(keyword) else { continue };
                if resolve(DEFAULT_BASE, text).is_some() && is_encoded(text) {
                    continue;
                }
                let message = match encoded(text) {
                    encoded if encoded == *text => {
                        format!("{keyword} {text:?} is not a URI reference of RFC 3986")
                    }
                    encoded => format!(
                        "{keyword} {text:?} has characters that must be percent-encoded in a URI; \
                         write {encoded:?}"
                    ),
                };
                faults.push(self.fault(number, &format!("{pointer}/{keyword}"), message));
            }
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Checks that every `multipleOf` fits fixed-width arithmetic.
    pub(crate) fn check_steps(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, _, _| {
            let pointer = format!("{pointer}/multipleOf");
            let digits = self
                .written(number, &pointer)
                .and_then(Exact::parse)
                .map(|number| number.precision());
            if let Some(digits) = digits.filter(|digits| *digits > STEP_DIGITS_MAX) {
                let message =
                    format!("multipleOf has {digits} digits; the limit is {STEP_DIGITS_MAX}");
                faults.push(self.fault(number, &pointer, message));
            }
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Checks the rules of draft 4 for `enum` that its metaschema in the library lacks: at least
    /// one value, and no duplicates.
    pub(crate) fn check_enums(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_schema(|number, pointer, schema, draft| {
            let Some(Value::Array(values)) = schema.get("enum") else { return };
            if draft != Draft::Draft4 {
                return;
            }
            let mut keys = BTreeSet::new();
            let twice = values.iter().find(|value| !keys.insert(value_key(value)));
            let reason = match twice {
                Some(value) => {
                    let value: String = value.to_string().chars().take(100).collect();
                    format!("{value} occurs twice")
                }
                None if values.is_empty() => "it has no values".to_owned(),
                None => return,
            };
            let message = format!(
                "not allowed by draft 4: an enum needs at least one value and no duplicates; \
                     {reason}"
            );
            faults.push(self.fault(number, &format!("{pointer}/enum"), message));
        });
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Visits the schemas of the author's documents, with the index of the document and the
    /// pointer.
    fn each_schema(&self, mut visit: impl FnMut(u32, &str, &Map<String, Value>, Draft)) {
        for (index, document) in
            self.documents.iter().enumerate().filter(|(_, document)| document.own)
        {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            visit_schemas(
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
                let reason: String = error.to_string().chars().take(300).collect();
                let message = format!("not allowed by {}: {reason}", name_of(draft));
                faults.push(self.fault(number, &pointer, message));
            }
        }
        faults
    }

    /// The registry of all documents. A missing resource resolves to an empty schema, and is
    /// recorded in `missing`.
    pub(crate) fn registry<'a>(
        &self,
        documents: &'a [Value],
        missing: &MissingResources,
    ) -> Result<Registry<'a>, String> {
        let root = self.base()?;
        let mut bases = BTreeSet::from([DEFAULT_BASE.to_owned(), root.as_str().to_owned()]);
        let mut ids = BTreeSet::new();
        for value in documents {
            collect_ids(value, &mut ids);
        }
        bases.extend(ids.iter().cloned());
        let retriever = Retriever(missing.0.clone());
        let mut builder = Registry::new().retriever(retriever).draft(self.draft);
        let mut registered = BTreeSet::from([root.as_str().to_owned()]);
        for (index, (document, value)) in self.documents.iter().zip(documents).enumerate() {
            let resource = document.draft.create_resource_ref(value);
            if index == 0 {
                builder =
                    builder.add(root.as_str(), resource).map_err(|error| error.to_string())?;
                continue;
            }
            // A relative name resolves differently against each base.
            for base in &bases {
                let resource = document.draft.create_resource_ref(value);
                let Some(uri) = resolve(base, &document.name) else { continue };
                // A document with that id takes precedence over a document that is found by its
                // name.
                let id = value.get(document.draft.id_keyword()).and_then(Value::as_str);
                let own = ids.contains(&uri) && id.map(|id| id.trim_end_matches('#')) != Some(&uri);
                if !own && registered.insert(uri.clone()) {
                    builder = builder.add(&uri, resource).map_err(|error| error.to_string())?;
                }
            }
        }
        builder.prepare().map_err(|error| error.to_string())
    }

    /// The base URI of the schema itself.
    pub(crate) fn base(&self) -> Result<Uri<String>, String> {
        let id = self.root().get(self.draft.id_keyword()).and_then(Value::as_str);
        let uri =
            id.and_then(|id| resolve(DEFAULT_BASE, id)).unwrap_or_else(|| DEFAULT_BASE.to_owned());
        jsonschema::uri::from_str(&uri).map_err(|error| error.to_string())
    }

    /// A validator that asserts exactly the keywords of the dialect, and fetches nothing.
    pub(crate) fn validator(&self, documents: &[Value]) -> Result<Validator, String> {
        let missing = MissingResources::default();
        let registry = self.registry(documents, &missing)?;
        let mut options = jsonschema::options()
            .with_draft(self.draft)
            .with_registry(&registry)
            .with_base_uri(self.base()?.as_str())
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(pattern::options());
        // Content keywords are annotations.
        for keyword in ["contentMediaType", "contentEncoding", "contentSchema"] {
            options = options.with_keyword(keyword, |_, _, _| Ok(Box::new(AnnotationKeyword)));
        }
        options = options.with_keyword(numeric_assertions::KEYWORD, |_, value, _| {
            Ok(Box::new(NumericAssertions::decode(value)))
        });
        // The library divides doubles, which is not exact.
        options = options
            .with_keyword("multipleOf", |_, value, _| Ok(Box::new(NumericAssertions::step(value))));
        options.build(documents.first().unwrap_or(&Value::Null)).map_err(|error| error.to_string())
    }
}

/// Resolves a reference to an absolute URI without a fragment.
pub(crate) fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = jsonschema::uri::from_str(base.split('#').next()?).ok()?;
    let reference = reference.split('#').next()?;
    let uri = jsonschema::uri::resolve_against(&base.borrow(), reference).ok()?;
    Some(uri.as_str().trim_end_matches('#').to_owned())
}

/// Visits a schema and its subschemas. Documents nest at most [`text::DEPTH_MAX`] deep.
fn visit_schemas(
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
            visit_schemas(value, draft, pointer, visit);
        }
        // Most keywords contain one subschema, others an array or an object of subschemas.
        let inner = pointer.len();
        let named: Vec<(String, &Value)> = match value {
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value)).collect()
            }
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (token, value) in named {
            if subschemas.contains(&address(value)) {
                push(pointer, &token);
                visit_schemas(value, draft, pointer, visit);
                pointer.truncate(inner);
            }
        }
        pointer.truncate(length);
    }
}

/// Whether a text has only characters that are valid in a URI.
fn is_encoded(text: &str) -> bool {
    encoded(text) == text
}

/// Percent-encodes the characters that are invalid in a URI.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut fragment = false;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = || {
            let digits = bytes.get(index + 1..index + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let kept = match byte {
            b'%' => escape(),
            b'#' => !std::mem::replace(&mut fragment, true),
            // Valid only around the address of a host.
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

/// Whether the draft is 2019-09 or later.
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

/// Collects every id in a value as a base.
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

/// Addresses of missing resources.
#[derive(Debug, Default)]
pub(crate) struct MissingResources(Arc<Mutex<BTreeMap<String, ()>>>);

impl MissingResources {
    pub(crate) fn contains(&self, uri: &str) -> bool {
        self.0.lock().is_ok_and(|missing| missing.contains_key(uri.trim_end_matches('#')))
    }
}

/// Fetches nothing, and records the requested addresses.
struct Retriever(Arc<Mutex<BTreeMap<String, ()>>>);

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

/// A keyword that asserts nothing.
struct AnnotationKeyword;

impl<'i> jsonschema::Keyword<'i> for AnnotationKeyword {
    fn validate(&self, _: &'i Value) -> Result<(), jsonschema::ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        true
    }
}
