//! The real server over real sockets. One binary, so that RocksDB is linked once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abuse;
mod cel;
mod checker;
mod cli;
mod clients;
mod compiled_clients;
mod consumers;
mod contract;
mod corruption;
mod drain;
mod errors;
mod gate;
mod github;
mod grpc_web;
mod harness;
mod http;
mod http_port;
mod kill_loop;
mod lost;
mod model;
mod negotiation;
mod power_cut;
mod publishing;
mod reflection;
mod registry;
mod registry_disk;
mod registry_pair;
mod schema_cli;
mod scripting_clients;
mod sizes;
mod streams;
mod tidy;
#[path = "../../crates/schema/tests/clients/toolchain.rs"]
mod toolchain;
mod topics;
mod torture;
mod tour;
mod unchecked;
mod wire;
