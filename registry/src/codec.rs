//! How requests are read and answers written: Protobuf, with an answer for bytes that are none, and for few bytes that
//! would be many.

pub mod footprint;

use std::marker::PhantomData;

use prost::{Message, Name, bytes::Buf as _};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use self::footprint::Footprints;
use crate::service::status;

/// Bytes of answers that are gathered before they go to the transport. It is what a stream whose reader has stalled
/// holds at least: with tonic's own 32 KiB, 1,000 of them took 106 KiB each.
const BUFFER_BYTES: usize = 4 << 10;

/// The messages of which a service's requests are made.
pub trait Contract: Send + Sync + 'static {
    /// What they take in memory.
    fn footprints() -> &'static Footprints;
}

/// The codec of our services. What it has over tonic's own: a request that does not decode is the client's fault,
/// INVALID_ARGUMENT, and not an internal error; and one that would fill the memory is not decoded.
#[derive(Debug, Clone)]
pub struct RequestCodec<T, U, C>(PhantomData<(T, U, C)>);

impl<T, U, C> Default for RequestCodec<T, U, C> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U, C> Codec for RequestCodec<T, U, C>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
    C: Contract,
{
    type Encode = T;
    type Decode = U;
    type Encoder = AnswerEncoder<T>;
    type Decoder = RequestDecoder<U, C>;

    fn encoder(&mut self) -> Self::Encoder {
        AnswerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Writes answers.
#[derive(Debug, Clone)]
pub struct AnswerEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for AnswerEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, answer: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // At once: a buffer that grows by doubling would copy a batch once more.
        buf.reserve(answer.encoded_len());
        answer.encode_raw(buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, BUFFER_BYTES)
    }
}

/// Reads requests.
#[derive(Debug, Clone)]
pub struct RequestDecoder<U, C>(PhantomData<(U, C)>);

impl<U: Message + Name + Default, C: Contract> Decoder for RequestDecoder<U, C> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let checked = C::footprints().check(&U::full_name(), bytes.chunk());
        checked.map_err(|error| status::undecodable(&error.to_string()))?;
        U::decode(bytes).map(Some).map_err(|error| {
            status::undecodable(&format!(
                "does not decode: {error}; text has to be UTF-8, and messages nest 100 deep at most"
            ))
        })
    }
}
