//! The registry itself: what it keeps, what it refuses to start with, and its program.

#[path = "registry/aside.rs"]
mod aside;
#[path = "registry/consumers.rs"]
mod consumers;
#[path = "registry/imports.rs"]
mod imports;
#[path = "registry/rules.rs"]
mod rules;
#[path = "registry/standalone.rs"]
mod standalone;
#[path = "registry/verify.rs"]
mod verify;
#[path = "registry/witness.rs"]
mod witness;
