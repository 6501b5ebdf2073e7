//! Reads a subscription and checks what comes.

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

/// An open subscription.
pub struct Subscription {
    messages: Streaming<Bytes>,
}

/// A request for these topics from an edge on.
pub fn request(topics: &[String], edge: Edge) -> SubscribeRequest {
    let position = Some(Position::Edge(edge.into()));
    SubscribeRequest {
        topics: topics.to_vec(),
        start: Some(StartPosition { position, ..Default::default() }),
        ..Default::default()
    }
}

impl Subscription {
    /// Subscribes, and waits for `SubscribeStarted`.
    pub async fn open(channel: &Channel, request: SubscribeRequest) -> Result<Self> {
        let mut subscription = Self::open_unread(channel, request).await?;
        let first = subscription.next().await?;
        ensure!(
            matches!(SubscribeResponse::decode(first)?.message, Some(Message::Started(_))),
            "the first message is not SubscribeStarted"
        );
        Ok(subscription)
    }

    /// Subscribes, and reads nothing.
    pub async fn open_unread(channel: &Channel, request: SubscribeRequest) -> Result<Self> {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(16 << 20);
        grpc.ready().await.context("the connection is gone")?;
        let codec = RawCodec::<SubscribeRequest>(PhantomData);
        let messages = grpc
            .server_streaming(Request::new(request), wire::subscribe_path(), codec)
            .await
            .map_err(|status| refused("Subscribe was refused", &status))?
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

/// Decodes every event and checks all of it: place, order, content.
pub struct Verifier {
    topics: HashMap<String, usize>,
    seen: Vec<Trace>,
    /// Events seen.
    pub events: u64,
    /// Bytes of the messages they came in.
    pub bytes: u64,
    /// Streams that had caught up and fell behind again.
    pub fell_behind: u64,
    position: Option<u64>,
}

impl Verifier {
    /// Over these topics, from their first event.
    pub fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect(),
            seen: vec![Trace::default(); topics.len()],
            events: 0,
            bytes: 0,
            fell_behind: 0,
            position: None,
        }
    }

    /// Takes a message in; calls with the sequence of every event.
    pub fn note(&mut self, message: Bytes, mut each: impl FnMut(u64)) -> Result<()> {
        let bytes = message.len() as u64;
        let message = SubscribeResponse::decode(message).context("a message does not decode")?;
        match message.message {
            Some(Message::Batch(batch)) => {
                self.bytes += bytes;
                for recorded in batch.events {
                    let at = self.topics.get(recorded.topic.as_str()).copied();
                    let at = at.with_context(|| format!("an event of topic {}", recorded.topic))?;
                    let due = self.seen[at].events;
                    ensure!(
                        recorded.offset == due,
                        "{}: offset {} came where {due} was due",
                        recorded.topic,
                        recorded.offset
                    );
                    ensure!(
                        self.position.is_none_or(|position| recorded.position > position),
                        "{}: position {} of offset {} is not behind the one before",
                        recorded.topic,
                        recorded.position,
                        recorded.offset
                    );
                    self.position = Some(recorded.position);
                    let event = recorded.event.context("a recorded event without its event")?;
                    let sequence = workload::verify(&event)?;
                    each(sequence);
                    self.seen[at].push(sequence);
                    self.events += 1;
                }
            }
            Some(Message::FellBehind(_)) => self.fell_behind += 1,
            Some(Message::Gap(gap)) => bail!("events went missing, by a Gap: {}", gap.detail),
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

    /// Every acknowledged event was read where it was acknowledged, and nothing beyond.
    pub fn compare(&self, ledger: &[Vec<Option<u64>>]) -> Result<()> {
        for (at, (read, acknowledged)) in self.seen.iter().zip(ledger).enumerate() {
            let mut due = Trace::default();
            for (offset, sequence) in acknowledged.iter().enumerate() {
                let sequence = sequence.with_context(|| {
                    format!("topic {at}: nothing was acknowledged at offset {offset}, and more behind it")
                })?;
                due.push(sequence);
            }
            ensure!(
                read.events == due.events,
                "topic {at}: {} events were acknowledged and {} read",
                due.events,
                read.events
            );
            ensure!(
                read.folded == due.folded,
                "topic {at}: events are not at the offsets where they were acknowledged"
            );
        }
        Ok(())
    }
}

/// Which sequences came, in which order, in the space of two numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Trace {
    events: u64,
    folded: u64,
}

impl Trace {
    fn push(&mut self, sequence: u64) {
        self.events += 1;
        self.folded = (self.folded.rotate_left(5) ^ sequence).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
