//! Requests encoded by hand; responses received as bytes.

use std::{marker::PhantomData, ops::Range};

use bytes::{Buf, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};
use tidings::proto::{Spliced, events::v1::Durability};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
    codegen::http::uri::PathAndQuery,
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::workload::Workload;

/// Path of `EventService.Publish`.
pub fn publish_path() -> PathAndQuery {
    PathAndQuery::from_static("/tidings.events.v1.EventService/Publish")
}

/// Path of `EventService.PublishStream`.
pub fn publish_stream_path() -> PathAndQuery {
    PathAndQuery::from_static("/tidings.events.v1.EventService/PublishStream")
}

/// Path of `EventService.Subscribe`.
pub fn subscribe_path() -> PathAndQuery {
    PathAndQuery::from_static("/tidings.events.v1.EventService/Subscribe")
}

/// An encoded `PublishRequest` with the events of these sequences.
pub fn publish_request(
    workload: &Workload,
    topic: &str,
    sequences: Range<u64>,
    durability: Durability,
) -> Spliced {
    let mut buf = BytesMut::new();
    put_publish(workload, topic, sequences, durability, &mut buf);
    buf.freeze().into()
}

/// An encoded `PublishStreamRequest`.
pub fn publish_stream_request(
    stream_sequence: u64,
    workload: &Workload,
    topic: &str,
    sequences: Range<u64>,
    durability: Durability,
) -> Spliced {
    let mut publish = BytesMut::new();
    put_publish(workload, topic, sequences, durability, &mut publish);
    let mut head = BytesMut::with_capacity(24);
    head.extend_from_slice(&[0x08]);
    encode_varint(stream_sequence, &mut head);
    head.extend_from_slice(&[0x12]);
    encode_varint(publish.len() as u64, &mut head);
    let mut request = Spliced::with_capacity(2);
    request.push(head.freeze());
    request.push(publish.freeze());
    request
}

fn put_publish(
    workload: &Workload,
    topic: &str,
    sequences: Range<u64>,
    durability: Durability,
    buf: &mut BytesMut,
) {
    let event = workload.event_bytes();
    let events = usize::try_from(sequences.end - sequences.start).unwrap_or_default();
    let event_len = event as u64;
    buf.reserve(16 + topic.len() + events * (event + 1 + encoded_len_varint(event_len)));
    buf.extend_from_slice(&[0x0A]);
    encode_varint(topic.len() as u64, buf);
    buf.extend_from_slice(topic.as_bytes());
    for sequence in sequences {
        buf.extend_from_slice(&[0x12]);
        encode_varint(event_len, buf);
        workload.put(sequence, buf);
    }
    buf.extend_from_slice(&[0x20, durability as u8]);
}

/// Sends messages of type `T`, and returns the bytes of the responses.
pub struct RawCodec<T>(pub PhantomData<T>);

impl<T: prost::Message + Default + Send + 'static> Codec for RawCodec<T> {
    type Encode = T;
    type Decode = Bytes;
    type Encoder = ProstEncoder<T>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, T>::raw_encoder(Default::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder
    }
}

/// Returns the bytes of a message undecoded.
pub struct RawDecoder;

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tidings::proto::events::v1 as proto;

    use super::*;

    #[test]
    fn requests_decode_to_their_content() {
        let workload = Workload::new(1, 100).unwrap();
        let spliced = publish_stream_request(9, &workload, "t", 5..8, Durability::Synced);
        let request =
            proto::PublishStreamRequest::decode(spliced.encode_to_vec().as_slice()).unwrap();
        assert_eq!(request.sequence, 9);
        let publish = request.publish.unwrap();
        assert_eq!((publish.topic.as_str(), publish.events.len()), ("t", 3));
        assert_eq!(publish.durability(), Durability::Synced);
        assert_eq!(super::super::workload::verify(&publish.events[2]).unwrap(), 7);
    }
}
