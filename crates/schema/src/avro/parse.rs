//! From texts to a model.

use std::collections::HashSet;

use super::{
    build::{Parser, STAND_IN, Scope, stand_in},
    default,
    document::Document,
    model::Model,
};
use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, SourceLocation,
};

/// Most types with a name, and most fields, of a definition with all that it refers to. The largest schemas that people
/// publish have about 3,000 fields; a megabyte would hold 30,000.
const NAMED_MAX: usize = 10_000;

/// Faults that are told. Who has more has one mistake many times.
pub const FAULTS_MAX: usize = 100;

/// Reads a definition with the types that it refers to.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Model, InvalidSchema> {
    let documents = gather(definition, imports)?;
    let mut trees = Vec::new();
    let mut faults = Vec::new();
    for document in &documents {
        match document.parse() {
            Ok(tree) => trees.push(tree),
            Err(fault) => faults.push(fault),
        }
    }
    finish(faults)?;

    let scope = |document| Scope { document, namespace: String::new() };
    let mut parser = Parser::new(&documents);
    for (document, tree) in (0..).zip(&trees) {
        parser.declare(tree, &scope(document));
    }
    let (named, fields) = (parser.named, parser.fields);
    if named > NAMED_MAX || fields > NAMED_MAX {
        return Err(InvalidSchema::new(format!(
            "there are {named} named types and {fields} fields, and at most {NAMED_MAX} of each are taken: split the schema"
        )));
    }
    for import in imports {
        parser.check_import(import);
    }
    let mut root = None;
    for (document, tree) in (0..).zip(&trees) {
        let id = parser.build(tree, &scope(document), &mut String::new());
        root = root.or(Some(id));
    }
    let Parser { types, faults, draft_faults, ignored, pending, .. } = parser;
    finish(faults)?;

    let types = types.into_iter().map(|it| it.unwrap_or_else(stand_in)).collect();
    let mut model = Model::new(root.unwrap_or(STAND_IN), types, ignored);
    finish(default::settle(&mut model, &documents, &pending))?;
    model.documents = documents;
    model.draft_faults = draft_faults;
    Ok(model)
}

fn finish(mut faults: Vec<Fault>) -> Result<(), InvalidSchema> {
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by(|a, b| a.place.cmp(&b.place));
    faults.truncate(FAULTS_MAX);
    Err(InvalidSchema { faults })
}

/// The definition first, then everything that it may refer to, each text once.
fn gather(definition: &Definition, imports: &[Import]) -> Result<Vec<Document>, InvalidSchema> {
    let mut documents = Vec::new();
    let mut seen = HashSet::new();
    let imports = imports.iter().map(|it| (it.name.as_str(), &it.definition));
    for (name, definition) in std::iter::once(("", definition)).chain(imports) {
        let place = SourceLocation { file: name.into(), ..SourceLocation::default() };
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            let message = format!(
                "the definition has {bytes} bytes, and at most {DEFINITION_BYTES_MAX} are taken: split it"
            );
            return Err(InvalidSchema::at(place, message));
        }
        let Form::Text(text) = &definition.form else {
            let message = "an Avro schema is a JSON text, and a descriptor set is Protobuf's";
            return Err(InvalidSchema::at(place, message));
        };
        let files = definition.files.iter().map(|(path, text)| (path.as_str(), text));
        for (file, text) in std::iter::once((name, text)).chain(files) {
            if seen.insert(text) {
                documents.push(Document::new(file, text.as_str()));
            }
        }
    }
    Ok(documents)
}
