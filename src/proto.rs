//! The only include of generated code.
//!
//! `events::v1` holds the messages and the clients, `servers::v1` the servers' traits. The three messages that carry
//! recorded events are [`Spliced`] on the server's side: their events are put in as they are stored.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType},
};

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
