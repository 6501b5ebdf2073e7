//! Tidings: an event streaming service over gRPC, on a durable ordered log in RocksDB.
//!
//! Data flows one way: wire, service, domain, log.
//!
//! ```text
//! server -> http -> service                                      whoever speaks no gRPC
//! server -> service -> broker -> journal -> store -> model      writes
//!                      broker ------------> store               reads
//!                      broker ------------> tidings_registry    schemas
//! ```
//!
//! | room | decides |
//! |---|---|
//! | [`model`] | what a valid name, cursor, event or commit is |
//! | [`store`] | the bytes on disk, and what applying a commit does to them |
//! | [`journal`] | which commit comes first, and when it is durable |
//! | [`broker`] | what is admitted, who gets what from where |
//! | [`service`] | whether a request is well formed, and how an answer looks |
//! | [`crate::http`], [`cloudevents`] | how requests and events look to who speaks HTTP and JSON |
//! | [`server`] | which parts there are, and in what order they start and stop |
//! | [`config`], [`telemetry`] | every knob; logs and metrics |
//! | [`notation`], [`json`] | what people write in flags and queries; JSON text |
//!
//! Deliberately absent: partitions (order is per topic, parallel work by key), a consensus protocol (a distributed
//! journal will order the same commits), an abstraction over RocksDB (the seam is the journal), and for now durable
//! subscriptions, authentication and TLS.

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
