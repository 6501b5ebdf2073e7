//! Decodes requests and encodes responses in Protobuf. Rejects requests that are not valid
//! Protobuf, and small requests that would decode into too much memory.

use std::{collections::HashMap, marker::PhantomData};

use prost::{Message, Name, bytes::Buf as _};
use tonic::{
    Code, Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{footprint::Footprints, text::shorten};

/// Bytes of responses that are collected before they go to the transport. A stream whose reader has
/// stalled holds at least as many: with tonic's own 32 KiB, 1,000 such streams used 106 KiB each.
const BUFFER_BYTES: usize = 4 << 10;

/// The message types of the requests of a service.
pub trait Contract: Send + Sync + 'static {
    /// Returns the memory that they use.
    fn footprints() -> &'static Footprints;
}

/// The codec of our services. Unlike tonic's own, it reports a request that does not decode as the
/// client's fault, INVALID_ARGUMENT, not as an internal error, and it does not decode a request
/// that would exhaust the memory.
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
    type Encoder = ResponseEncoder<T>;
    type Decoder = RequestDecoder<U, C>;

    fn encoder(&mut self) -> Self::Encoder {
        ResponseEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Encodes responses.
#[derive(Debug, Clone)]
pub struct ResponseEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ResponseEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, response: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // Reserved at once: a buffer that grows by doubling would copy a batch once more.
        buf.reserve(response.encoded_len());
        response.encode_raw(buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, BUFFER_BYTES)
    }
}

/// Decodes requests.
#[derive(Debug, Clone)]
pub struct RequestDecoder<U, C>(PhantomData<(U, C)>);

impl<U: Message + Name + Default, C: Contract> Decoder for RequestDecoder<U, C> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let checked = C::footprints().check(&U::full_name(), bytes.chunk());
        checked.map_err(|error| undecodable(&error.to_string()))?;
        U::decode(bytes).map(Some).map_err(|error| {
            undecodable(&format!(
                "does not decode: {error}; text has to be UTF-8, and messages nest 100 deep at most"
            ))
        })
    }
}

/// The status of a request that does not decode. It is made before a service is called.
fn undecodable(fault: &str) -> Status {
    let details = ErrorDetails::with_error_info("INVALID_REQUEST", "tidings", HashMap::new());
    let message = shorten(&format!("the request {fault}"));
    Status::with_error_details(Code::InvalidArgument, message, details)
}
