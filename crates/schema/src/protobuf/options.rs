//! The options of declarations, as written.
//!
//! The linker's own accessors are not used, because they can panic on untrusted descriptor sets:
//! they decode options with all extensions known by then, and the bytes may not be valid for them.

use std::{borrow::Cow, collections::HashMap};

use prost_reflect::{DynamicMessage, FileDescriptor, Value};

use super::well_known::meta_message;

/// The options of all declarations of a set of files.
#[derive(Debug, Default)]
pub(super) struct DeclaredOptions {
    files: HashMap<String, DynamicMessage>,
}

impl DeclaredOptions {
    pub(super) fn of(files: impl Iterator<Item = FileDescriptor>) -> Self {
        let Some(meta) = meta_message("google.protobuf.FileDescriptorProto") else {
            return Self::default();
        };
        let decoded = files.filter_map(|file| {
            let bytes = file.encode_to_vec();
            let message = DynamicMessage::decode(meta.clone(), bytes.as_slice()).ok()?;
            Some((file.name().to_owned(), message))
        });
        Self { files: decoded.collect() }
    }

    /// The options of the declaration at a path, which alternates fields and indices from the file
    /// down. `None` if it has none.
    pub(super) fn at(&self, file: &str, path: &[i32]) -> Option<DynamicMessage> {
        let mut options = self.get(file, path)?.clone();
        // Linking has removed uninterpreted options.
        options.clear_field_by_name("uninterpreted_option");
        Some(options)
    }

    /// Like [`Self::at`], but borrowed and with uninterpreted options.
    pub(super) fn get(&self, file: &str, path: &[i32]) -> Option<&DynamicMessage> {
        let mut message = self.files.get(file)?;
        for segment in path.chunks_exact(2) {
            let [field, index] = segment else { return None };
            let list = borrowed(message.get_field_by_number(u32::try_from(*field).ok()?)?)?;
            message = list.as_list()?.get(usize::try_from(*index).ok()?)?.as_message()?;
        }
        borrowed(message.get_field_by_name("options")?)?.as_message()
    }
}

/// A value that is present. An absent value has an owned default.
fn borrowed(value: Cow<'_, Value>) -> Option<&Value> {
    match value {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => None,
    }
}
