//! The files of a definition as descriptors, for those who ask for them by reflection.

use bytes::Bytes;
use prost_types::SourceCodeInfo;

use crate::definition::{Definition, Import, InvalidSchema};

use super::{features::Edition, link, source::Sources, well_known};

/// A file of a definition, or of what it imports.
pub struct File {
    /// What those that import it call it.
    pub name: String,
    /// It came with the definition itself.
    pub own: bool,
    /// The definition is about its messages.
    pub main: bool,
    /// The syntax of its text.
    pub syntax: Syntax,
    /// Its `FileDescriptorProto`: custom options as they were encoded, of the places in the text those with a comment.
    pub descriptor: Bytes,
}

/// In which syntax a file is, where its descriptor says proto2 for the linker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// In that which the descriptor says.
    AsSaid,
    /// `syntax = "proto3"`.
    Proto3,
    /// An edition.
    Edition,
}

/// The tag of `source_code_info` in a `FileDescriptorProto`.
const SOURCE_CODE_INFO: u32 = 9;
/// The first and the last tag of what a `FileDescriptorProto` declares: messages, enums, services and extensions.
const DECLARED: (i32, i32) = (4, 7);

/// All files of a definition, each behind those that it imports.
///
/// # Errors
/// Where it is not a schema, or it is beyond the limits.
pub fn files(definition: &Definition, imports: &[Import]) -> Result<Vec<File>, InvalidSchema> {
    let sources = Sources::load(definition, imports)?;
    let pool = link::once(&sources)?;
    let file = |source: &super::source::Source| {
        let mut descriptor = pool.get_file_by_name(&source.name)?.encode_to_vec();
        if let Some(text) = &source.text {
            let info = commented(&text.info);
            if !info.location.is_empty() {
                prost::encoding::message::encode(SOURCE_CODE_INFO, &info, &mut descriptor);
            }
        }
        Some(File {
            name: source.name.clone(),
            own: source.own,
            main: source.name == sources.main,
            syntax: match source.edition {
                Edition::E2023 | Edition::E2024 => Syntax::Edition,
                Edition::Proto3 if source.disguised => Syntax::Proto3,
                Edition::Proto2 | Edition::Proto3 => Syntax::AsSaid,
            },
            descriptor: descriptor.into(),
        })
    };
    Ok(sources.files.iter().filter_map(file).collect())
}

/// The places that say more than where something stands.
pub fn commented(info: &SourceCodeInfo) -> SourceCodeInfo {
    let is_declared =
        |path: &[i32]| path.first().is_some_and(|it| (DECLARED.0..=DECLARED.1).contains(it));
    let location = info.location.iter().filter(|it| {
        is_declared(&it.path) && (it.leading_comments.is_some() || it.trailing_comments.is_some())
    });
    let location = location.cloned().map(|mut it| {
        it.leading_detached_comments.clear();
        it
    });
    SourceCodeInfo { location: location.collect() }
}

/// The descriptors of Protobuf's own files, each behind those that it imports.
pub fn standard() -> Vec<Bytes> {
    const NAMES: [&str; 11] = [
        "any",
        "source_context",
        "type",
        "api",
        "descriptor",
        "duration",
        "empty",
        "field_mask",
        "struct",
        "timestamp",
        "wrappers",
    ];
    let file = |name| well_known::standard(&format!("google/protobuf/{name}.proto"));
    NAMES.into_iter().filter_map(file).map(|(_, encoded)| encoded).collect()
}
