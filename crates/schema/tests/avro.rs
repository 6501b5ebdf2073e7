//! The engine for Avro, from outside.

#[path = "avro/apache.rs"]
mod apache;
#[path = "avro/cases.rs"]
mod cases;
#[path = "avro/conversion.rs"]
mod conversion;
#[path = "avro/draw.rs"]
mod draw;
#[path = "avro/generate.rs"]
mod generate;
#[path = "avro/hostile.rs"]
mod hostile;
#[path = "avro/judge.rs"]
mod judge;
#[path = "avro/libraries.rs"]
mod libraries;
#[path = "avro/mutate.rs"]
mod mutate;
#[path = "avro/pairs.rs"]
mod pairs;
#[path = "avro/payloads.rs"]
mod payloads;
#[path = "avro/shrink.rs"]
mod shrink;
#[path = "clients/toolchain.rs"]
mod toolchain;
#[path = "avro/validity.rs"]
mod validity;
