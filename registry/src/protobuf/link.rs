//! Sources, linked: every name resolved.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorProto;

use crate::definition::{Fault, InvalidSchema, Place};

use super::{
    editions,
    features::Edition,
    limits::Tokens,
    source::{FAULTS_MAX, Source, Sources, diagnostics, meta},
    types::Types,
};

/// What a definition links to.
pub(super) struct Linked {
    pub(super) pool: DescriptorPool,
    pub(super) types: Types,
    /// The file whose messages the definition is about.
    pub(super) main: String,
    /// The files that came with the definition itself.
    pub(super) own: Vec<String>,
}

/// Links the files of a definition.
pub(super) fn link(sources: Sources) -> Result<Linked, InvalidSchema> {
    let mut pool = once(&sources)?;
    if sources.files.iter().any(|it| it.edition == Edition::Modern) {
        pool = featured(&pool, &sources)?;
    }
    let editions: HashMap<&str, Edition> =
        sources.files.iter().map(|it| (it.name.as_str(), it.edition)).collect();
    let edition = |name: &str| editions.get(name).copied().unwrap_or(Edition::Proto2);
    let types = Types::of(&pool, edition, &sources.places);
    let own = sources.files.iter().filter(|it| it.own).map(|it| it.name.clone()).collect();
    Ok(Linked { pool, types, main: sources.main, own })
}

/// Links files as they were parsed: what is of an edition is proto2, and its features are options that say nothing yet.
pub(super) fn once(sources: &Sources) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = DescriptorPool::new();
    for source in &sources.files {
        pool = add(pool, source, &source.encoded, &sources.main)?;
    }
    Ok(pool)
}

/// Links once more what is of an edition, for what its features say can only be asked of what is linked.
fn featured(once: &DescriptorPool, sources: &Sources) -> Result<DescriptorPool, InvalidSchema> {
    let mut pool = DescriptorPool::new();
    for source in &sources.files {
        let mut encoded = source.encoded.clone();
        if source.edition == Edition::Modern
            && let Some(file) = once.get_file_by_name(&source.name)
            && let Some(meta) = meta("google.protobuf.FileDescriptorProto")
            && let Ok(mut file) = DynamicMessage::decode(meta, file.encode_to_vec().as_slice())
        {
            editions::apply(&mut file);
            encoded = file.encode_to_vec().into();
        }
        pool = add(pool, source, &encoded, &sources.main)?;
    }
    Ok(pool)
}

fn add(
    mut pool: DescriptorPool,
    source: &Source,
    encoded: &Bytes,
    main: &str,
) -> Result<DescriptorPool, InvalidSchema> {
    match pool.decode_file_descriptor_proto(encoded.clone()) {
        Ok(()) => Ok(pool),
        Err(error) => Err(InvalidSchema { faults: faults(pool, source, &error, main) }),
    }
}

/// What the linker refuses, with places. They cost a search through all places for each fault, so they are only looked
/// up for a file that does not link, and not for more faults than anybody reads.
fn faults(
    mut pool: DescriptorPool,
    source: &Source,
    error: &DescriptorError,
    main: &str,
) -> Vec<Fault> {
    let file = if source.name == *main { String::new() } else { source.name.clone() };
    let count =
        miette::Diagnostic::related(error).into_iter().flatten().take(FAULTS_MAX + 1).count();
    let plain = |(_, message): (Option<usize>, String)| {
        let text = source.text.as_ref().map(|it| it.written.as_str());
        let at = text.and_then(|text| Some(Place::of_byte(text, first_mention(text, &message)?)));
        Fault { place: Place { file: file.clone(), ..at.unwrap_or_default() }, message }
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
    let parsed = text.rewritten.as_ref().map_or(text.written.as_str(), |it| it.text.as_str());
    let error = error.with_source_code(parsed);
    diagnostics(&error)
        .into_iter()
        .map(|(at, message)| match at {
            Some(at) => {
                let at = text.rewritten.as_ref().map_or(at, |it| it.original(at));
                let place = Place { file: file.clone(), ..Place::of_byte(&text.written, at) };
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
