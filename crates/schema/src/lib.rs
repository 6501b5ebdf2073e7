//! Event schemas in three formats, as pure functions from text to findings and bytes.
//!
//! Parses and compares schemas, validates payloads, and converts payloads between versions. Reads
//! no files, opens no sockets, and does not depend on the registry or the log.
//!
//! ```text
//! converter -> report -> level -> schema -> protobuf, json, avro
//!     -> definition, finding, counterexample
//! ```
//!
//! - [`definition`]: the text of a schema, and its faults.
//! - [`finding`]: findings of a comparison, with verdict, severity and direction;
//!   [`counterexample`]: payloads that prove a break.
//! - [`protobuf`], [`json`], [`avro`]: parsing, canonical form, comparison, validation and
//!   conversion in one format each.
//! - [`schema`]: a schema in any of the three formats.
//! - [`converter`]: conversion of payloads between two versions.
//! - [`version`]: semantic versions, lines and bumps; [`level`]: the compatibility within a line;
//!   [`report`]: findings against several versions.

pub mod avro;
pub mod converter;
pub mod counterexample;
pub mod definition;
pub mod finding;
pub mod json;
pub mod level;
pub mod protobuf;
pub mod report;
pub mod schema;
pub mod version;
