//! The engine for Avro, from outside.

#[path = "avro/apache.rs"]
mod apache;
#[path = "avro/cases.rs"]
mod cases;
#[path = "avro/conversion.rs"]
mod conversion;
#[path = "clients/environment.rs"]
mod environment;
#[path = "avro/generate.rs"]
mod generate;
#[path = "avro/hostile.rs"]
mod hostile;
#[path = "avro/libraries.rs"]
mod libraries;
#[path = "avro/pairs.rs"]
mod pairs;
#[path = "avro/payloads.rs"]
mod payloads;
#[path = "clients/toolchain.rs"]
mod toolchain;
#[path = "avro/validity.rs"]
mod validity;
