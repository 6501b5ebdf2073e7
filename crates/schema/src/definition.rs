//! Definitions of schemas, and their faults.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// Size of a definition in bytes, with its files. 50,000 Protobuf fields (1.5 MB) take 10 s to
/// link.
pub const DEFINITION_BYTES_MAX: usize = 1 << 20;

/// A schema as written by its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The schema itself.
    pub form: Form,
    /// Additional files by the path under which the text imports them.
    pub files: BTreeMap<String, String>,
    /// Protobuf only: the full name of the event's message. If empty, the message with the name of
    /// the subject if the file defines it, else its only top-level message.
    pub message_name: String,
}

/// The form of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `.proto` source, a JSON Schema document, or an Avro schema.
    Text(String),
    /// Protobuf only: a serialized `google.protobuf.FileDescriptorSet` with its imports.
    DescriptorSet(Bytes),
}

impl Definition {
    /// A text without additional files.
    pub fn text(text: impl Into<String>) -> Self {
        Self { form: Form::Text(text.into()), files: BTreeMap::new(), message_name: String::new() }
    }

    /// The size in bytes, with the additional files.
    pub fn bytes(&self) -> usize {
        let form = match &self.form {
            Form::Text(text) => text.len(),
            Form::DescriptorSet(bytes) => bytes.len(),
        };
        form + self.files.iter().map(|(path, text)| path.len() + text.len()).sum::<usize>()
    }
}

/// A registered version that a definition refers to, with its definition. The references of a
/// reference are separate imports, under the names that the reference uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The name in the text: the path of an import, a `$ref` without its fragment, or the full name
    /// of an Avro type.
    pub name: String,
    /// The subject of the version.
    pub subject: String,
    /// The version.
    pub version: String,
    /// The registered definition.
    pub definition: Definition,
}

/// A definition that is not a valid schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join(faults))]
pub struct InvalidSchema {
    /// The faults in the order of the text; never empty.
    pub faults: Vec<Fault>,
}

/// A fault of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The location of the fault.
    pub location: SourceLocation,
    /// The fact, with the value and the limit, and the remedy.
    pub message: String,
}

/// A location in a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SourceLocation {
    /// The additional file; empty for the text itself.
    pub file: String,
    /// The line from 1; 0 if unknown.
    pub line: u32,
    /// The column in characters from 1; 0 if unknown.
    pub column: u32,
    /// The JSON pointer, Avro path or Protobuf name; empty if there is none.
    pub path: String,
}

impl InvalidSchema {
    /// One fault with an unknown location.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at(SourceLocation::default(), message)
    }

    /// One fault at a location.
    pub fn at(location: SourceLocation, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { location, message: message.into() }] }
    }
}

impl SourceLocation {
    /// The location of a byte of a text.
    pub fn of_byte(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
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
        let SourceLocation { file, line, column, path } = &self.location;
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

/// A violation of a schema by a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The JSON pointer into the payload.
    pub path: String,
    /// The fact, with the value and the limit.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_characters_from_one() {
        let location = SourceLocation::of_byte("a\nbé\u{1F600}x", 9);
        assert_eq!((location.line, location.column), (2, 4));
        assert_eq!(SourceLocation::of_byte("", 7).line, 1);
        let location = SourceLocation { path: "/a".into(), ..location };
        let fault = Fault { location, message: "no".into() };
        assert_eq!(fault.to_string(), "2:4: /a: no");
    }
}
