//! `EventService`.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures_util::stream;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    Settings, decode, delivery,
    encoded_stream::EncodedStream,
    gap::skipped_gap,
    in_flight::InFlight,
    publish_stream::{PendingOutcome, Pipeline},
    renderer::EventRenderer,
    response_context::ResponseContext,
    status,
    view::{self, View},
};
use crate::{
    broker::{Broker, read::OpenRead},
    model::{
        cursor::{Cursor, CursorWriter, ServerId},
        fault::{FaultKind, Faults},
        name::TopicName,
        numbers::Offset,
    },
    proto::{Spliced, events::v1 as proto, servers::v1::event_service_server::EventService},
};

/// Outcomes of a PublishStream that its client has not received yet. Further requests wait.
const PENDING_OUTCOMES_MAX: usize = 1024;
/// Response header that names a deprecated schema version and its replacement.
const DEPRECATED_HEADER: &str = "tidings-schema-deprecated";
/// Most deprecation headers of one response.
const NOTICES_MAX: usize = 8;

/// The handlers of `EventService`.
pub struct Events {
    broker: Broker,
    settings: Settings,
    in_flight: Arc<InFlight>,
}

/// The response stream of a server-streaming call.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Events {
    /// Creates the handlers over a broker.
    pub fn new(broker: Broker, settings: Settings, in_flight: Arc<InFlight>) -> Self {
        Self { broker, settings, in_flight }
    }

    /// Opens an event stream with its events in this view.
    ///
    /// # Errors
    /// Returns a status if the request is invalid or the stream cannot start.
    pub async fn open_stream(
        &self,
        request: proto::SubscribeRequest,
        view: View,
        deadline: Option<Instant>,
    ) -> Result<ResponseStream<Spliced>, Status> {
        let heartbeat = self.broker.limits().heartbeat_interval;
        let request = decode::subscribe(request, self.server(), heartbeat)?;
        let opened = self.broker.subscribe(request).await;
        let events = opened.map_err(|error| status::start(&error, self.server()))?;
        let encoded = EncodedStream::new(events, view, self.broker.clone(), deadline);
        let messages = stream::unfold(encoded, |mut encoded| async move {
            encoded.next().await.map(|message| (message, encoded))
        });
        Ok(Box::pin(messages))
    }

    /// Opens a finite read with its events in this view.
    ///
    /// # Errors
    /// Returns a status if the request is invalid or the read cannot start.
    pub async fn open_read(
        &self,
        request: proto::ReadRequest,
        view: View,
    ) -> Result<ResponseStream<Spliced>, Status> {
        let server = self.server();
        let request = decode::read(request, server)?;
        let opened = self.broker.read(request).await;
        let reading = opened.map_err(|error| status::start(&error, server))?;
        let renderer = EventRenderer::new(view, self.broker.clone());
        let queued = VecDeque::new();
        let batches = stream::unfold(Some((reading, renderer, queued)), move |open| async move {
            let (mut reading, mut renderer, mut queued): (
                OpenRead,
                EventRenderer,
                VecDeque<Spliced>,
            ) = open?;
            if let Some(message) = queued.pop_front() {
                return Some((Ok(message), Some((reading, renderer, queued))));
            }
            let batch = match reading.next().await? {
                Ok(batch) => batch,
                Err(error) => return Some((Err(status::stream(&error, server)), None)),
            };
            let cursors = CursorWriter::new(server, batch.cursor.horizon);
            let gaps: Vec<u8> = batch
                .skipped
                .iter()
                .flat_map(|skipped| {
                    let at = Cursor { position: skipped.position, ..batch.cursor };
                    let gap = skipped_gap(skipped, at.text(server).to_string());
                    delivery::message(delivery::READ_GAPS, &gap)
                })
                .collect();
            if !batch.events.is_empty() {
                let at = batch.cursor.position;
                let rendered = renderer.render_all(&batch.events);
                let tag = delivery::READ_BATCH;
                queued = delivery::batches(tag, &batch.events, rendered, at, &cursors).into();
            }
            // Gaps and the end cursor belong to the last message of the batch.
            let mut message = queued.pop_back().unwrap_or_default();
            if !gaps.is_empty() {
                message.push(gaps.into());
            }
            if batch.is_last {
                let cursor = cursors.write(batch.cursor.position);
                message.push(delivery::text(delivery::READ_END_CURSOR, cursor.as_bytes()));
            }
            queued.push_back(message);
            let first = queued.pop_front()?;
            Some((Ok(first), Some((reading, renderer, queued))))
        });
        Ok(Box::pin(batches))
    }

    /// Returns the response to a publish without events.
    ///
    /// # Errors
    /// Returns a status if the topic name is invalid or the topic does not exist.
    pub async fn publish_nothing(
        &self,
        topic: &str,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let name = TopicName::parse_user(topic).map_err(|description| {
            status::invalid(&Faults::single(FaultKind::Name, "topic", description))
        })?;
        let topic = self.broker.get_topic(&name).await;
        topic.map_err(|error| status::topic(&error, self.server()))?;
        Ok(Response::new(proto::PublishResponse::default()))
    }

    fn server(&self) -> ServerId {
        self.broker.server()
    }
}

#[tonic::async_trait]
impl EventService for Events {
    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let _guard = self.in_flight.enter();
        let publish = decode::publish(request.into_inner(), &self.settings)?;
        let context = ResponseContext::of(&publish, self.server());
        let published = self.broker.publish(publish).await;
        let published = published.map_err(|error| status::publish(&error, self.server()))?;
        let mut response = Response::new(context.response(&self.broker, &published.placements));
        for notice in published.notices.iter().take(NOTICES_MAX) {
            response.metadata_mut().append(DEPRECATED_HEADER, status::header(notice));
        }
        Ok(response)
    }

    type PublishStreamStream = ResponseStream<proto::PublishStreamResponse>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<proto::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let (sender, receiver) = mpsc::channel(PENDING_OUTCOMES_MAX);
        let pipeline = Pipeline {
            broker: self.broker.clone(),
            settings: self.settings,
            in_flight: Arc::clone(&self.in_flight),
        };
        tokio::spawn(pipeline.run(request.into_inner(), sender));
        let broker = self.broker.clone();
        // Outcomes are awaited in the order of their requests, which is the order of commits.
        let outcomes = stream::unfold(
            (ReceiverStream::new(receiver), broker),
            |(mut receiver, broker)| async {
                let pending: PendingOutcome = tokio_stream::StreamExt::next(&mut receiver).await?;
                Some((pending.finish(&broker).await, (receiver, broker)))
            },
        );
        Ok(Response::new(Box::pin(outcomes)))
    }

    type SubscribeStream = ResponseStream<Spliced>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let deadline = deadline(request.metadata());
        let request = request.into_inner();
        let view = view::decode(request.view).map_err(|faults| status::invalid(&faults))?;
        Ok(Response::new(self.open_stream(request, view, deadline).await?))
    }

    type ReadStream = ResponseStream<Spliced>;

    async fn read(
        &self,
        request: Request<proto::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let view = view::decode(request.view).map_err(|faults| status::invalid(&faults))?;
        Ok(Response::new(self.open_read(request, view).await?))
    }

    async fn get_event(
        &self,
        request: Request<proto::GetEventRequest>,
    ) -> Result<Response<Spliced>, Status> {
        use proto::get_event_request::By;
        let request = request.into_inner();
        let invalid = |faults: Faults| status::invalid(&faults);
        let view = view::decode(request.view).map_err(invalid)?;
        let topic = TopicName::parse(&request.topic).map_err(|description| {
            invalid(Faults::single(FaultKind::Name, "topic", description))
        })?;
        let event = match request.by {
            Some(By::Offset(offset)) => self.broker.event_at(&topic, Offset(offset)).await,
            Some(By::Identity(identity)) => {
                let mut faults = Faults::new();
                for (field, text) in [("source", &identity.source), ("id", &identity.id)] {
                    if text.is_empty() {
                        faults.add(FaultKind::Request, format!("identity.{field}"), "is required");
                    }
                }
                faults.finish(|| Some(())).map_err(invalid)?;
                self.broker.event_by_identity(&topic, &identity.source, &identity.id).await
            }
            None => {
                let description = "is required: offset or identity";
                return Err(invalid(Faults::single(FaultKind::Request, "by", description)));
            }
        };
        let event = event.map_err(|error| status::event(&error, self.server()))?;
        let cursors = CursorWriter::new(self.server(), self.broker.latest_cursor().horizon);
        let rendered = EventRenderer::new(view, self.broker.clone()).render(&event);
        Ok(Response::new(delivery::single(delivery::GET_EVENT, &event, rendered, &cursors)))
    }
}

/// The deadline of a call. tonic enforces deadlines only up to the response headers, so streams
/// enforce theirs themselves.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let wait = match unit {
        "H" => Duration::from_secs(number.saturating_mul(3600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Instant::now().checked_add(wait)
}
