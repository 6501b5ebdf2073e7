//! A schema of any format.

use std::fmt;

use crate::{
    avro,
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Comparison, Options},
    json,
    protobuf::{self, Messages, NoMessages},
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

    /// Checks the rules that a definition has to meet to be registered, besides those that
    /// [`Schema::parse`] needs. Versions that were registered before such a rule are never checked:
    /// they stay readable. Returns all faults, in the order of the text.
    pub fn check(&self) -> Vec<Fault> {
        match self {
            Self::Protobuf(schema) => schema.check(),
            Self::Json(schema) => schema.check(),
            Self::Avro(schema) => schema.check(),
        }
    }

    /// Parses and checks a definition that is to be registered, or to be judged as if it were.
    ///
    /// # Errors
    /// Where it does not parse, or does not pass [`Schema::check`].
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
        self.validate_json_with(json, &NoMessages)
    }

    /// As [`Schema::validate_json`], where an Any in a Protobuf payload may hold further messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
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

    /// Checks a payload in the encoding of the format.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        match self {
            Self::Protobuf(schema) => schema.validate_binary(bytes),
            Self::Json(schema) => schema.validate_binary(bytes),
            Self::Avro(schema) => schema.validate_binary(bytes),
        }
    }

    /// Reads a payload that is JSON, for Protobuf and Avro in their JSON mapping, and writes it in the encoding of the
    /// format. What comes out passes [`Schema::validate_binary`].
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.encode_with(json, &NoMessages)
    }

    /// As [`Schema::encode`], where an Any in a Protobuf payload may hold further messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
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

    /// Shows a payload in the encoding of the format as JSON, which [`Schema::encode`] reads.
    ///
    /// # Errors
    /// Where it is not a payload of the schema, or has no JSON.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_json_with(bytes, &NoMessages)
    }

    /// As [`Schema::to_json`], where an Any in a Protobuf payload may hold further messages.
    ///
    /// # Errors
    /// Where it is not a payload of the schema, or has no JSON.
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

    /// Shows a payload in the encoding of the format as JSON for programs that know more numbers than a double holds:
    /// integers are numbers, all 64 bits of them, and a number with a fraction has one. A value of an Avro union stands
    /// there without the name of its branch. Protobuf fields without presence are there, whatever they hold.
    ///
    /// # Errors
    /// Where it is not a payload of the schema, has no JSON, or one of more than 8 MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        self.to_plain_json_with(bytes, &NoMessages)
    }

    /// As [`Schema::to_plain_json`], where an Any in a Protobuf payload may hold further messages.
    ///
    /// # Errors
    /// Where it is not a payload of the schema, or has no JSON.
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

    /// A payload that was written with this schema, as one of another version of it. None: the very same bytes are a
    /// payload of the reader, and mean the same there. What comes out, or stays, passes the reader's
    /// [`Schema::validate_binary`].
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        if std::ptr::eq(self, reader) {
            return Ok(None);
        }
        match (self, reader) {
            (Self::Protobuf(writer), Self::Protobuf(reader)) => writer.convert(reader, bytes),
            // What JSON means is in the text, whoever wrote it.
            (Self::Json(_), Self::Json(reader)) => reader.adopt(bytes),
            (Self::Avro(writer), Self::Avro(reader)) => {
                let converted = writer.convert(reader, bytes).map_err(|it| vec![it])?;
                reader.validate_binary(&converted)?;
                Ok((converted != bytes).then_some(converted))
            }
            (Self::Protobuf(_) | Self::Json(_) | Self::Avro(_), _) => Err(vec![Violation {
                path: String::new(),
                message: format!(
                    "a payload in {} is not converted to {}",
                    self.format(),
                    reader.format()
                ),
            }]),
        }
    }

    /// Its format.
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
