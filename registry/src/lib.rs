//! The schema registry of Tidings: registers versioned schemas, rejects incompatible changes, negotiates versions.
//!
//! It runs by itself (`tidings-registry`) or inside `tidings serve`, and knows nothing of streams. Data flows one way:
//!
//! ```text
//! service -> registry -> catalog -> impact -> consumer, negotiation -> subject -> schema
//!                └-> store
//! ```
//!
//! - [`subject`], [`schema`]: what is registered; [`catalog`]: all of it at one revision, and what a draft becomes.
//! - [`negotiation`]: the version that a reader is delivered; [`accepted`]: what the reader of a stream accepts.
//! - [`consumer`]: who reads what; [`impact`]: the consumers that a change affects.
//! - [`registry`]: the one writer; [`store`]: RocksDB; [`service`]: the wire.
//! - [`schemas`]: what is registered, for a server beside the registry; [`mirror`]: the copy of a remote one.
//! - [`reflection`]: everything in Protobuf, for clients that know no file of it.
//! - [`convert`]: between these values and the messages of the contract; [`codec`]: between those and their bytes.
//! - [`processor`]: the instructions that RocksDB is compiled for.
//!
//! Comparison, validation and conversion of schemas are in `tidings-schema`.

pub mod accepted;
pub mod catalog;
pub mod client;
pub mod codec;
pub mod consumer;
pub mod convert;
pub mod error;
pub mod impact;
pub mod mirror;
pub mod negotiation;
pub mod processor;
pub mod proto;
pub mod reflection;
pub mod registry;
pub mod remote;
pub mod schema;
pub mod schemas;
pub mod service;
pub mod store;
pub mod subject;
