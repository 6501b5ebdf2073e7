//! The only include of generated code.

/// Version 1 of the package `tidings.registry`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in proto/"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tidings.registry.v1.rs"));
}

/// The registry's part of `proto/` as an encoded `FileDescriptorSet`, for reflection and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
