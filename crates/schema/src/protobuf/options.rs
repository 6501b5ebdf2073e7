//! The options of declarations, as they were written.
//!
//! The linker hands options out by itself, and panics on those of strangers: it decodes them anew with every extension
//! that it has met since, and a descriptor set may hold bytes that are none of them.

use std::{borrow::Cow, collections::HashMap};

use prost_reflect::{DynamicMessage, FileDescriptor, Value};

use super::well_known::meta_message;

/// The options of all declarations of some files.
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

    /// The options of the declaration at a path: fields and indices in turn, from the file down. None: it has none.
    pub(super) fn at(&self, file: &str, path: &[i32]) -> Option<DynamicMessage> {
        let mut options = self.get(file, path)?.clone();
        // Linking has removed what it did not understand.
        options.clear_field_by_name("uninterpreted_option");
        Some(options)
    }

    /// The same where they lie.
    pub(super) fn get(&self, file: &str, path: &[i32]) -> Option<&DynamicMessage> {
        let mut message = self.files.get(file)?;
        for step in path.chunks_exact(2) {
            let [field, index] = step else { return None };
            let list = borrowed(message.get_field_by_number(u32::try_from(*field).ok()?)?)?;
            message = list.as_list()?.get(usize::try_from(*index).ok()?)?.as_message()?;
        }
        borrowed(message.get_field_by_name("options")?)?.as_message()
    }
}

/// A value that is there. One that is absent has a default that nobody owns.
fn borrowed(value: Cow<'_, Value>) -> Option<&Value> {
    match value {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => None,
    }
}
