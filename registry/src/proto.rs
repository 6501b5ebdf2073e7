//! Includes the generated code; no other file does.

use std::sync::LazyLock;

use crate::codec::{self, Contract, footprint::Footprints};

/// Version 1 of the package `tidings.registry`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in proto/"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/messages/tidings.registry.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/servers/tidings.registry.v1.rs"));
}

/// The registry's part of `proto/` as an encoded `FileDescriptorSet`, for reflection and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The codec of the service of this package.
pub type RequestCodec<T, U> = codec::RequestCodec<T, U, Messages>;

/// The messages of this package.
#[derive(Debug, Clone, Copy)]
pub struct Messages;

impl Contract for Messages {
    fn footprints() -> &'static Footprints {
        static FOOTPRINTS: LazyLock<Footprints> = LazyLock::new(|| Footprints::of(DESCRIPTORS));
        &FOOTPRINTS
    }
}
