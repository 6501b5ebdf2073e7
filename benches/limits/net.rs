//! The limit of the gRPC stack: answers publishes without storing them, and streams events from
//! memory.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{encode_varint, encoded_len_varint},
};
use prost_types::Timestamp;
use tidings::proto::{
    Spliced,
    events::v1::{
        Edge, GetEventRequest, PublishRequest, PublishResponse, PublishResult,
        PublishStreamRequest, PublishStreamResponse, ReadRequest, RecordedEvent, SubscribeRequest,
        SubscribeResponse, SubscribeStarted, publish_stream_response::Outcome,
        start_position::Position, subscribe_response::Message,
    },
    servers::v1::event_service_server::{EventService, EventServiceServer},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::load::workload::Workload;

/// Topic whose publishes start the live streams.
pub const GO: &str = "go";

/// Events in memory: more than the processor caches. Streams repeat them.
const EVENTS_IN_MEMORY: u64 = 100_000;

/// The default bounds of a batch.
const BATCH_EVENTS: usize = 500;
const BATCH_BYTES: usize = 256 << 10;

/// A text of the size of a cursor.
const CURSOR: &str = "c1-0123456789abcdef0123456789abcdef0123456789abcdef";

/// Serves until killed. Every stream delivers this many events.
pub async fn serve(events: u64) -> Result<()> {
    let fields = event_fields(EVENTS_IN_MEMORY.min(events))?;
    let service = Echo { fields, events, go: watch::Sender::new(0), offsets: AtomicU64::new(0) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    // The settings of the server.
    Server::builder()
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(1_000)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(EventServiceServer::new(service).max_decoding_message_size(16 << 20))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// Events encoded as fields of a batch, each in its own buffer.
fn event_fields(events: u64) -> Result<Arc<[Bytes]>> {
    let workload = Workload::new(1, 1024)?;
    let mut fields = Vec::new();
    for sequence in 0..events {
        let mut event = BytesMut::new();
        workload.put(sequence, &mut event);
        // The fields of the recorded event but the event itself, whose bytes are copied unchanged.
        let envelope = RecordedEvent {
            topic: "bench.0123456789abcdef0123456789abcdef".to_owned(),
            offset: sequence,
            key: format!("customer-{:08x}", sequence % 1_000),
            key_version: sequence / 1_000 + 1,
            append_time: Some(Timestamp { seconds: 1_790_000_000, nanos: 123_456_789 }),
            cursor: CURSOR.to_owned(),
            position: sequence + 1,
            ..RecordedEvent::default()
        }
        .encode_to_vec();
        let event_len = event.len() as u64;
        let len = 1 + encoded_len_varint(event_len) + event.len() + envelope.len();
        let mut field = BytesMut::with_capacity(len + 4);
        field.extend_from_slice(&[0x0A]);
        encode_varint(len as u64, &mut field);
        field.extend_from_slice(&[0x0A]);
        encode_varint(event_len, &mut field);
        field.extend_from_slice(&event);
        field.extend_from_slice(&envelope);
        fields.push(field.freeze());
    }
    Ok(fields.into())
}

struct Echo {
    fields: Arc<[Bytes]>,
    events: u64,
    go: watch::Sender<u64>,
    offsets: AtomicU64,
}

fn respond(offsets: &AtomicU64, publish: PublishRequest) -> PublishResponse {
    let first = offsets.fetch_add(publish.events.len() as u64, Ordering::Relaxed);
    let results = (first..).zip(publish.events).map(|(offset, event)| PublishResult {
        id: event.id,
        offset,
        key_version: 1,
        append_time: Some(Timestamp { seconds: 1_790_000_000, nanos: 123_456_789 }),
        cursor: CURSOR.to_owned(),
        durability: publish.durability,
        position: offset + 1,
        ..PublishResult::default()
    });
    PublishResponse { results: results.collect() }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EventService for Echo {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let publish = request.into_inner();
        if publish.topic == GO {
            self.go.send_modify(|rounds| *rounds += 1);
        }
        Ok(Response::new(respond(&self.offsets, publish)))
    }

    type PublishStreamStream = Boxed<PublishStreamResponse>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let responses = request.into_inner().map(|request| {
            let PublishStreamRequest { sequence, publish } = request?;
            let response = respond(&AtomicU64::new(0), publish.unwrap_or_default());
            Ok(PublishStreamResponse { sequence, outcome: Some(Outcome::Published(response)) })
        });
        Ok(Response::new(Box::pin(responses)))
    }

    type SubscribeStream = FromMemory;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<FromMemory>, Status> {
        let request = request.into_inner();
        let position = request.start.and_then(|start| start.position);
        let live = position == Some(Position::Edge(Edge::Latest.into()));
        let mut go = self.go.subscribe();
        let gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = live.then(|| {
            Box::pin(async move {
                // Cannot fail: the sender lives as long as the service.
                let _ = go.changed().await;
            }) as _
        });
        let fields = Arc::clone(&self.fields);
        Ok(Response::new(FromMemory { fields, started: false, gate, sent: 0, events: self.events }))
    }

    type ReadStream = Boxed<Spliced>;

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_event(&self, _: Request<GetEventRequest>) -> Result<Response<Spliced>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Sends `SubscribeStarted`, then batches without a pause after the gate is open.
struct FromMemory {
    fields: Arc<[Bytes]>,
    started: bool,
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    sent: u64,
    events: u64,
}

impl Stream for FromMemory {
    type Item = Result<Spliced, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.started {
            self.started = true;
            let started = SubscribeStarted { cursor: CURSOR.to_owned(), ..Default::default() };
            let response = SubscribeResponse { message: Some(Message::Started(started)) };
            return Poll::Ready(Some(Ok(Bytes::from(response.encode_to_vec()).into())));
        }
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(context));
            self.gate = None;
        }
        if self.sent >= self.events {
            return Poll::Ready(None);
        }
        let remaining = usize::try_from(self.events - self.sent).unwrap_or(usize::MAX);
        let at = usize::try_from(self.sent).unwrap_or_default() % self.fields.len();
        let mut len = 0;
        let batch =
            self.fields[at..].iter().take(BATCH_EVENTS.min(remaining)).take_while(|event| {
                len += event.len();
                len <= BATCH_BYTES
            });
        let batch: Vec<_> = batch.cloned().collect();
        let events = batch.len() as u64;
        let bytes: usize = batch.iter().map(Bytes::len).sum();

        let mut head = BytesMut::with_capacity(8);
        head.extend_from_slice(&[0x12]);
        encode_varint((bytes + 2 + CURSOR.len()) as u64, &mut head);
        let mut response = Spliced::with_capacity(batch.len() + 2);
        response.push(head.freeze());
        for event in batch {
            response.push(event);
        }
        let mut tail = BytesMut::with_capacity(2 + CURSOR.len());
        tail.extend_from_slice(&[0x12]);
        encode_varint(CURSOR.len() as u64, &mut tail);
        tail.extend_from_slice(CURSOR.as_bytes());
        response.push(tail.freeze());
        self.sent += events;
        Poll::Ready(Some(Ok(response)))
    }
}
