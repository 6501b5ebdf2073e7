//! The registry, the schema gate, consumers and reflection.

pub mod consumers;
pub mod gate;
pub mod github;
pub mod reflection;
pub mod registry;
pub mod registry_disk;
