//! What a schema is read from: its documents, their dialects, and the names under which they refer to each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use jsonschema::{Draft, Registry, Retrieve, Uri, Validator};
use serde_json::{Value, json};

use super::{pattern, text};
use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, Place,
};

/// Where a document without an id is taken to be.
const HERE: &str = "json-schema:///";
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

impl Source {
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
            match text::read(&file, text) {
                Err(fault) => faults.push(fault),
                Ok(value) => {
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
                    documents.push(Document { name, own, text, value, draft: found });
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
    pub(crate) fn root(&self) -> &Value {
        self.documents.first().map_or(&Value::Null, |document| &document.value)
    }

    /// A fault at a pointer.
    pub(crate) fn fault(&self, document: u32, pointer: &str, message: impl Into<String>) -> Fault {
        let place = self.place(document, pointer);
        Fault { place, message: message.into() }
    }

    /// The place of a pointer.
    pub(crate) fn place(&self, document: u32, pointer: &str) -> Place {
        match self.documents.get(document as usize) {
            Some(document) => text::place(&document.name, &document.text, pointer),
            None => Place { path: pointer.to_owned(), ..Place::default() },
        }
    }

    /// The default of the schema at a pointer, as its author wrote it.
    pub(crate) fn default_at(&self, (document, pointer): (u32, String)) -> Option<&str> {
        let document = self.documents.get(document as usize)?;
        document.value.pointer(&pointer)?.get("default")?;
        text::written(&document.text, &format!("{pointer}/default"))
    }

    /// The place of a path as [`super::model::Model::path`] writes it.
    pub(crate) fn place_of(&self, path: &str) -> Place {
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
    pub(crate) fn registry<'a>(&'a self, missing: &'a Missing) -> Result<Registry<'a>, String> {
        let root = self.base()?;
        let mut bases = BTreeSet::from([HERE.to_owned(), root.as_str().to_owned()]);
        for document in &self.documents {
            collect_ids(&document.value, &mut bases);
        }
        let retriever = Retriever(missing.0.clone());
        let mut builder = Registry::new().retriever(retriever).draft(self.draft);
        let mut taken = BTreeSet::from([root.as_str().to_owned()]);
        for (index, document) in self.documents.iter().enumerate() {
            let resource = document.draft.create_resource_ref(&document.value);
            if index == 0 {
                builder =
                    builder.add(root.as_str(), resource).map_err(|error| error.to_string())?;
                continue;
            }
            // A relative name means one thing below each base.
            for base in &bases {
                let resource = document.draft.create_resource_ref(&document.value);
                let Some(uri) = resolve(base, &document.name) else { continue };
                if taken.insert(uri.clone()) {
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
    pub(crate) fn validator(&self) -> Result<Validator, String> {
        let missing = Missing::default();
        let registry = self.registry(&missing)?;
        let mut options = jsonschema::options()
            .with_draft(self.draft)
            .with_registry(&registry)
            .with_base_uri(self.base()?.as_str())
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(pattern::engine());
        // `dependencies` went with 2019-09; content is described, not checked.
        let mut silent = vec!["contentMediaType", "contentEncoding", "contentSchema"];
        if is_modern(self.draft) {
            silent.push("dependencies");
        }
        for keyword in silent {
            options = options.with_keyword(keyword, |_, _, _| Ok(Box::new(Silent)));
        }
        options.build(self.root()).map_err(|error| error.to_string())
    }
}

/// An address in full, without a fragment.
fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = jsonschema::uri::from_str(base.split('#').next()?).ok()?;
    let reference = reference.split('#').next()?;
    let uri = jsonschema::uri::resolve_against(&base.borrow(), reference).ok()?;
    Some(uri.as_str().trim_end_matches('#').to_owned())
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
                    bases.insert(id.clone());
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
