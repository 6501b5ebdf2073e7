//! The schema registry of Tidings: registers versioned schemas, rejects incompatible changes, and
//! negotiates versions.
//!
//! It runs as a program of its own (`tidings-registry`) or inside `tidings serve`. It does not
//! depend on event streams. Data flows one way:
//!
//! ```text
//! service -> registry -> catalog -> impact -> consumer, negotiation -> subject -> schema
//!                └-> store
//! ```
//!
//! - [`name`], [`subject`], [`schema`]: subjects, and registered versions of their schemas;
//!   [`catalog`]: all of them at one revision, and what becomes of a draft.
//! - [`negotiation`]: selects the version that a reader is delivered; [`accepted`]: the versions
//!   that the reader of a stream accepts.
//! - [`consumer`]: the requirements of consumers; [`impact`]: the consumers that a change affects.
//! - [`registry`]: the only writer; [`store`]: RocksDB; [`service`]: the gRPC service.
//! - [`schemas`]: access to registered schemas for a server that uses a registry; [`mirror`]: the
//!   copy of a remote registry; [`remote`]: forwards calls to it; [`client`]: the clients.
//! - [`reflection`]: gRPC server reflection over all registered Protobuf schemas.
//! - [`convert`]: between these values and the messages of the contract.
//! - [`processor`]: checks for the instructions that RocksDB is compiled for.
//!
//! Comparison, validation and conversion of schemas are in `tidings-schema`.

pub mod accepted;
pub mod catalog;
pub mod client;
pub mod consumer;
pub mod convert;
pub mod error;
pub mod impact;
pub mod mirror;
pub mod name;
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
