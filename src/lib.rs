//! Tidings: an event streaming service over gRPC, on a durable ordered log in RocksDB.
//!
//! Data flows one way: wire, service, domain, log.
//!
//! ```text
//! server -> http -> service                                     HTTP without gRPC
//! server -> service -> broker -> journal -> store -> model      writes
//!                      broker ------------> store               reads
//!                      broker ------------> tidings_registry    schemas
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`model`] | the valid values of names, cursors, events and commits |
//! | [`store`] | the bytes on disk, and the effect of applying a commit |
//! | [`journal`] | the order of commits, and when they are durable |
//! | [`broker`] | admission, and the events of each reader |
//! | [`service`] | whether a request is valid, and the encoding of the response |
//! | [`crate::http`], [`cloudevents`] | the form of requests and events over HTTP and in JSON |
//! | [`server`] | the parts of the server, and the order in which they start and stop |
//! | [`config`], [`telemetry`] | settings; logs and metrics |
//! | [`notation`], [`json`] | the notation of flags and queries; JSON text |
//!
//! Deliberately absent: partitions (order is per topic, parallel work by key), a consensus protocol
//! (a distributed journal will order the same commits), an abstraction over RocksDB (the boundary
//! is the journal), and for now durable subscriptions, authentication and TLS.

pub mod broker;
pub mod cloudevents;
pub mod config;
pub mod http;
pub mod journal;
pub mod json;
pub mod model;
pub mod notation;
pub mod proto;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
