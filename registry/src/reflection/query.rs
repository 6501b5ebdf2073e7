//! Queries and their results, which are the same in both versions of the protocol.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use tonic::Code;

use super::set::{FileSet, LinkedFile};
use crate::{catalog::Catalog, name::SubjectName};
use tidings_schema::schema::Format;

/// Bytes of files in one response. With the query that it repeats, a response stays within the 4
/// MiB that clients accept by default.
const FILES_BYTES_MAX: usize = (4 << 20) - (160 << 10);
/// Limits the file names that are recorded as sent on a stream. Above the limit, files are sent
/// again.
const SENT_MAX: usize = 100_000;

/// A query.
#[derive(Debug, Clone)]
pub(super) enum Query {
    /// The file of this name.
    File(String),
    /// The file that declares this full name.
    Symbol(String),
    /// The file that declares the extension of this message with this number.
    Extension(String, i32),
    /// The numbers of all extensions of this message.
    ExtensionNumbers(String),
    /// The names of all services.
    Services,
    /// A query of an unknown kind.
    Unknown,
}

/// The result of a query.
#[derive(Debug)]
pub(super) enum QueryResult {
    /// The requested file, then its imports.
    Files(Vec<Bytes>),
    ExtensionNumbers(String, Vec<i32>),
    Services(Vec<String>),
    Error(Code, String),
}

/// The names of the files that were sent on a stream.
#[derive(Debug, Default)]
pub(super) struct SentFiles(HashSet<Arc<str>>);

impl Query {
    /// Returns the name of the type in the query, if it has one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) | Self::Extension(name, _) | Self::ExtensionNumbers(name) => {
                Some(name.trim_start_matches('.'))
            }
            Self::File(_) | Self::Services | Self::Unknown => None,
        }
    }

    /// Answers the query from a set. None: its name is not in the set.
    pub(super) fn run(
        &self,
        set: &FileSet,
        services: &[String],
        sent: &mut SentFiles,
    ) -> Option<QueryResult> {
        match self {
            Self::File(name) => set.file(name).map(|files| sent.send(&files)),
            Self::Symbol(name) => {
                set.declaring(name.trim_start_matches('.')).map(|files| sent.send(&files))
            }
            Self::Extension(extended, number) => {
                let extended = extended.trim_start_matches('.');
                set.extending(extended, *number).map(|files| sent.send(&files))
            }
            Self::ExtensionNumbers(extended) => {
                let extended = extended.trim_start_matches('.');
                let numbers = set.extension_numbers(extended)?;
                Some(QueryResult::ExtensionNumbers(extended.to_owned(), numbers))
            }
            Self::Services => Some(QueryResult::Services(services.to_vec())),
            Self::Unknown => Some(QueryResult::Error(
                Code::InvalidArgument,
                "a request contains a file name, a symbol, an extension, a message for its \
                 extensions, or a list of services; this one contains none of them"
                    .to_owned(),
            )),
        }
    }

    /// Returns the error that its name does not exist, with a suggestion.
    pub(super) fn not_found(&self, set: &FileSet, catalog: Option<&Catalog>) -> QueryResult {
        let message = match self {
            Self::File(name) => format!(
                "no file has the name {}: files of registered schemas have names such as \
                 <subject>/v<version>/<path>, which the response for one of its types contains",
                shorten(name)
            ),
            Self::Extension(extended, number)
                if set.extension_numbers(extended.trim_start_matches('.')).is_some() =>
            {
                format!("{} has no extension {number}", shorten(extended))
            }
            Self::Symbol(name) | Self::Extension(name, _) | Self::ExtensionNumbers(name) => {
                unknown_name(name.trim_start_matches('.'), set, catalog)
            }
            Self::Services | Self::Unknown => "it does not exist".to_owned(),
        };
        QueryResult::Error(Code::NotFound, message)
    }
}

fn unknown_name(name: &str, set: &FileSet, catalog: Option<&Catalog>) -> String {
    let shown = shorten(name);
    if let Some(reason) = set.omission_reason(name) {
        return format!("{shown} is registered, but omitted: {reason}");
    }
    let subject = SubjectName::parse(name).ok();
    let subject = subject.and_then(|name| catalog?.subject(&name).ok());
    match subject.map(|subject| subject.format) {
        Some(Format::Protobuf) => format!(
            "no message has the name {shown}; the subject of this name has another message, or no \
             version that is not retired; `tidings schema get {shown}` prints its text"
        ),
        Some(format @ (Format::Json | Format::Avro)) => format!(
            "{shown} is registered in {format}, which has no descriptors; `tidings schema get \
             {shown}` prints its text"
        ),
        None => match set.nearest(name) {
            Some(nearest) => format!("no symbol has the name {shown}; did you mean {nearest}?"),
            None => format!(
                "no symbol has the name {shown}; types of events exist once they are registered"
            ),
        },
    }
}

/// Shortens a name that a client sent.
fn shorten(name: &str) -> String {
    match name.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

impl SentFiles {
    /// Returns the first file, and the further files that the stream has not been sent yet. Files
    /// that do not fit are left out; a client can request them by name.
    fn send(&mut self, files: &[&LinkedFile]) -> QueryResult {
        if self.0.len() > SENT_MAX {
            self.0.clear();
        }
        let mut encoded = Vec::new();
        let mut bytes = 0;
        for (index, file) in files.iter().enumerate() {
            // The requested file is sent even if it was sent before.
            if index > 0 && self.0.contains(&file.name) {
                continue;
            }
            if bytes + file.served.len() > FILES_BYTES_MAX {
                if index == 0 {
                    return QueryResult::Error(
                        Code::ResourceExhausted,
                        format!(
                            "the descriptor of {} has {} bytes; the limit is {FILES_BYTES_MAX}; \
                             split the schema into several subjects",
                            file.name,
                            file.served.len()
                        ),
                    );
                }
                continue;
            }
            bytes += file.served.len();
            self.0.insert(Arc::clone(&file.name));
            encoded.push(file.served.clone());
        }
        QueryResult::Files(encoded)
    }
}
