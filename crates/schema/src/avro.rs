//! Avro schemas.
//!
//! The specification's schema resolution defines how a reader's schema reads data of a writer's
//! schema. A comparison is this resolution in both directions, and a conversion applies it to data.
//! Tidings has its own implementation. The `apache-avro` crate copies each named type into its
//! enclosing types, reports partial matches as compatible, reads a default of a later branch of a
//! union as null, ignores aliases when it resolves, and decodes with unbounded recursion. It is an
//! oracle of the tests instead, beside the libraries for Java and Python.

mod canonical;
mod compare;
mod compatible_changes;
mod convert;
mod counterexample;
mod cursor;
mod defaults;
mod document;
mod findings;
mod from_json;
mod limits;
mod logical;
mod model;
mod name;
mod named_types;
mod parse;
mod path;
mod primitive;
mod projection;
mod resolve;
mod text;
mod to_json;
mod type_parser;
mod validate;
mod value;

pub(crate) use self::projection::Projection;
use self::to_json::Style;
use crate::{
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::Comparison,
};

/// An Avro schema.
#[derive(Debug)]
pub struct Schema {
    model: model::Model,
}

impl Schema {
    /// Parses a definition: a JSON text that may refer to the named types of its additional files
    /// and imports.
    ///
    /// # Errors
    /// Returns all faults if it is not a valid schema.
    pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        parse::parse(definition, imports).map(|model| Self { model })
    }

    /// Returns the faults of the rules that apply only to new definitions.
    pub fn check(&self) -> Vec<Fault> {
        self.model.draft_faults.clone()
    }

    /// Returns the canonical form: equal schemas have equal bytes.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::write(&self.model, canonical::Detail::All).into_bytes()
    }

    /// Compares this schema with a newer one.
    pub fn compare(&self, new: &Self) -> Comparison {
        compare::compare(&self.model, &new.model)
    }

    /// Validates a payload in Avro's JSON encoding: a value of a union, except null, is an object
    /// with the name of its branch as key, and bytes are characters from U+0000 to U+00FF.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        from_json::from_json(&self.model, json).map(drop)
    }

    /// Encodes a payload in Avro's JSON encoding in binary.
    ///
    /// # Errors
    /// Returns all violations.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        let bytes = from_json::from_json(&self.model, json)?;
        // The limits of binary payloads differ from those of JSON.
        self.validate_binary(&bytes)?;
        Ok(bytes)
    }

    /// Decodes a payload to Avro's JSON encoding, which [`Schema::encode`] reads.
    ///
    /// # Errors
    /// Returns the first violation, or that the text is longer than 64 MiB.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        to_json::to_json(&self.model, bytes, Style::Encoding).map_err(|violation| vec![violation])
    }

    /// Decodes a payload to JSON with values of unions without the name of their branch.
    ///
    /// # Errors
    /// Returns the first violation, or that the text is longer than 8 MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        to_json::to_json(&self.model, bytes, Style::Plain).map_err(|violation| vec![violation])
    }

    /// Validates a payload in Avro's binary encoding: one datum, without a header or the marker of
    /// single-object encoding.
    ///
    /// # Errors
    /// Returns the first violation: bytes after it cannot be decoded.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        validate::validate(&self.model, bytes).map_err(|violation| vec![violation])
    }

    /// Converts a binary payload of this schema to another schema by the specification's schema
    /// resolution. Succeeds if the schemas compare as compatible.
    ///
    /// # Errors
    /// Returns a violation if the payload is not valid for this schema, or the other schema cannot
    /// read it.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        convert::convert(&self.model, &reader.model, bytes)
    }

    /// Returns the projection to a version that differs only by fields, or `None` if it differs by
    /// more.
    pub(crate) fn projection(&self, reader: &Self) -> Option<Projection> {
        Projection::between(&self.model, &reader.model)
    }
}
