//! Tidings: an event streaming service over gRPC, on a durable ordered log in RocksDB.

pub mod broker;
pub mod config;
pub mod journal;
pub mod model;
pub mod proto;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
