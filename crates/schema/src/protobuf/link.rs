//! Links parsed files: resolves every name.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorProto;

use crate::definition::{Fault, InvalidSchema, SourceLocation};

use super::{
    check::Check,
    descriptor_set, editions,
    features::Edition,
    limits::Tokens,
    linker_input,
    options::DeclaredOptions,
    parse::{FAULTS_MAX, ParsedFile, ParsedFiles, diagnostics},
    types::Types,
    well_known::{self, DESCRIPTOR},
};

/// A linked definition.
pub(super) struct LinkedDefinition {
    pub(super) pool: DescriptorPool,
    pub(super) types: Types,
    /// Name of the file whose messages the definition declares.
    pub(super) main: String,
    /// Names of the files that are part of the definition itself.
    pub(super) own: Vec<String>,
    /// Faults that reject a new definition, but not a registered one.
    pub(super) draft_faults: Vec<Fault>,
}

/// Links the files of a definition.
pub(super) fn link(parsed: ParsedFiles) -> Result<LinkedDefinition, InvalidSchema> {
    // If linking fails, the draft faults found by the parser are reported as well.
    let linked = link_files(&parsed).map_err(|mut invalid| {
        invalid.faults.extend_from_slice(&parsed.draft_faults);
        invalid.faults.sort_by(|a, b| a.location.cmp(&b.location));
        invalid
    })?;
    let declared = DeclaredOptions::of(linked.files());
    let editions: HashMap<&str, Edition> =
        parsed.files.iter().map(|source| (source.name.as_str(), source.edition)).collect();
    let edition = |name: &str| editions.get(name).copied().unwrap_or(Edition::Proto2);
    let modern = parsed.files.iter().any(|source| source.edition.is_modern());
    let (pool, mut types) = if modern {
        let pool = link_with_features(&linked, &parsed)?;
        let declared = DeclaredOptions::of(pool.files());
        let types = Types::of(&pool, &declared, edition, &parsed.locations);
        (pool, types)
    } else {
        let types = Types::of(&linked, &declared, edition, &parsed.locations);
        (linked.clone(), types)
    };
    for source in &parsed.files {
        if let Some(file) = pool.get_file_by_name(&source.name) {
            types.set_shared_names(&file, &source.json_names);
        }
    }
    let draft_faults = Check::new(&parsed, &linked, &types, &declared).run();
    let own =
        parsed.files.iter().filter(|source| source.own).map(|source| source.name.clone()).collect();
    Ok(LinkedDefinition { pool, types, main: parsed.main, own, draft_faults })
}

/// Links files as parsed. Files of an edition are linked as proto2, and their features are options
/// without effect.
pub(super) fn link_files(parsed: &ParsedFiles) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = base_pool(parsed);
    let mut faults = Vec::new();
    let mut faulty: HashSet<&str> = HashSet::new();
    for source in &parsed.files {
        // An import failed to link, so linking this file would only report missing names.
        if source.imports.iter().any(|import| faulty.contains(import.as_str())) {
            faulty.insert(&source.name);
            continue;
        }
        if let Err(error) = add_file(&mut pool, source, &source.encoded) {
            if faults.len() < FAULTS_MAX {
                faults.extend(link_faults(&mut pool, source, &error, &parsed.main));
            }
            faulty.insert(&source.name);
        }
    }
    if faults.is_empty() { Ok(pool) } else { Err(InvalidSchema { faults }) }
}

/// Links the files again with the features of editions applied: features are resolved only after
/// linking.
fn link_with_features(
    linked: &DescriptorPool,
    parsed: &ParsedFiles,
) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = base_pool(parsed);
    for source in &parsed.files {
        let mut encoded = source.encoded.clone();
        if source.edition.is_modern()
            && let Some(file) = linked.get_file_by_name(&source.name)
            && let Some(meta) = well_known::meta_message("google.protobuf.FileDescriptorProto")
            && let Ok(mut file) = DynamicMessage::decode(meta, file.encode_to_vec().as_slice())
        {
            editions::apply(&mut file);
            encoded = file.encode_to_vec().into();
        }
        if let Err(error) = add_file(&mut pool, source, &encoded) {
            return Err(InvalidSchema {
                faults: link_faults(&mut pool, source, &error, &parsed.main),
            });
        }
    }
    Ok(pool)
}

/// The pool that files are added to. The linker's own `descriptor.proto` lacks the options of
/// edition 2024. Files without them do not get ours, because it has 35 messages.
fn base_pool(parsed: &ParsedFiles) -> DescriptorPool {
    let newer = |source: &ParsedFile| source.edition >= Edition::E2024 || source.name == DESCRIPTOR;
    if parsed.files.iter().any(newer) { well_known::meta().clone() } else { DescriptorPool::new() }
}

fn add_file(
    pool: &mut DescriptorPool,
    source: &ParsedFile,
    encoded: &Bytes,
) -> Result<(), DescriptorError> {
    let Err(error) = pool.decode_file_descriptor_proto(encoded.clone()) else { return Ok(()) };
    if source.text.is_none() {
        return match descriptor_set::with_valid_option_strings(pool, encoded) {
            Some(encoded) => pool.decode_file_descriptor_proto(encoded.as_slice()),
            None => Err(error),
        };
    }
    // Only the linker knows whether an option is a string or bytes, so strings that are not UTF-8
    // are replaced after a first attempt.
    if let Ok(mut proto) = FileDescriptorProto::decode(encoded.clone()) {
        let messages: Vec<String> =
            diagnostics(&error).into_iter().map(|(_, message)| message).collect();
        if linker_input::replace_invalid_strings(&mut proto, &messages) {
            return pool.add_file_descriptor_proto(proto);
        }
    }
    Err(error)
}

/// The faults of the linker, with locations. Each location is a search through all locations of the
/// file, so they are looked up only for files that do not link, and for at most [`FAULTS_MAX`]
/// faults.
fn link_faults(
    pool: &mut DescriptorPool,
    source: &ParsedFile,
    error: &DescriptorError,
    main: &str,
) -> Vec<Fault> {
    let file = if source.name == *main { String::new() } else { source.name.clone() };
    let count =
        miette::Diagnostic::related(error).into_iter().flatten().take(FAULTS_MAX + 1).count();
    let without_label = |(_, message): (Option<usize>, String)| {
        let text = source.text.as_ref().map(|text| text.written.as_str());
        let at = text
            .and_then(|text| Some(SourceLocation::of_byte(text, first_mention(text, &message)?)));
        Fault { location: SourceLocation { file: file.clone(), ..at.unwrap_or_default() }, message }
    };
    let Some(text) = source.text.as_ref().filter(|_| count < FAULTS_MAX) else {
        return diagnostics(error).into_iter().map(without_label).collect();
    };
    let located_error =
        FileDescriptorProto::decode(source.encoded.clone()).ok().and_then(|mut proto| {
            proto.source_code_info = Some(text.info.clone());
            pool.add_file_descriptor_proto(proto).err()
        });
    let Some(error) = located_error else {
        return diagnostics(error).into_iter().map(without_label).collect();
    };
    let error = error.with_source_code(&text.parser_input.text);
    diagnostics(&error)
        .into_iter()
        .map(|(at, message)| match at {
            Some(at) => {
                let at = text.parser_input.original(at);
                let location = SourceLocation {
                    file: file.clone(),
                    ..SourceLocation::of_byte(&text.written, at)
                };
                Fault { location, message }
            }
            None => without_label((None, message)),
        })
        .collect()
}

/// The byte offset of the first occurrence of the name that a message quotes.
fn first_mention(text: &str, message: &str) -> Option<usize> {
    let name = message.split('\'').nth(1)?;
    let name = name.rsplit('.').next()?;
    Tokens::new(text)
        .find(|(_, token)| token.rsplit(|byte| *byte == b'.').next() == Some(name.as_bytes()))
        .map(|(at, _)| at)
}
