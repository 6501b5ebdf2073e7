//! Schemas of events in three formats, as pure functions: text in, findings and bytes out.
//!
//! Parses, compares and validates schemas, and converts payloads between their versions. It reads no file, opens no
//! socket and knows neither the registry nor the log.
//!
//! ```text
//! converter -> report -> level -> schema -> protobuf, json, avro -> definition, finding, counterexample
//! ```
//!
//! - [`definition`]: the text of an author and its faults.
//! - [`finding`]: what a comparison finds: verdicts, severity, direction; [`counterexample`]: payloads that prove a break.
//! - [`protobuf`], [`json`], [`avro`]: one format each: parse, canonical form, compare, validate, convert.
//! - [`schema`]: a schema in any of the three formats.
//! - [`converter`]: payloads of one version as another.
//! - [`version`]: semantic versions, lines and bumps; [`level`]: the compatibility that a line promises; [`report`]: the
//!   findings against several versions.

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
