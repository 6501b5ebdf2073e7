//! Parses the texts of a definition into a model.

use std::collections::HashSet;

use super::{
    defaults::resolve_defaults,
    document::Document,
    limits::{FAULTS_MAX, NAMED_MAX},
    model::Model,
    type_parser::{PLACEHOLDER, Parser, Scope, placeholder},
};
use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, SourceLocation,
};

/// Parses a definition and its references.
///
/// # Errors
/// Returns all faults, at most [`FAULTS_MAX`].
pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Model, InvalidSchema> {
    let documents = collect_documents(definition, imports)?;
    let mut trees = Vec::new();
    let mut faults = Vec::new();
    for document in &documents {
        match document.parse() {
            Ok(tree) => trees.push(tree),
            Err(fault) => faults.push(fault),
        }
    }
    check(faults)?;

    let scope = |document| Scope { document, namespace: String::new() };
    let mut parser = Parser::new(&documents);
    for (document, tree) in (0..).zip(&trees) {
        parser.declare(tree, &scope(document));
    }
    let (named, fields) = (parser.named, parser.fields);
    if named > NAMED_MAX || fields > NAMED_MAX {
        return Err(InvalidSchema::new(format!(
            "{named} named types and {fields} fields; the limit of each is {NAMED_MAX}: split the schema"
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
    check(faults)?;

    let types = types.into_iter().map(|ty| ty.unwrap_or_else(placeholder)).collect();
    let mut model = Model::new(root.unwrap_or(PLACEHOLDER), types, ignored);
    check(resolve_defaults(&mut model, &documents, &pending))?;
    model.documents = documents;
    model.draft_faults = draft_faults;
    Ok(model)
}

/// Returns the faults as an error, if there are any.
fn check(mut faults: Vec<Fault>) -> Result<(), InvalidSchema> {
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by(|a, b| a.location.cmp(&b.location));
    faults.truncate(FAULTS_MAX);
    Err(InvalidSchema { faults })
}

/// Collects the texts of the definition and of its references, each text once, the definition
/// first.
fn collect_documents(
    definition: &Definition,
    imports: &[Import],
) -> Result<Vec<Document>, InvalidSchema> {
    let mut documents = Vec::new();
    let mut seen = HashSet::new();
    let imports = imports.iter().map(|import| (import.name.as_str(), &import.definition));
    for (name, definition) in std::iter::once(("", definition)).chain(imports) {
        let location = SourceLocation { file: name.into(), ..SourceLocation::default() };
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            let message = format!(
                "the definition has {bytes} bytes; the limit is {DEFINITION_BYTES_MAX}: split it"
            );
            return Err(InvalidSchema::at(location, message));
        }
        let Form::Text(text) = &definition.form else {
            let message = "an Avro schema is a JSON text; descriptor sets are for Protobuf";
            return Err(InvalidSchema::at(location, message));
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
