//! What is asked, and what is answered: the same in both versions of the protocol.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use tonic::Code;

use super::set::{Placed, Set};
use crate::{catalog::Catalog, subject::SubjectName};
use tidings_schema::schema::Format;

/// Bytes of files in one answer. With the question beside it an answer stays within the 4 MiB that clients take by default.
const FILES_BYTES_MAX: usize = (4 << 20) - (160 << 10);
/// Names of files that are remembered as sent on a stream. Above it they are sent anew.
const SENT_MAX: usize = 100_000;

/// A question.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// The file of a name.
    File(String),
    /// The file that declares a full name.
    Symbol(String),
    /// The file that declares an extension of a message.
    Extension(String, i32),
    /// All extensions of a message.
    ExtensionNumbers(String),
    /// All services.
    Services,
    /// One that nobody here knows.
    Unknown,
}

/// Its answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// What was asked for, then what it imports.
    Files(Vec<Bytes>),
    ExtensionNumbers(String, Vec<i32>),
    Services(Vec<String>),
    Error(Code, String),
}

/// The files that a stream has been sent.
#[derive(Debug, Default)]
pub(super) struct Sent(HashSet<Arc<str>>);

impl Question {
    /// The name of the type that it is about, where it is about one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) | Self::Extension(name, _) | Self::ExtensionNumbers(name) => {
                Some(name.trim_start_matches('.'))
            }
            Self::File(_) | Self::Services | Self::Unknown => None,
        }
    }

    /// Answers out of a set. None: what it names is not there.
    pub(super) fn answer(&self, set: &Set, services: &[String], sent: &mut Sent) -> Option<Answer> {
        match self {
            Self::File(name) => set.file(name).map(|it| sent.files(&it)),
            Self::Symbol(name) => {
                set.declaring(name.trim_start_matches('.')).map(|it| sent.files(&it))
            }
            Self::Extension(extended, number) => {
                set.extending(extended.trim_start_matches('.'), *number).map(|it| sent.files(&it))
            }
            Self::ExtensionNumbers(extended) => {
                let extended = extended.trim_start_matches('.');
                let numbers = set.extension_numbers(extended)?;
                Some(Answer::ExtensionNumbers(extended.to_owned(), numbers))
            }
            Self::Services => Some(Answer::Services(services.to_vec())),
            Self::Unknown => Some(Answer::Error(
                Code::InvalidArgument,
                "a request asks for a file by its name, a symbol, an extension, the extensions of a message or the \
                 services; this one asks for none of them"
                    .to_owned(),
            )),
        }
    }

    /// Says that what it names is not there, and what may have been meant.
    pub(super) fn not_there(&self, set: &Set, catalog: Option<&Catalog>) -> Answer {
        let text = match self {
            Self::File(name) => format!(
                "no file is called {}: the files of a registered schema are called <subject>/v<version>/<path>, as the \
                 answer about one of its types has them",
                shown(name)
            ),
            Self::Extension(extended, number)
                if set.extension_numbers(extended.trim_start_matches('.')).is_some() =>
            {
                format!("{} has no extension {number}", shown(extended))
            }
            Self::Symbol(name) | Self::Extension(name, _) | Self::ExtensionNumbers(name) => {
                unknown(name.trim_start_matches('.'), set, catalog)
            }
            Self::Services | Self::Unknown => "it is not there".to_owned(),
        };
        Answer::Error(Code::NotFound, text)
    }
}

fn unknown(name: &str, set: &Set, catalog: Option<&Catalog>) -> String {
    let shown = shown(name);
    if let Some(reason) = set.why_left_out(name) {
        return format!("{shown} is registered and not shown: {reason}");
    }
    let subject = SubjectName::parse(name).ok();
    let subject = subject.and_then(|it| catalog?.subject(&it).ok().map(|it| it.format));
    match subject {
        Some(Format::Protobuf) => format!(
            "no message is called {shown}, and the subject of this name has another one, or no version that is not \
             retired; `tidings schema get {shown}` prints its text"
        ),
        Some(format @ (Format::Json | Format::Avro)) => format!(
            "{shown} is registered in {format}, which has no descriptor; `tidings schema get {shown}` prints its text"
        ),
        None => match set.nearest(name) {
            Some(nearest) => format!("nothing is called {shown}; did you mean {nearest}?"),
            None => format!(
                "nothing is called {shown}; the types of events are there once they are registered"
            ),
        },
    }
}

/// A name of a stranger, not longer than anybody reads.
fn shown(name: &str) -> String {
    match name.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

impl Sent {
    /// The first file, and those behind it that the stream has not been sent yet. What does not fit is left out: it can be
    /// asked for by its name.
    fn files(&mut self, files: &[&Placed]) -> Answer {
        if self.0.len() > SENT_MAX {
            self.0.clear();
        }
        let mut answer = Vec::new();
        let mut bytes = 0;
        for (at, file) in files.iter().enumerate() {
            // The question itself is answered also where it was answered before.
            if at > 0 && self.0.contains(&file.name) {
                continue;
            }
            if bytes + file.served.len() > FILES_BYTES_MAX {
                if at == 0 {
                    return Answer::Error(
                        Code::ResourceExhausted,
                        format!(
                            "the descriptor of {} has {} bytes, at most {FILES_BYTES_MAX} are sent; split the schema over \
                             subjects",
                            file.name,
                            file.served.len()
                        ),
                    );
                }
                continue;
            }
            bytes += file.served.len();
            self.0.insert(Arc::clone(&file.name));
            answer.push(file.served.clone());
        }
        Answer::Files(answer)
    }
}
