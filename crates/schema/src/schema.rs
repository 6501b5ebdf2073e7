//! Schemas of any format.

use std::fmt;

use crate::{
    avro,
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Comparison, Options},
    json,
    protobuf::{self, Messages, NoMessages},
};

/// The format of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Protobuf.
    Protobuf,
    /// JSON Schema.
    Json,
    /// Avro.
    Avro,
}

/// A parsed, valid schema.
#[derive(Debug)]
pub enum Schema {
    /// A Protobuf schema.
    Protobuf(protobuf::Schema),
    /// A JSON Schema.
    Json(json::Schema),
    /// An Avro schema.
    Avro(avro::Schema),
}

impl Schema {
    /// Parses a definition with its references.
    ///
    /// # Errors
    /// Returns the faults if it is not a valid schema, or exceeds a limit of work.
    pub fn parse(
        format: Format,
        subject: &str,
        definition: &Definition,
        imports: &[Import],
    ) -> Result<Self, InvalidSchema> {
        match format {
            Format::Protobuf => {
                protobuf::Schema::parse(subject, definition, imports).map(Self::Protobuf)
            }
            Format::Json => json::Schema::parse(definition, imports).map(Self::Json),
            Format::Avro => avro::Schema::parse(definition, imports).map(Self::Avro),
        }
    }

    /// Checks the rules that apply only when a definition is registered, in addition to those of
    /// [`Schema::parse`]. Versions that were registered before such a rule existed are not checked:
    /// they stay readable. Returns all faults in the order of the text.
    pub fn check(&self) -> Vec<Fault> {
        match self {
            Self::Protobuf(schema) => schema.check(),
            Self::Json(schema) => schema.check(),
            Self::Avro(schema) => schema.check(),
        }
    }

    /// Parses and checks a definition for registration, or for a check of a registration.
    ///
    /// # Errors
    /// Returns the faults of [`Schema::parse`] or [`Schema::check`].
    pub fn parse_draft(
        format: Format,
        subject: &str,
        definition: &Definition,
        imports: &[Import],
    ) -> Result<Self, InvalidSchema> {
        let schema = Self::parse(format, subject, definition, imports)?;
        match schema.check() {
            faults if faults.is_empty() => Ok(schema),
            faults => Err(InvalidSchema { faults }),
        }
    }

    /// Returns the canonical form: equal schemas have equal bytes.
    pub fn canonical(&self) -> Vec<u8> {
        match self {
            Self::Protobuf(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
            Self::Avro(schema) => schema.canonical(),
        }
    }

    /// Compares this schema with a newer one. Returns `None` if their formats differ.
    pub fn compare(&self, new: &Self, options: Options) -> Option<Comparison> {
        match (self, new) {
            (Self::Protobuf(old), Self::Protobuf(new)) => Some(old.compare(new, options)),
            (Self::Json(old), Self::Json(new)) => Some(old.compare(new, options)),
            (Self::Avro(old), Self::Avro(new)) => Some(old.compare(new)),
            (Self::Protobuf(_) | Self::Json(_) | Self::Avro(_), _) => None,
        }
    }

    /// Returns the full name of the event's message, or `None` if this is not Protobuf.
    pub fn message_name(&self) -> Option<&str> {
        match self {
            Self::Protobuf(schema) => schema.message_name(),
            Self::Json(_) | Self::Avro(_) => None,
        }
    }

    /// Validates a JSON payload; for Protobuf and Avro in their JSON mapping.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        self.validate_json_with(json, &NoMessages)
    }

    /// Validates a JSON payload like [`Schema::validate_json`], with the messages that an Any in a
    /// Protobuf payload can contain.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn validate_json_with(
        &self,
        json: &str,
        messages: &dyn Messages,
    ) -> Result<(), Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.encode_with(json, messages).map(drop),
            Self::Json(schema) => schema.validate_json(json),
            Self::Avro(schema) => schema.validate_json(json),
        }
    }

    /// Validates a payload in the encoding of the format.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.validate_binary(bytes),
            Self::Json(schema) => schema.validate_binary(bytes),
            Self::Avro(schema) => schema.validate_binary(bytes),
        }
    }

    /// Encodes a JSON payload, for Protobuf and Avro in their JSON mapping, in the encoding of the
    /// format. The result passes [`Schema::validate_binary`].
    ///
    /// # Errors
    /// Returns all violations.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.encode_with(json, &NoMessages)
    }

    /// Encodes a JSON payload like [`Schema::encode`], with the messages that an Any in a Protobuf
    /// payload can contain.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn encode_with(
        &self,
        json: &str,
        messages: &dyn Messages,
    ) -> Result<Vec<u8>, Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.encode_with(json, messages),
            Self::Json(schema) => schema.encode(json),
            Self::Avro(schema) => schema.encode(json),
        }
    }

    /// Decodes a payload in the encoding of the format to JSON, which [`Schema::encode`] reads.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid, or has no JSON form.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_json_with(bytes, &NoMessages)
    }

    /// Decodes a payload like [`Schema::to_json`], with the messages that an Any in a Protobuf
    /// payload can contain.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid, or has no JSON form.
    pub fn to_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.to_json_with(bytes, messages),
            Self::Json(schema) => schema.to_json(bytes),
            Self::Avro(schema) => schema.to_json(bytes),
        }
    }

    /// Decodes a payload in the encoding of the format to JSON for programs that support numbers
    /// beyond doubles: integers are numbers with all their 64 bits, and numbers of floating-point
    /// types have a fraction. A value of an Avro union has no branch name. Protobuf fields without
    /// presence are always included.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid, has no JSON form, or one of more than 8
    /// MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_plain_json_with(bytes, &NoMessages)
    }

    /// Decodes a payload like [`Schema::to_plain_json`], with the messages that an Any in a
    /// Protobuf payload can contain.
    ///
    /// # Errors
    /// Returns the violations if the payload is invalid, has no JSON form, or one of more than 8
    /// MiB.
    pub fn to_plain_json_with(
        &self,
        bytes: &[u8],
        messages: &dyn Messages,
    ) -> Result<String, Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.to_plain_json_with(bytes, messages),
            Self::Json(schema) => schema.to_json(bytes),
            Self::Avro(schema) => schema.to_plain_json(bytes),
        }
    }

    /// Converts a payload of this schema to another version. Returns `None` if the same bytes have
    /// the same meaning for the reader. The result passes the reader's [`Schema::validate_binary`].
    ///
    /// # Errors
    /// Returns the violations that prevent the conversion.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        if std::ptr::eq(self, reader) {
            return Ok(None);
        }
        match (self, reader) {
            (Self::Protobuf(writer), Self::Protobuf(reader)) => writer.convert(reader, bytes),
            // The meaning of JSON does not depend on the writer's schema.
            (Self::Json(_), Self::Json(reader)) => reader.convert(bytes),
            (Self::Avro(writer), Self::Avro(reader)) => {
                let converted =
                    writer.convert(reader, bytes).map_err(|violation| vec![violation])?;
                reader.validate_binary(&converted)?;
                Ok((converted != bytes).then_some(converted))
            }
            (Self::Protobuf(_) | Self::Json(_) | Self::Avro(_), _) => Err(vec![Violation {
                path: String::new(),
                message: format!(
                    "a payload in {} cannot be converted to {}",
                    self.format(),
                    reader.format()
                ),
            }]),
        }
    }

    /// Returns the format.
    pub fn format(&self) -> Format {
        match self {
            Self::Protobuf(_) => Format::Protobuf,
            Self::Json(_) => Format::Json,
            Self::Avro(_) => Format::Avro,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
            Self::Avro => "Avro",
        })
    }
}
