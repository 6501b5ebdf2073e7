//! The engine for Avro, from outside.

#[path = "avro/cases.rs"]
mod cases;
#[path = "avro/validity.rs"]
mod validity;
