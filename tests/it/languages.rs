//! Clients and code generators of other languages.

pub mod clients;
pub mod compiled_clients;
pub mod contract;
pub mod scripting_clients;
