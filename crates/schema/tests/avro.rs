//! Tests of the public API for Avro.

#[path = "avro/apache.rs"]
mod apache;
#[path = "avro/cases.rs"]
mod cases;
#[path = "avro/conversion.rs"]
mod conversion;
#[path = "avro/generate.rs"]
mod generate;
#[path = "avro/hostile.rs"]
mod hostile;
#[path = "avro/libraries.rs"]
mod libraries;
#[path = "avro/mutate.rs"]
mod mutate;
#[path = "avro/oracle.rs"]
mod oracle;
#[path = "avro/pairs.rs"]
mod pairs;
#[path = "avro/payload_generator.rs"]
mod payload_generator;
#[path = "avro/payloads.rs"]
mod payloads;
#[path = "avro/shrink.rs"]
mod shrink;
#[path = "clients/toolchain.rs"]
mod toolchain;
#[path = "avro/validity.rs"]
mod validity;
