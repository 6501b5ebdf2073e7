//! Includes the generated code.
//!
//! `events::v1` has the messages and clients, `servers::v1` the traits of the servers. On the
//! server, the three messages with recorded events are [`Spliced`]: they contain events as they are
//! stored.

mod code;

use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType},
};
use tidings_wire::{
    codec::{self, Contract},
    footprint::Footprints,
};

pub use self::code::code_name;

/// Messages and clients of the package `tidings.events`.
pub mod events {
    /// Version 1.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; documented in proto/"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/messages/tidings.events.v1.rs"));
    }
}

/// Servers of the package `tidings.events`.
pub mod servers {
    /// Version 1.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated; documented in proto/"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/servers/tidings.events.v1.rs"));
    }
}

/// The files of `proto/` as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The codec of the services of this package.
pub type RequestCodec<T, U> = codec::RequestCodec<T, U, Messages>;

/// The messages of this package, for the memory bound of the codec.
#[derive(Debug, Clone, Copy)]
pub struct Messages;

impl Contract for Messages {
    fn footprints() -> &'static Footprints {
        static FOOTPRINTS: LazyLock<Footprints> = LazyLock::new(|| Footprints::of(DESCRIPTORS));
        &FOOTPRINTS
    }
}

/// An encoded response, in segments that may be shared with other responses.
#[derive(Debug, Clone, Default)]
pub struct Spliced {
    segments: Vec<Bytes>,
    len: usize,
}

impl Spliced {
    /// Creates an empty response with capacity for this many segments.
    pub fn with_capacity(segments: usize) -> Self {
        Self { segments: Vec::with_capacity(segments), len: 0 }
    }

    /// Appends encoded bytes.
    pub fn push(&mut self, segment: Bytes) {
        self.len += segment.len();
        self.segments.push(segment);
    }
}

impl From<Bytes> for Spliced {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), segments: vec![bytes] }
    }
}

impl Message for Spliced {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for segment in &self.segments {
            buf.put_slice(segment);
        }
    }

    fn encoded_len(&self) -> usize {
        self.len
    }

    fn merge_field(
        &mut self,
        _tag: u32,
        _wire_type: WireType,
        _buf: &mut impl Buf,
        _ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        // The server only sends these messages. Clients decode the message of `events::v1`.
        #[expect(deprecated, reason = "prost has no other public constructor")]
        Err(DecodeError::new("a spliced message cannot be decoded"))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use prost::Name;

    use super::*;

    fn assert_footprint<T>(name: &str) {
        let footprint = Messages::footprints().empty(name).unwrap();
        let bytes = size_of::<T>();
        assert!((bytes..=3 * bytes).contains(&footprint), "{name}: {bytes} bytes, not {footprint}");
    }

    #[test]
    fn footprints_cover_the_size_of_repeated_messages() {
        assert_footprint::<events::v1::Event>(&events::v1::Event::full_name());
        assert_footprint::<events::v1::AttributeValue>(&events::v1::AttributeValue::full_name());
        assert_footprint::<events::v1::Condition>(&events::v1::Condition::full_name());
        assert_footprint::<events::v1::Filter>(&events::v1::Filter::full_name());
        assert_footprint::<events::v1::AcceptedSchema>(&events::v1::AcceptedSchema::full_name());
        assert_footprint::<prost_types::Value>("google.protobuf.Value");
    }
}
