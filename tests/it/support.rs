//! The server, the clients and the toolchains that tests use.

pub mod harness;
pub mod registry_pair;
#[path = "../../crates/schema/tests/clients/toolchain.rs"]
pub mod toolchain;
pub mod wire;
