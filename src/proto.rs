//! The only include of generated code.
//!
//! `events::v1` holds the messages and the clients, `servers::v1` the servers' traits. The three messages that carry
//! recorded events are [`Spliced`] on the server's side: their events are put in as they are stored.

mod code;

use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType},
};
use tidings_registry::codec::{self, Contract, footprint::Footprints};

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

/// Everything in `proto/` as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// How the services of this package read and write.
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

/// A response in its encoded form, in parts that may be shared with other responses.
#[derive(Debug, Clone, Default)]
pub struct Spliced {
    parts: Vec<Bytes>,
    len: usize,
}

impl Spliced {
    /// With room for this many parts.
    pub fn with_capacity(parts: usize) -> Self {
        Self { parts: Vec::with_capacity(parts), len: 0 }
    }

    /// Adds encoded bytes behind what is there.
    pub fn push(&mut self, part: Bytes) {
        self.len += part.len();
        self.parts.push(part);
    }
}

impl From<Bytes> for Spliced {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), parts: vec![bytes] }
    }
}

impl Message for Spliced {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for part in &self.parts {
            buf.put_slice(part);
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
        // The server only ever sends these; a client decodes the message of `events::v1`.
        #[expect(deprecated, reason = "prost gives no other way to make one")]
        Err(DecodeError::new("a spliced message is for sending only"))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use prost::Name;

    use super::*;

    fn assert_said<T>(name: &str) {
        let said = Messages::footprints().empty(name).unwrap();
        let bytes = size_of::<T>();
        assert!((bytes..=3 * bytes).contains(&said), "{name}: {bytes}, and {said} is said");
    }

    #[test]
    fn messages_of_which_there_may_be_many_take_no_more_than_is_said() {
        assert_said::<events::v1::Event>(&events::v1::Event::full_name());
        assert_said::<events::v1::AttributeValue>(&events::v1::AttributeValue::full_name());
        assert_said::<events::v1::Condition>(&events::v1::Condition::full_name());
        assert_said::<events::v1::Filter>(&events::v1::Filter::full_name());
        assert_said::<events::v1::AcceptedSchema>(&events::v1::AcceptedSchema::full_name());
        assert_said::<prost_types::Value>("google.protobuf.Value");
    }
}
