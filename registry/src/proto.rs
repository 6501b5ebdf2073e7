//! Includes the generated code; no other file does.

use std::sync::LazyLock;

use tidings_wire::{
    codec::{self, Contract},
    footprint::Footprints,
};

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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost::Name as _;
    use tidings_wire::footprint::{Footprints, TooLarge};

    use super::{DESCRIPTORS, v1};

    fn footprints() -> Footprints {
        Footprints::of(DESCRIPTORS)
    }

    #[test]
    fn an_empty_message_uses_no_more_than_its_footprint() {
        let footprints = footprints();
        for (name, bytes) in [
            (v1::SchemaDraft::full_name(), size_of::<v1::SchemaDraft>()),
            (v1::Reference::full_name(), size_of::<v1::Reference>()),
            (v1::VersionRequirement::full_name(), size_of::<v1::VersionRequirement>()),
        ] {
            let footprint = footprints.empty(&name).unwrap();
            let expected = bytes..=3 * bytes;
            assert!(expected.contains(&footprint), "{name}: {footprint} instead of {bytes}");
        }
    }

    #[test]
    fn small_messages_that_decode_into_much_memory_are_rejected_at_any_depth() {
        let footprints = footprints();
        let apply = v1::ApplySchemasRequest::full_name();
        let drafts = |count: usize| [0x0a, 0].repeat(count);
        assert_eq!(footprints.check(&apply, &drafts(1_000)), Ok(()));
        assert_eq!(footprints.check(&apply, &drafts(4 << 20)), Err(TooLarge));
        // Field 4, the references, of the first draft.
        let mut nested = vec![0x0a];
        let references = [0x22, 0].repeat(2 << 20);
        prost::encoding::encode_varint(references.len() as u64, &mut nested);
        nested.extend(references);
        assert_eq!(footprints.check(&apply, &nested), Err(TooLarge));
        // A large message with few entries uses its own size only.
        let large = v1::ApplySchemasRequest {
            schemas: vec![v1::SchemaDraft { subject: "x".repeat(8 << 20), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(footprints.check(&apply, &large.encode_to_vec()), Ok(()));
    }

    #[test]
    fn malformed_messages_are_left_to_the_decoder() {
        let footprints = footprints();
        let apply = v1::ApplySchemasRequest::full_name();
        for bytes in
            [&[0xff_u8; 40][..], &[0x0a, 0x7f], &[0x0a, 0xff], &[0x08], &[0x0d, 1], &[0x0b, 0x0c]]
        {
            assert_eq!(footprints.check(&apply, bytes), Ok(()), "{bytes:?}");
        }
    }
}
