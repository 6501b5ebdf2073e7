//! Schemas of Avro.
//!
//! The specification's schema resolution says what a reader makes of data that another schema wrote; a comparison is that
//! resolution in both directions. The parser, the comparison and the checks of payloads are ours: the `apache-avro` crate
//! drops what readers notice (sort order, invalid logical types), copies a named type for every type around it, calls
//! partial matches compatible, and decodes without a bound on recursion. It is the tests' oracle instead.

mod binary;
mod build;
mod canonical;
mod changes;
mod compare;
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
mod value;
mod wording;

use crate::{
    definition::{Definition, Import, InvalidSchema, Violation},
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
        encoded::validate(&self.model, json)
    }

    /// Checks a payload in Avro's binary encoding: one datum, without a header or the marker of single objects.
    ///
    /// # Errors
    /// The first thing that is wrong with it: what follows cannot be told.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        binary::validate(&self.model, bytes).map_err(|violation| vec![violation])
    }
}
