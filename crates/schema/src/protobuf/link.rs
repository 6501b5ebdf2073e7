//! Sources, linked: every name resolved.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorProto;

use crate::definition::{Fault, InvalidSchema, SourceLocation};

use super::{
    amendments,
    check::Check,
    descriptor_set, editions,
    features::Edition,
    limits::Tokens,
    options::DeclaredOptions,
    source::{FAULTS_MAX, Source, Sources, diagnostics},
    types::Types,
    well_known::{self, DESCRIPTOR},
};

/// What a definition links to.
pub(super) struct Linked {
    pub(super) pool: DescriptorPool,
    pub(super) types: Types,
    /// The file whose messages the definition is about.
    pub(super) main: String,
    /// The files that came with the definition itself.
    pub(super) own: Vec<String>,
    /// What only a new definition is refused for.
    pub(super) draft_faults: Vec<Fault>,
}

/// Links the files of a definition.
pub(super) fn link(sources: Sources) -> Result<Linked, InvalidSchema> {
    // What does not link is refused for what its texts show, too.
    let once = once(&sources).map_err(|mut invalid| {
        invalid.faults.extend_from_slice(&sources.draft_faults);
        invalid.faults.sort_by(|one, other| one.place.cmp(&other.place));
        invalid
    })?;
    let declared = DeclaredOptions::of(once.files());
    let editions: HashMap<&str, Edition> =
        sources.files.iter().map(|it| (it.name.as_str(), it.edition)).collect();
    let edition = |name: &str| editions.get(name).copied().unwrap_or(Edition::Proto2);
    let modern = sources.files.iter().any(|it| it.edition.is_modern());
    let (pool, mut types) = if modern {
        let pool = featured(&once, &sources)?;
        let declared = DeclaredOptions::of(pool.files());
        let types = Types::of(&pool, &declared, edition, &sources.places);
        (pool, types)
    } else {
        let types = Types::of(&once, &declared, edition, &sources.places);
        (once.clone(), types)
    };
    for source in &sources.files {
        if let Some(file) = pool.get_file_by_name(&source.name) {
            types.share_names(&file, &source.json_names);
        }
    }
    let draft_faults = Check::new(&sources, &once, &types, &declared).run();
    let own = sources.files.iter().filter(|it| it.own).map(|it| it.name.clone()).collect();
    Ok(Linked { pool, types, main: sources.main, own, draft_faults })
}

/// Links files as they were parsed: what is of an edition is proto2, and its features are options that say nothing yet.
pub(super) fn once(sources: &Sources) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = base(sources);
    let mut found = Vec::new();
    let mut faulty: HashSet<&str> = HashSet::new();
    for source in &sources.files {
        // What it imports is not there.
        if source.imports.iter().any(|it| faulty.contains(it.as_str())) {
            faulty.insert(&source.name);
            continue;
        }
        if let Err(error) = add(&mut pool, source, &source.encoded) {
            if found.len() < FAULTS_MAX {
                found.extend(faults(&mut pool, source, &error, &sources.main));
            }
            faulty.insert(&source.name);
        }
    }
    if found.is_empty() { Ok(pool) } else { Err(InvalidSchema { faults: found }) }
}

/// Links once more what is of an edition, for what its features say can only be asked of what is linked.
fn featured(once: &DescriptorPool, sources: &Sources) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = base(sources);
    for source in &sources.files {
        let mut encoded = source.encoded.clone();
        if source.edition.is_modern()
            && let Some(file) = once.get_file_by_name(&source.name)
            && let Some(meta) = well_known::meta_message("google.protobuf.FileDescriptorProto")
            && let Ok(mut file) = DynamicMessage::decode(meta, file.encode_to_vec().as_slice())
        {
            editions::apply(&mut file);
            encoded = file.encode_to_vec().into();
        }
        if let Err(error) = add(&mut pool, source, &encoded) {
            return Err(InvalidSchema { faults: faults(&mut pool, source, &error, &sources.main) });
        }
    }
    Ok(pool)
}

/// What files are added to. The linker's own descriptor of options lacks those that came with
/// edition 2024; others do not carry ours along, which has 35 messages.
fn base(sources: &Sources) -> DescriptorPool {
    let newer = |it: &Source| it.edition >= Edition::E2024 || it.name == DESCRIPTOR;
    if sources.files.iter().any(newer) { well_known::meta().clone() } else { DescriptorPool::new() }
}

fn add(pool: &mut DescriptorPool, source: &Source, encoded: &Bytes) -> Result<(), DescriptorError> {
    let Err(error) = pool.decode_file_descriptor_proto(encoded.clone()) else { return Ok(()) };
    if source.text.is_none() {
        return match descriptor_set::with_text_options(pool, encoded) {
            Some(encoded) => pool.decode_file_descriptor_proto(encoded.as_slice()),
            None => Err(error),
        };
    }
    // Whether an option is a string or bytes is known once it is found; only then is a string that
    // is no UTF-8 wrong.
    if let Ok(mut proto) = FileDescriptorProto::decode(encoded.clone()) {
        let messages: Vec<String> = diagnostics(&error).into_iter().map(|(_, it)| it).collect();
        if amendments::make_texts(&mut proto, &messages) {
            return pool.add_file_descriptor_proto(proto);
        }
    }
    Err(error)
}

/// What the linker refuses, with places. They cost a search through all places for each fault, so they are only looked
/// up for a file that does not link, and not for more faults than anybody reads.
fn faults(
    pool: &mut DescriptorPool,
    source: &Source,
    error: &DescriptorError,
    main: &str,
) -> Vec<Fault> {
    let file = if source.name == *main { String::new() } else { source.name.clone() };
    let count =
        miette::Diagnostic::related(error).into_iter().flatten().take(FAULTS_MAX + 1).count();
    let plain = |(_, message): (Option<usize>, String)| {
        let text = source.text.as_ref().map(|it| it.written.as_str());
        let at = text
            .and_then(|text| Some(SourceLocation::of_byte(text, first_mention(text, &message)?)));
        Fault { place: SourceLocation { file: file.clone(), ..at.unwrap_or_default() }, message }
    };
    let Some(text) = source.text.as_ref().filter(|_| count < FAULTS_MAX) else {
        return diagnostics(error).into_iter().map(plain).collect();
    };
    let linked = FileDescriptorProto::decode(source.encoded.clone()).ok().and_then(|mut proto| {
        proto.source_code_info = Some(text.info.clone());
        pool.add_file_descriptor_proto(proto).err()
    });
    let Some(error) = linked else {
        return diagnostics(error).into_iter().map(plain).collect();
    };
    let error = error.with_source_code(&text.rewritten.text);
    diagnostics(&error)
        .into_iter()
        .map(|(at, message)| match at {
            Some(at) => {
                let at = text.rewritten.original(at);
                let place = SourceLocation {
                    file: file.clone(),
                    ..SourceLocation::of_byte(&text.written, at)
                };
                Fault { place, message }
            }
            None => plain((None, message)),
        })
        .collect()
}

/// Where a text first mentions the name that a message quotes.
fn first_mention(text: &str, message: &str) -> Option<usize> {
    let name = message.split('\'').nth(1)?;
    let name = name.rsplit('.').next()?;
    Tokens::new(text)
        .find(|(_, token)| token.rsplit(|it| *it == b'.').next() == Some(name.as_bytes()))
        .map(|(at, _)| at)
}
