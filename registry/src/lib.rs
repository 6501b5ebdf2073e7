//! The schema registry of Tidings: versions that mean something, rejections that teach.
//!
//! It runs by itself (`tidings-registry`) or inside `tidings serve`, and knows nothing of streams. Data flows one way:
//!
//! ```text
//! service -> registry -> catalog -> compatibility -> format -> protobuf, json, avro -> definition, finding
//!                └-> store
//! ```
//!
//! - [`definition`]: what an author hands in, and what is wrong with it.
//! - [`finding`]: what a comparison finds, and what follows: verdicts and the bump; [`counterexample`]: payloads that show it.
//! - [`protobuf`], [`json`], [`avro`]: one format each: parse, canonical form, compare, validate.
//! - [`mod@format`]: a schema of any of the three.
//! - [`converter`]: payloads of one version given as another.
//! - [`version`], [`compatibility`]: lines, bumps and levels; the report.
//! - [`subject`], [`schema`]: what is registered; [`catalog`]: all of it at one revision, and what a draft would become.
//! - [`negotiation`]: which version a reader is delivered; [`accepted`]: what the reader of a stream accepts.
//! - [`consumer`]: who reads what; [`affected`]: whom a change would leave behind.
//! - [`registry`]: the one writer; [`store`]: RocksDB; [`service`]: the wire.
//! - [`schemas`]: what is registered, for a server beside the registry; [`mirror`]: the copy of one elsewhere.
//! - [`reflection`]: everything in Protobuf, for clients that know no file of it.
//! - [`convert`]: between these values and the messages of the contract; [`codec`]: between those and their bytes.
//! - [`processor`]: the instructions that RocksDB is compiled for.
//!
//! Deliberately absent: validation of JSON and linking of Protobuf. Libraries do that. Avro is ours from the parser on, because
//! its library does not resolve as its specification has it; [`avro`] says where.

pub mod accepted;
pub mod affected;
pub mod avro;
pub mod catalog;
pub mod client;
pub mod codec;
pub mod compatibility;
pub mod consumer;
pub mod convert;
pub mod converter;
pub mod counterexample;
pub mod definition;
pub mod error;
pub mod finding;
pub mod format;
pub mod json;
pub mod mirror;
pub mod negotiation;
pub mod processor;
pub mod proto;
pub mod protobuf;
pub mod reflection;
pub mod registry;
pub mod remote;
pub mod schema;
pub mod schemas;
pub mod service;
pub mod store;
pub mod subject;
pub mod version;
