//! Tests of the real server over real sockets. One binary, so that RocksDB is linked once.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod cli;
mod events;
mod faults;
mod house;
mod http;
mod languages;
mod schemas;
mod support;
