//! Encodes recorded events. Their stored bytes are spliced into the response unchanged.
//!
//! The encoding is written by hand because generated code would decode every event only to encode
//! it again. The test below decodes the result as the generated messages.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use crate::{
    model::{cursor::CursorWriter, event::Delivered, numbers::Position},
    proto::Spliced,
};

/// An event in the view of its reader.
#[derive(Debug, Clone)]
pub struct RenderedEvent {
    /// The bytes of the event.
    pub event: Bytes,
    /// Its `SchemaResolution`, encoded. Empty if the event has no schema.
    pub schema: Bytes,
}

/// Events up to this size are copied: a segment of their own would cost more than the copy.
const COPIED_BYTES_MAX: usize = 512;

/// Most bytes of a message with more than one event: the default limit of clients, less an
/// allowance for the message around the events.
const MESSAGE_BYTES_MAX: usize = (4 << 20) - (4 << 10);
/// Most bytes of a `RecordedEvent` without event, topic, key and schema: a cursor, numbers and
/// tags.
const HEADER_BYTES: usize = 128;

/// Field numbers of `RecordedEvent`.
mod recorded {
    pub const EVENT: u32 = 1;
    pub const TOPIC: u32 = 2;
    pub const OFFSET: u32 = 3;
    pub const KEY: u32 = 4;
    pub const KEY_VERSION: u32 = 5;
    pub const APPEND_TIME: u32 = 6;
    pub const CURSOR: u32 = 7;
    pub const SCHEMA: u32 = 8;
    pub const POSITION: u32 = 10;
}

/// Field numbers of `EventBatch`.
mod batch {
    pub const EVENTS: u32 = 1;
    pub const CURSOR: u32 = 2;
}

/// `SubscribeResponse.batch`.
pub const SUBSCRIBE_BATCH: u32 = 2;
/// `ReadResponse.batch`.
pub const READ_BATCH: u32 = 1;
/// `ReadResponse.end_cursor`.
pub const READ_END_CURSOR: u32 = 2;
/// `ReadResponse.gaps`.
pub const READ_GAPS: u32 = 3;
/// `GetEventResponse.event`.
pub const GET_EVENT: u32 = 1;

fn bytes_field(tag: u32, bytes: &[u8], buf: &mut impl BufMut) {
    if !bytes.is_empty() {
        encode_key(tag, WireType::LengthDelimited, buf);
        encode_varint(bytes.len() as u64, buf);
        buf.put_slice(bytes);
    }
}

fn number_field(tag: u32, number: u64, buf: &mut impl BufMut) {
    if number != 0 {
        encode_key(tag, WireType::Varint, buf);
        encode_varint(number, buf);
    }
}

/// Writes a `RecordedEvent` up to the bytes of its event, whose field comes last.
fn write_header(
    delivered: &Delivered,
    rendered: &RenderedEvent,
    cursors: &CursorWriter,
    header: &mut BytesMut,
) {
    let (topic, event) = (delivered.topic.as_str(), &delivered.recorded);
    let (seconds, nanos) = event.append_time.seconds_and_nanos();
    bytes_field(recorded::TOPIC, topic.as_bytes(), header);
    number_field(recorded::OFFSET, event.offset.0, header);
    bytes_field(recorded::KEY, event.key(), header);
    number_field(recorded::KEY_VERSION, event.key_version.0, header);
    let time = prost_types::Timestamp { seconds, nanos };
    encode_key(recorded::APPEND_TIME, WireType::LengthDelimited, header);
    encode_varint(time.encoded_len() as u64, header);
    time.encode_raw(header);
    bytes_field(recorded::CURSOR, cursors.write(event.position).as_bytes(), header);
    bytes_field(recorded::SCHEMA, &rendered.schema, header);
    number_field(recorded::POSITION, event.position.0, header);
    encode_key(recorded::EVENT, WireType::LengthDelimited, header);
    encode_varint(rendered.event.len() as u64, header);
}

/// Encodes an event as a field of the response.
pub fn single(
    tag: u32,
    delivered: &Delivered,
    rendered: RenderedEvent,
    cursors: &CursorWriter,
) -> Spliced {
    let mut header = BytesMut::new();
    write_header(delivered, &rendered, cursors, &mut header);
    let event = rendered.event;
    let mut key = BytesMut::new();
    encode_key(tag, WireType::LengthDelimited, &mut key);
    encode_varint((header.len() + event.len()) as u64, &mut key);
    let mut spliced = Spliced::with_capacity(3);
    spliced.push(key.freeze());
    spliced.push(header.freeze());
    spliced.push(event);
    spliced
}

/// Encodes events as an `EventBatch` in a field of the response. Returns several messages if one
/// would exceed the default limit of clients.
pub fn batches(
    tag: u32,
    events: &[Delivered],
    rendered: Vec<RenderedEvent>,
    position: Position,
    cursors: &CursorWriter,
) -> Vec<Spliced> {
    let (mut ends, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, (delivered, view)) in events.iter().zip(&rendered).enumerate() {
        let overhead =
            delivered.topic.as_str().len() + delivered.recorded.key().len() + HEADER_BYTES;
        let next = view.event.len() + view.schema.len() + overhead;
        bytes += next;
        if bytes > MESSAGE_BYTES_MAX && at > from {
            ends.push(at);
            (from, bytes) = (at, next);
        }
    }
    let mut rendered = rendered.into_iter();
    let mut from = 0;
    let mut message = |end: usize, position: Position| {
        let views = rendered.by_ref().take(end - from);
        let spliced = batch(tag, &events[from..end], views, position, cursors);
        from = end;
        spliced
    };
    let mut messages: Vec<Spliced> =
        ends.into_iter().map(|end| message(end, events[end - 1].recorded.position)).collect();
    messages.push(message(events.len(), position));
    messages
}

fn batch(
    tag: u32,
    events: &[Delivered],
    rendered: impl Iterator<Item = RenderedEvent>,
    position: Position,
    cursors: &CursorWriter,
) -> Spliced {
    // All bytes but those of large events; `inserts` has the large events and where they belong.
    let mut written = BytesMut::with_capacity(events.len() * 160);
    let mut inserts: Vec<(usize, Bytes)> = Vec::with_capacity(events.len());
    let mut length = 0;
    let mut header = BytesMut::with_capacity(512);
    for (delivered, rendered) in events.iter().zip(rendered) {
        header.clear();
        write_header(delivered, &rendered, cursors, &mut header);
        let event = rendered.event;
        encode_key(batch::EVENTS, WireType::LengthDelimited, &mut written);
        encode_varint((header.len() + event.len()) as u64, &mut written);
        written.put_slice(&header);
        if event.len() <= COPIED_BYTES_MAX {
            written.put_slice(&event);
        } else {
            length += event.len();
            inserts.push((written.len(), event));
        }
    }
    bytes_field(batch::CURSOR, cursors.write(position).as_bytes(), &mut written);
    length += written.len();

    let mut key = BytesMut::with_capacity(8);
    encode_key(tag, WireType::LengthDelimited, &mut key);
    encode_varint(length as u64, &mut key);
    let mut spliced = Spliced::with_capacity(2 * inserts.len() + 2);
    spliced.push(key.freeze());
    let mut rest = written.freeze();
    let mut at = 0;
    for (insert, event) in inserts {
        spliced.push(rest.split_to(insert - at));
        spliced.push(event);
        at = insert;
    }
    spliced.push(rest);
    spliced
}

/// Encodes a message as a field of a response.
pub fn message(tag: u32, message: &impl prost::Message) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::message::encode(tag, message, &mut field);
    field
}

/// Encodes text as a field of a response.
pub fn text(tag: u32, text: &[u8]) -> Bytes {
    let mut field = BytesMut::with_capacity(text.len() + encoded_len_varint(text.len() as u64) + 2);
    bytes_field(tag, text, &mut field);
    field.freeze()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::{
            cursor::{Cursor, ServerId},
            encoded::EncodedEvent,
            event::Recorded,
            name::TopicName,
            numbers::{AppendTime, KeyVersion, Offset},
        },
        proto::events::v1 as proto,
    };

    fn delivered(size: usize) -> (Delivered, proto::Event) {
        let event = proto::Event {
            id: "1".into(),
            subject: "o-1".into(),
            payload: Some(proto::event::Payload::TextData("x".repeat(size))),
            ..Default::default()
        };
        let bytes = Bytes::from(event.encode_to_vec());
        let key = EncodedEvent(&bytes).key_range().expect("a key");
        let recorded = Recorded {
            offset: Offset(7),
            position: Position(9),
            key_version: KeyVersion(2),
            append_time: AppendTime(1_700_000_000_123_456),
            schema_id: 3,
            times_checked: true,
            key: Some((u32::try_from(key.start).expect("small"), 3)),
            event: bytes,
        };
        let topic = Arc::new(TopicName::parse("orders").expect("a name"));
        (Delivered::as_written(topic, recorded), event)
    }

    #[test]
    fn spliced_responses_decode_as_the_generated_messages() {
        let server = ServerId(5);
        let cursors = CursorWriter::new(server, Position(3));
        let cursor = |position| {
            Cursor { position: Position(position), horizon: Position(3) }.text(server).to_string()
        };
        let resolution = proto::SchemaResolution {
            writer_version: "1.0.0".into(),
            converted: true,
            schema_id: 3,
            ..Default::default()
        };
        let render = |delivered: &Delivered| RenderedEvent {
            event: delivered.recorded.event.clone(),
            schema: resolution.encode_to_vec().into(),
        };
        let (small, small_event) = delivered(10);
        let (large, large_event) = delivered(5_000);
        let expected = |event: proto::Event| proto::RecordedEvent {
            event: Some(event),
            topic: "orders".into(),
            offset: 7,
            key: "o-1".into(),
            key_version: 2,
            append_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 123_456_000,
            }),
            cursor: cursor(9),
            position: 9,
            schema: Some(resolution.clone()),
            ..Default::default()
        };
        let events = [small, large.clone(), large.clone()];
        let views: Vec<RenderedEvent> = events.iter().map(render).collect();
        let mut messages = batches(SUBSCRIBE_BATCH, &events, views, Position(9), &cursors);
        let spliced = messages.pop().expect("one message");
        assert!(messages.is_empty());
        let bytes = spliced.encode_to_vec();
        assert_eq!(bytes.len(), spliced.encoded_len());
        let response = proto::SubscribeResponse::decode(&*bytes).expect("a response");
        let batch = proto::EventBatch {
            events: vec![
                expected(small_event),
                expected(large_event.clone()),
                expected(large_event.clone()),
            ],
            cursor: cursor(9),
        };
        assert_eq!(response.message, Some(proto::subscribe_response::Message::Batch(batch)));

        let spliced = single(GET_EVENT, &large, render(&large), &cursors);
        let response =
            proto::GetEventResponse::decode(&*spliced.encode_to_vec()).expect("a response");
        assert_eq!(response.event, Some(expected(large_event)));
    }
}
