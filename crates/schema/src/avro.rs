//! Schemas of Avro.
//!
//! The specification's schema resolution says what a reader makes of data that another schema wrote; a comparison is that
//! resolution in both directions, and a conversion is the same done to data. All of it is ours: the `apache-avro` crate
//! copies every named type into each type around it, calls partial matches compatible, reads a default of a later
//! branch of a union as null, knows no aliases when it resolves, and decodes without a bound on recursion. It is an
//! oracle of the tests instead, beside the libraries for Java and Python.

mod binary;
mod build;
mod canonical;
mod changes;
mod compare;
mod convert;
mod cursor;
mod default;
mod document;
mod encoded;
mod logical;
mod model;
mod name;
mod named;
mod parse;
mod path;
mod resolve;
mod short_way;
mod shown;
mod value;
mod witness;
mod wording;

pub(crate) use self::short_way::ShortWay;
use self::shown::Style;
use crate::{
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::Comparison,
};

/// A schema.
#[derive(Debug)]
pub struct Schema {
    model: model::Model,
}

impl Schema {
    /// Parses a definition: a JSON text, with its further files and imports, whose named types it may refer to.
    ///
    /// # Errors
    /// Where it is not a schema: everything that is wrong with it.
    pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        parse::parse(definition, imports).map(|model| Self { model })
    }

    /// The rules that only a new definition has to meet.
    pub fn check(&self) -> Vec<Fault> {
        self.model.draft_faults.clone()
    }

    /// The form in which the same schemas are the same bytes.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::write(&self.model, canonical::Detail::All).into_bytes()
    }

    /// What changed from this schema to a newer one.
    pub fn compare(&self, new: &Self) -> Comparison {
        compare::compare(&self.model, &new.model)
    }

    /// Checks a payload in Avro's JSON encoding: a value of a union stands in an object under the name of its branch,
    /// null excepted, and bytes are characters from U+0000 to U+00FF.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        encoded::encode(&self.model, json).map(drop)
    }

    /// Reads a payload in Avro's JSON encoding and writes it in the binary one.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        let bytes = encoded::encode(&self.model, json)?;
        // What is bounded in binary is bounded otherwise in JSON.
        self.validate_binary(&bytes)?;
        Ok(bytes)
    }

    /// Shows a payload in Avro's JSON encoding, as [`Schema::encode`] reads it.
    ///
    /// # Errors
    /// The first thing that is wrong with it, or a text of more than 64 MiB.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        shown::show(&self.model, bytes, Style::Encoding).map_err(|violation| vec![violation])
    }

    /// Shows a payload as JSON, a value of a union without the name of its branch.
    ///
    /// # Errors
    /// The first thing that is wrong with it, or a text of more than 8 MiB.
    pub fn to_plain_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        shown::show(&self.model, bytes, Style::Plain).map_err(|violation| vec![violation])
    }

    /// Checks a payload in Avro's binary encoding: one datum, without a header or the marker of single objects.
    ///
    /// # Errors
    /// The first thing that is wrong with it: what follows cannot be told.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        binary::validate(&self.model, bytes).map_err(|violation| vec![violation])
    }

    /// Reads a payload in the binary encoding that was written with this schema, and writes it as another schema has it:
    /// the specification's schema resolution. Where the two compare as compatible, it succeeds.
    ///
    /// # Errors
    /// Where the payload is not of this schema, or the other one cannot read it.
    pub fn convert(&self, reader: &Self, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        convert::convert(&self.model, &reader.model, bytes)
    }

    /// The short way to a version that differs by fields alone. None: the two differ by more.
    pub(crate) fn short_way(&self, reader: &Self) -> Option<ShortWay> {
        ShortWay::between(&self.model, &reader.model)
    }
}
