//! Tests of the registry and of its program: what it stores, what it refuses to open, and what it
//! serves.

#[path = "registry/consumers.rs"]
mod consumers;
#[path = "registry/durable_mark.rs"]
mod durable_mark;
#[path = "registry/imports.rs"]
mod imports;
#[path = "registry/quarantined.rs"]
mod quarantined;
#[path = "registry/rules.rs"]
mod rules;
#[path = "registry/standalone.rs"]
mod standalone;
#[path = "registry/verify.rs"]
mod verify;
