//! Reads an event stream and verifies its events.

use std::{collections::HashMap, marker::PhantomData};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use prost::Message as _;
use tidings::proto::events::v1::{
    Edge, StartPosition, SubscribeRequest, SubscribeResponse, start_position::Position,
    subscribe_response::Message,
};
use tonic::{Request, Streaming, client::Grpc, transport::Channel};

use super::{
    refused,
    wire::{self, RawCodec},
    workload,
};

/// An open `Subscribe` stream.
pub struct EventStream {
    messages: Streaming<Bytes>,
}

/// A request for these topics, from an edge on.
pub fn request(topics: &[String], edge: Edge) -> SubscribeRequest {
    let position = Some(Position::Edge(edge.into()));
    SubscribeRequest {
        topics: topics.to_vec(),
        start: Some(StartPosition { position, ..Default::default() }),
        ..Default::default()
    }
}

impl EventStream {
    /// Opens a stream, and waits for `SubscribeStarted`.
    pub async fn open(channel: &Channel, request: SubscribeRequest) -> Result<Self> {
        let mut stream = Self::open_unread(channel, request).await?;
        let first = stream.next().await?;
        ensure!(
            matches!(SubscribeResponse::decode(first)?.message, Some(Message::Started(_))),
            "the first message is not SubscribeStarted"
        );
        Ok(stream)
    }

    /// Opens a stream, and reads nothing.
    pub async fn open_unread(channel: &Channel, request: SubscribeRequest) -> Result<Self> {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(16 << 20);
        grpc.ready().await.context("the connection is closed")?;
        let codec = RawCodec::<SubscribeRequest>(PhantomData);
        let messages = grpc
            .server_streaming(Request::new(request), wire::subscribe_path(), codec)
            .await
            .map_err(|status| refused("Subscribe was rejected", &status))?
            .into_inner();
        Ok(Self { messages })
    }

    /// The next message, encoded.
    pub async fn next(&mut self) -> Result<Bytes> {
        self.messages
            .message()
            .await
            .map_err(|status| refused("Subscribe ended", &status))?
            .context("Subscribe ended without a status")
    }
}

/// Decodes and verifies every event: its offset, its order, its content.
pub struct Verifier {
    topics: HashMap<String, usize>,
    sequences: Vec<SequenceHash>,
    /// Number of events.
    pub events: u64,
    /// Bytes of the messages with these events.
    pub bytes: u64,
    /// How often a stream that had caught up fell behind again.
    pub fell_behind: u64,
    position: Option<u64>,
}

impl Verifier {
    /// A verifier of these topics from their first event.
    pub fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect(),
            sequences: vec![SequenceHash::default(); topics.len()],
            events: 0,
            bytes: 0,
            fell_behind: 0,
            position: None,
        }
    }

    /// Verifies a message, and calls `each` with the sequence of every event.
    pub fn verify(&mut self, message: Bytes, mut each: impl FnMut(u64)) -> Result<()> {
        let bytes = message.len() as u64;
        let message = SubscribeResponse::decode(message).context("a message does not decode")?;
        match message.message {
            Some(Message::Batch(batch)) => {
                self.bytes += bytes;
                for recorded in batch.events {
                    let index = self.topics.get(recorded.topic.as_str()).copied();
                    let index = index.with_context(|| {
                        format!("an event of unexpected topic {}", recorded.topic)
                    })?;
                    let expected = self.sequences[index].events;
                    ensure!(
                        recorded.offset == expected,
                        "{}: found offset {}, expected {expected}",
                        recorded.topic,
                        recorded.offset
                    );
                    ensure!(
                        self.position.is_none_or(|position| recorded.position > position),
                        "{}: position {} of offset {} is not after the previous one",
                        recorded.topic,
                        recorded.position,
                        recorded.offset
                    );
                    self.position = Some(recorded.position);
                    let event = recorded.event.context("a recorded event without its event")?;
                    let sequence = workload::verify(&event)?;
                    each(sequence);
                    self.sequences[index].push(sequence);
                    self.events += 1;
                }
            }
            Some(Message::FellBehind(_)) => self.fell_behind += 1,
            Some(Message::Gap(gap)) => bail!("a Gap reports missing events: {}", gap.detail),
            Some(Message::Draining(_)) => bail!("the server is shutting down"),
            Some(
                Message::Started(_)
                | Message::CaughtUp(_)
                | Message::Heartbeat(_)
                | Message::SchemaChanged(_),
            )
            | None => {}
        }
        Ok(())
    }

    /// Checks that every acknowledged event was read at its offset, and no other event.
    pub fn compare(&self, ledger: &[Vec<Option<u64>>]) -> Result<()> {
        for (index, (read, acknowledged)) in self.sequences.iter().zip(ledger).enumerate() {
            let mut expected = SequenceHash::default();
            for (offset, sequence) in acknowledged.iter().enumerate() {
                let sequence = sequence.with_context(|| {
                    format!(
                        "topic {index}: no event was acknowledged at offset {offset}, \
                         but later ones were"
                    )
                })?;
                expected.push(sequence);
            }
            ensure!(
                read.events == expected.events,
                "topic {index}: {} events were acknowledged and {} read",
                expected.events,
                read.events
            );
            ensure!(
                read.hash == expected.hash,
                "topic {index}: events are not at the offsets where they were acknowledged"
            );
        }
        Ok(())
    }
}

/// A fingerprint of sequences and their order: two numbers instead of a list.
#[derive(Debug, Clone, Copy, Default)]
struct SequenceHash {
    events: u64,
    hash: u64,
}

impl SequenceHash {
    fn push(&mut self, sequence: u64) {
        self.events += 1;
        self.hash = (self.hash.rotate_left(5) ^ sequence).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
