//! What an author hands in, and what is wrong with it.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// Largest definition in bytes, its files included. 50,000 fields of Protobuf (1.5 MB) take 10 s to link.
pub const DEFINITION_BYTES_MAX: usize = 1 << 20;

/// The schema as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The schema itself.
    pub form: Form,
    /// Further files that the text imports, by the path it imports them under.
    pub files: BTreeMap<String, String>,
    /// Protobuf only: the full name of the event's message. Empty: the subject where the file defines it, else its only
    /// top-level message.
    pub message_name: String,
}

/// In which form a schema comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `.proto` source, a JSON Schema document, or an Avro schema.
    Text(String),
    /// Protobuf only: a serialized `google.protobuf.FileDescriptorSet` with its imports.
    DescriptorSet(Bytes),
}

impl Definition {
    /// A text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { form: Form::Text(text.into()), files: BTreeMap::new(), message_name: String::new() }
    }

    /// Its size, its files included.
    pub fn bytes(&self) -> usize {
        let form = match &self.form {
            Form::Text(text) => text.len(),
            Form::DescriptorSet(bytes) => bytes.len(),
        };
        form + self.files.iter().map(|(path, text)| path.len() + text.len()).sum::<usize>()
    }
}

/// A registered version that a definition refers to, with what it takes to parse it. The references of a reference come
/// as further imports, under the names that it has for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// What the text calls it: the path of an import, a `$ref` without its fragment, the full name of an Avro type.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// In which version.
    pub version: String,
    /// What is registered there.
    pub definition: Definition,
}

/// A definition that is not a schema: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join(faults))]
pub struct InvalidSchema {
    /// In the order of the text. Never empty.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: SourceLocation,
    /// What is wrong, with the value and the limit, and what to do.
    pub message: String,
}

/// A place in a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SourceLocation {
    /// The further file. Empty: the text itself.
    pub file: String,
    /// From 1; 0 where not known.
    pub line: u32,
    /// In characters, from 1; 0 where not known.
    pub column: u32,
    /// JSON pointer, Avro path or Protobuf name; empty where there is none.
    pub path: String,
}

impl InvalidSchema {
    /// One fault, of which the place is not known.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at(SourceLocation::default(), message)
    }

    /// One fault.
    pub fn at(place: SourceLocation, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { place, message: message.into() }] }
    }
}

impl SourceLocation {
    /// The place of a byte of a text.
    pub fn of_byte(text: &str, at: usize) -> Self {
        let mut end = at.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: number(line), column: number(column), ..Self::default() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceLocation { file, line, column, path } = &self.place;
        if !file.is_empty() {
            write!(f, "{file}:")?;
        }
        if *line > 0 {
            write!(f, "{line}:{column}:")?;
        }
        if !file.is_empty() || *line > 0 {
            f.write_str(" ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

fn join(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

/// A payload that a schema does not take: one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the payload.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let place = SourceLocation::of_byte("a\nbé\u{1F600}x", 9);
        assert_eq!((place.line, place.column), (2, 4));
        assert_eq!(SourceLocation::of_byte("", 7).line, 1);
        let fault =
            Fault { place: SourceLocation { path: "/a".into(), ..place }, message: "no".into() };
        assert_eq!(fault.to_string(), "2:4: /a: no");
    }
}
