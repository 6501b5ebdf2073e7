//! The files of a definition as descriptors, for reflection.

use bytes::Bytes;
use prost_types::SourceCodeInfo;

use crate::definition::{Definition, Import, InvalidSchema};

use super::{features::Edition, link, parse::ParsedFiles, well_known};

/// A file of a definition or of its imports.
pub struct File {
    /// The path under which other files import it.
    pub name: String,
    /// Whether the file is part of the definition itself.
    pub own: bool,
    /// Whether the file declares the messages of the definition.
    pub main: bool,
    /// The syntax of its text.
    pub syntax: Syntax,
    /// The `FileDescriptorProto`, with custom options as encoded, and with the source locations
    /// that have comments.
    pub descriptor: Bytes,
}

/// The syntax of a file. The descriptor may declare proto2 instead, for the linker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// The syntax that the descriptor declares.
    Declared,
    /// `syntax = "proto3"`.
    Proto3,
    /// An edition.
    Edition,
}

/// The tag of `source_code_info` in a `FileDescriptorProto`.
const SOURCE_CODE_INFO: u32 = 9;
/// The first and the last tag of declarations in a `FileDescriptorProto`: messages, enums, services
/// and extensions.
const DECLARED: (i32, i32) = (4, 7);

/// All files of a definition, each after its imports.
///
/// # Errors
/// Returns the faults if the definition is not a schema or exceeds a limit.
pub fn files(definition: &Definition, imports: &[Import]) -> Result<Vec<File>, InvalidSchema> {
    let sources = ParsedFiles::load(definition, imports)?;
    let pool = link::link_files(&sources)?;
    let file = |source: &super::parse::ParsedFile| {
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
                Edition::Proto3 if source.linked_as_proto2 => Syntax::Proto3,
                Edition::Proto2 | Edition::Proto3 => Syntax::Declared,
            },
            descriptor: descriptor.into(),
        })
    };
    Ok(sources.files.iter().filter_map(file).collect())
}

/// The source locations of declarations with comments, without detached comments.
pub fn commented(info: &SourceCodeInfo) -> SourceCodeInfo {
    let is_declared =
        |path: &[i32]| path.first().is_some_and(|tag| (DECLARED.0..=DECLARED.1).contains(tag));
    let location = info.location.iter().filter(|location| {
        is_declared(&location.path)
            && (location.leading_comments.is_some() || location.trailing_comments.is_some())
    });
    let location = location.cloned().map(|mut location| {
        location.leading_detached_comments.clear();
        location
    });
    SourceCodeInfo { location: location.collect() }
}

/// The descriptors of Protobuf's own files, each after its imports.
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
