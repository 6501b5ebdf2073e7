//! A schema of any format.

use std::fmt;

use crate::{
    avro,
    definition::{Definition, Import, InvalidSchema, Violation},
    finding::{Comparison, Options},
    json, protobuf,
};

/// The three formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Protobuf.
    Protobuf,
    /// JSON Schema.
    Json,
    /// Avro.
    Avro,
}

/// A schema that was parsed and is known to be one.
#[derive(Debug)]
pub enum Schema {
    /// Of Protobuf.
    Protobuf(protobuf::Schema),
    /// Of JSON Schema.
    Json(json::Schema),
    /// Of Avro.
    Avro(avro::Schema),
}

impl Schema {
    /// Parses a definition, with everything that it refers to.
    ///
    /// # Errors
    /// Where it is not a schema, or one that takes more work than is bounded.
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

    /// The form in which the same schemas are the same bytes.
    pub fn canonical(&self) -> Vec<u8> {
        match self {
            Self::Protobuf(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
            Self::Avro(schema) => schema.canonical(),
        }
    }

    /// What changed from this schema to a newer one. None: they are of different formats.
    pub fn compare(&self, new: &Self, options: Options) -> Option<Comparison> {
        match (self, new) {
            (Self::Protobuf(old), Self::Protobuf(new)) => Some(old.compare(new, options)),
            (Self::Json(old), Self::Json(new)) => Some(old.compare(new, options)),
            (Self::Avro(old), Self::Avro(new)) => Some(old.compare(new)),
            (Self::Protobuf(_) | Self::Json(_) | Self::Avro(_), _) => None,
        }
    }

    /// The full name of the event's message. None: not Protobuf.
    pub fn message_name(&self) -> Option<&str> {
        match self {
            Self::Protobuf(schema) => schema.message_name(),
            Self::Json(_) | Self::Avro(_) => None,
        }
    }

    /// Checks a payload that is JSON: for Protobuf and Avro in their JSON mapping.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.validate_json(json),
            Self::Json(schema) => schema.validate_json(json),
            Self::Avro(schema) => schema.validate_json(json),
        }
    }

    /// Checks a payload in the encoding of the format.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.validate_binary(bytes),
            Self::Json(schema) => match str::from_utf8(bytes) {
                Ok(json) => schema.validate_json(json),
                Err(error) => Err(vec![Violation {
                    path: String::new(),
                    message: format!("not UTF-8 behind byte {}", error.valid_up_to()),
                }]),
            },
            Self::Avro(schema) => schema.validate_binary(bytes),
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
