//! `EventService`.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use prost::Message as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    Settings, decode, delivery,
    showing::Showing,
    status,
    topic::timestamp,
    view::{self, View},
};
use crate::{
    broker::{
        Broker,
        negotiation::{Answer, Skipped},
        publish::Publish,
        read::Reading,
        start::{Cause, Missing},
        subscribe::{Message, Subscription, now},
    },
    model::{
        commit::{Durability, Place},
        cursor::{Cursor, CursorWriter, ServerId},
        fault::{FaultKind, Faults},
        name::TopicName,
        numbers::Offset,
    },
    proto::{Spliced, events::v1 as proto, servers::v1::event_service_server::EventService},
    telemetry::SubscriptionGuard,
};

/// Answers of a PublishStream that wait for their reader. Its requests wait behind them.
const ANSWERS_WAITING_MAX: usize = 1024;
/// Tells a publisher that a schema version is deprecated, and what to move to.
const DEPRECATED_HEADER: &str = "tidings-schema-deprecated";
/// Notices of one answer.
const NOTICES_MAX: usize = 8;
/// Topics that the first message of a stream tells of.
const TOPICS_TOLD_MAX: usize = 1_000;
/// When a reader may come back to a server that drains.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Publishes that are being worked on: a drain waits for them.
#[derive(Debug, Default)]
pub struct InFlight(AtomicUsize);

impl InFlight {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    fn enter(self: &Arc<Self>) -> Flying {
        self.0.fetch_add(1, Ordering::AcqRel);
        Flying(Arc::clone(self))
    }
}

struct Flying(Arc<InFlight>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The handlers.
pub struct Events {
    broker: Broker,
    settings: Settings,
    in_flight: Arc<InFlight>,
}

/// What a server stream answers with.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Events {
    /// Over a broker.
    pub fn new(broker: Broker, settings: Settings, in_flight: Arc<InFlight>) -> Self {
        Self { broker, settings, in_flight }
    }

    /// Opens a subscription whose events are shown so.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot begin.
    pub async fn follow(
        &self,
        request: proto::SubscribeRequest,
        view: View,
        deadline: Option<Instant>,
    ) -> Result<ResponseStream<Spliced>, Status> {
        let heartbeat = self.broker.limits().heartbeat_interval;
        let request = decode::subscribe(request, self.server(), heartbeat)?;
        let opened = self.broker.subscribe(request).await;
        let subscription = opened.map_err(|error| status::start(&error, self.server()))?;
        let delivering = Delivering {
            subscription,
            showing: Showing::new(view, self.broker.clone()),
            broker: self.broker.clone(),
            deadline,
            last: String::new(),
            waiting: VecDeque::new(),
            ended: false,
            _counted: self.broker.metrics().subscription(),
        };
        let messages = stream::unfold(delivering, |mut delivering| async move {
            delivering.next().await.map(|message| (message, delivering))
        });
        Ok(Box::pin(messages))
    }

    /// Begins a read whose events are shown so.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot begin.
    pub async fn look(
        &self,
        request: proto::ReadRequest,
        view: View,
    ) -> Result<ResponseStream<Spliced>, Status> {
        let server = self.server();
        let request = decode::read(request, server)?;
        let opened = self.broker.read(request).await;
        let reading = opened.map_err(|error| status::start(&error, server))?;
        let showing = Showing::new(view, self.broker.clone());
        let waiting = VecDeque::new();
        let batches = stream::unfold(Some((reading, showing, waiting)), move |open| async move {
            let (mut reading, mut showing, mut waiting): (Reading, Showing, VecDeque<Spliced>) =
                open?;
            if let Some(message) = waiting.pop_front() {
                return Some((Ok(message), Some((reading, showing, waiting))));
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
                let shown = showing.events(&batch.events);
                let tag = delivery::READ_BATCH;
                waiting = delivery::batches(tag, &batch.events, shown, at, &cursors).into();
            }
            // What is said of the whole batch comes with its end.
            let mut message = waiting.pop_back().unwrap_or_default();
            if !gaps.is_empty() {
                message.push(gaps.into());
            }
            if batch.is_last {
                let cursor = cursors.write(batch.cursor.position);
                message.push(delivery::text(delivery::READ_END_CURSOR, cursor.as_bytes()));
            }
            waiting.push_back(message);
            let first = waiting.pop_front()?;
            Some((Ok(first), Some((reading, showing, waiting))))
        });
        Ok(Box::pin(batches))
    }

    /// Answers a publish of no events.
    ///
    /// # Errors
    /// Where there is no such topic, or its name is invalid.
    pub async fn publish_nothing(
        &self,
        topic: &str,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let name = TopicName::parse_own(topic)
            .map_err(|why| status::invalid(&Faults::one(FaultKind::Name, "topic", why)))?;
        let found = self.broker.get_topic(&name).await;
        found.map_err(|error| status::topic(&error, self.server()))?;
        Ok(Response::new(proto::PublishResponse::default()))
    }

    fn server(&self) -> ServerId {
        self.broker.server()
    }
}

/// What an answer needs of a request that is on its way.
struct Asked {
    ids: Vec<String>,
    durability: Durability,
    validate_only: bool,
    server: ServerId,
}

impl Asked {
    fn of(publish: &Publish, server: ServerId) -> Self {
        Self {
            ids: publish.events.iter().map(|event| event.id.clone()).collect(),
            durability: publish.durability,
            validate_only: publish.validate_only,
            server,
        }
    }

    fn answer(self, broker: &Broker, places: &[Place]) -> proto::PublishResponse {
        // A batch has few schemas, mostly one.
        let mut version = (0, String::new());
        let results = self.ids.into_iter().zip(places).map(|(id, place)| {
            if version.0 != place.schema_id {
                let written = broker.written(place.schema_id);
                let text = written.map(|it| it.version.to_string()).unwrap_or_default();
                version = (place.schema_id, text);
            }
            let is_recorded = !self.validate_only || place.duplicate;
            let cursor = Cursor { position: place.position, horizon: place.position };
            proto::PublishResult {
                id,
                offset: place.offset.0,
                key_version: place.key_version.0,
                duplicate: place.duplicate,
                append_time: is_recorded.then(|| timestamp(place.append_time)),
                cursor: if is_recorded {
                    cursor.text(self.server).to_string()
                } else {
                    String::new()
                },
                schema_version: version.1.clone(),
                durability: match self.durability {
                    Durability::Synced => proto::Durability::Synced,
                    Durability::Buffered => proto::Durability::Buffered,
                }
                .into(),
                position: place.position.0,
            }
        });
        proto::PublishResponse { results: results.collect() }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let _flying = self.in_flight.enter();
        let publish = decode::publish(request.into_inner(), &self.settings)?;
        let asked = Asked::of(&publish, self.server());
        let published = self.broker.publish(publish).await;
        let published = published.map_err(|error| status::publish(&error, self.server()))?;
        let mut response = Response::new(asked.answer(&self.broker, &published.places));
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
        let (answers, waiting) = mpsc::channel(ANSWERS_WAITING_MAX);
        let pipeline = Pipeline {
            broker: self.broker.clone(),
            settings: self.settings,
            in_flight: Arc::clone(&self.in_flight),
        };
        tokio::spawn(pipeline.run(request.into_inner(), answers));
        let broker = self.broker.clone();
        // Outcomes are awaited in the order of their requests, which is the order of commits.
        let outcomes =
            stream::unfold((ReceiverStream::new(waiting), broker), |(mut waiting, broker)| async {
                let pending: Pending = tokio_stream::StreamExt::next(&mut waiting).await?;
                Some((pending.finish(&broker).await, (waiting, broker)))
            });
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
        Ok(Response::new(self.follow(request, view, deadline).await?))
    }

    type ReadStream = ResponseStream<Spliced>;

    async fn read(
        &self,
        request: Request<proto::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let view = view::decode(request.view).map_err(|faults| status::invalid(&faults))?;
        Ok(Response::new(self.look(request, view).await?))
    }

    async fn get_event(
        &self,
        request: Request<proto::GetEventRequest>,
    ) -> Result<Response<Spliced>, Status> {
        use proto::get_event_request::By;
        let request = request.into_inner();
        let invalid = |faults: Faults| status::invalid(&faults);
        let view = view::decode(request.view).map_err(invalid)?;
        let topic = TopicName::parse(&request.topic)
            .map_err(|why| invalid(Faults::one(FaultKind::Name, "topic", why)))?;
        let found = match request.by {
            Some(By::Offset(offset)) => self.broker.event_at(&topic, Offset(offset)).await,
            Some(By::Identity(identity)) => {
                let mut faults = Faults::new();
                for (field, text) in [("source", &identity.source), ("id", &identity.id)] {
                    if text.is_empty() {
                        faults.add(FaultKind::Request, format!("identity.{field}"), "is required");
                    }
                }
                faults.finish(|| Some(())).map_err(invalid)?;
                self.broker.event_of(&topic, &identity.source, &identity.id).await
            }
            None => {
                let description = "is required: offset or identity";
                return Err(invalid(Faults::one(FaultKind::Request, "by", description)));
            }
        };
        let one = found.map_err(|error| status::event(&error, self.server()))?;
        let cursors = CursorWriter::new(self.server(), self.broker.latest().horizon);
        let shown = Showing::new(view, self.broker.clone()).event(&one);
        Ok(Response::new(delivery::single(delivery::GET_EVENT, &one, shown, &cursors)))
    }
}

/// When the caller's patience ends. tonic keeps deadlines up to the headers of an answer, streams are ours.
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

/// An outcome of a PublishStream that is awaited.
enum Pending {
    /// Of a request.
    Outcome {
        sequence: u64,
        submitted: Result<(Asked, crate::broker::publish::Pending), Status>,
        _room: OwnedSemaphorePermit,
        _flying: Flying,
    },
    /// The client's stream broke: the last word.
    Broken(Status),
}

impl Pending {
    async fn finish(self, broker: &Broker) -> Result<proto::PublishStreamResponse, Status> {
        use proto::publish_stream_response::Outcome;
        let (sequence, submitted, _held) = match self {
            Self::Outcome { sequence, submitted, _room, _flying } => {
                (sequence, submitted, (_room, _flying))
            }
            Self::Broken(status) => return Err(status),
        };
        let finished = match submitted {
            Ok((asked, pending)) => match pending.finish().await {
                Ok(published) => Ok(asked.answer(broker, &published.places)),
                Err(error) => Err(status::publish(&error, broker.server())),
            },
            Err(status) => Err(status),
        };
        let outcome = match finished {
            Ok(response) => Outcome::Published(response),
            Err(status) => Outcome::Error(status::message(&status)),
        };
        Ok(proto::PublishStreamResponse { sequence, outcome: Some(outcome) })
    }
}

/// Takes requests off a PublishStream, in order, as fast as there is room for them.
struct Pipeline {
    broker: Broker,
    settings: Settings,
    in_flight: Arc<InFlight>,
}

impl Pipeline {
    async fn run(
        self,
        mut requests: Streaming<proto::PublishStreamRequest>,
        answers: mpsc::Sender<Pending>,
    ) {
        let room = Arc::new(Semaphore::new(self.settings.stream_bytes_max));
        loop {
            let request = match requests.message().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(broken) => {
                    let _ = answers.send(Pending::Broken(broken)).await;
                    return;
                }
            };
            let weight = request.encoded_len().clamp(1, self.settings.stream_bytes_max);
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&room).acquire_many_owned(weight).await else { return };
            let flying = self.in_flight.enter();
            let pending = Pending::Outcome {
                sequence: request.sequence,
                submitted: self.submit(request.publish).await,
                _room: permit,
                _flying: flying,
            };
            if answers.send(pending).await.is_err() {
                return;
            }
        }
    }

    async fn submit(
        &self,
        request: Option<proto::PublishRequest>,
    ) -> Result<(Asked, crate::broker::publish::Pending), Status> {
        let server = self.broker.server();
        let request = request.ok_or_else(|| {
            status::invalid(&Faults::one(FaultKind::Request, "publish", "is required"))
        })?;
        let publish = decode::publish(request, &self.settings)?;
        let asked = Asked::of(&publish, server);
        let submitted = self.broker.submit(publish).await;
        submitted.map(|pending| (asked, pending)).map_err(|error| status::publish(&error, server))
    }
}

/// A subscription on its way out.
struct Delivering {
    subscription: Subscription,
    showing: Showing,
    broker: Broker,
    deadline: Option<Instant>,
    last: String,
    /// Of a batch that takes several messages.
    waiting: VecDeque<Spliced>,
    ended: bool,
    _counted: SubscriptionGuard,
}

impl Delivering {
    async fn next(&mut self) -> Option<Result<Spliced, Status>> {
        if let Some(message) = self.waiting.pop_front() {
            return Some(Ok(message));
        }
        if self.ended {
            return None;
        }
        let told = match self.deadline {
            None => self.subscription.next().await,
            Some(deadline) => tokio::select! {
                told = self.subscription.next() => told,
                () = tokio::time::sleep_until(deadline) => {
                    self.ended = true;
                    return Some(Err(status::deadline_exceeded(&self.last)));
                }
            },
        };
        let server = self.broker.server();
        match told {
            Some(Ok((message, cursor))) => {
                let encoded = self.encode(message, cursor);
                self.ended = encoded.is_err();
                Some(encoded)
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(status::stream(&error, server)))
            }
            None => {
                // A stream that ends by itself does so because the server drains.
                self.ended = true;
                Some(Err(status::drained()))
            }
        }
    }

    fn encode(&mut self, message: Message, cursor: Cursor) -> Result<Spliced, Status> {
        use proto::subscribe_response::Message as Wire;
        let server = self.broker.server();
        let cursors = CursorWriter::new(server, cursor.horizon);
        let text = || cursor.text(server).to_string();
        let time = || Some(timestamp(now(&self.broker)));
        if self.deadline.is_some() {
            self.last = text();
        }
        let wire = match message {
            Message::Batch(events) => {
                let (tag, at) = (delivery::SUBSCRIBE_BATCH, cursor.position);
                let shown = self.showing.events(&events);
                self.waiting = delivery::batches(tag, &events, shown, at, &cursors).into();
                return Ok(self.waiting.pop_front().unwrap_or_default());
            }
            Message::Started { topics, schemas } => Wire::Started(proto::SubscribeStarted {
                cursor: text(),
                topics: topics
                    .into_iter()
                    .take(TOPICS_TOLD_MAX)
                    .map(|(topic, extent)| proto::TopicRange {
                        topic,
                        first_offset: extent.first.0,
                        next_offset: extent.next.0,
                    })
                    .collect(),
                schemas: schemas.iter().map(negotiated).collect(),
                heartbeat_interval: self.subscription.heartbeat_interval().try_into().ok(),
            }),
            Message::CaughtUp => Wire::CaughtUp(proto::CaughtUp { cursor: text(), time: time() }),
            Message::FellBehind { behind } => Wire::FellBehind(proto::FellBehind {
                cursor: text(),
                time: time(),
                behind_events: behind,
            }),
            Message::Heartbeat { behind } => Wire::Heartbeat(proto::Heartbeat {
                cursor: text(),
                time: time(),
                behind_events: behind,
            }),
            Message::Gap(missing) => Wire::Gap(gap(&missing, text())),
            Message::Skipped(skipped) => Wire::Gap(skipped_gap(&skipped, text())),
            Message::SchemaChanged(answer) => Wire::SchemaChanged(proto::SchemaChanged {
                schema: Some(negotiated(&answer)),
                cursor: text(),
            }),
            Message::Draining => Wire::Draining(proto::Draining {
                cursor: text(),
                reconnect_delay: RECONNECT_DELAY.try_into().ok(),
            }),
        };
        let response = proto::SubscribeResponse { message: Some(wire) };
        Ok(Spliced::from(bytes::Bytes::from(response.encode_to_vec())))
    }
}

fn negotiated(answer: &Answer) -> proto::NegotiatedSchema {
    let delivered = answer.delivered.as_ref();
    proto::NegotiatedSchema {
        r#type: answer.event_type.to_string(),
        requirement: answer.requirement.to_string(),
        version: delivered.map(|it| it.version.to_string()).unwrap_or_default(),
        schema_id: delivered.map_or(0, |it| it.id),
        written_versions: answer.written.clone(),
        deprecation: answer.deprecation().unwrap_or_default().to_owned(),
    }
}

fn skipped_gap(skipped: &Skipped, cursor: String) -> proto::Gap {
    proto::Gap {
        topic: skipped.topic.to_string(),
        first_offset: skipped.from.0,
        next_offset: skipped.until.0,
        reason: proto::GapReason::SchemaMismatch.into(),
        detail: skipped.reason.clone(),
        cursor,
    }
}

fn gap(missing: &Missing, cursor: String) -> proto::Gap {
    let topic = missing.topic.as_ref().map(|topic| topic.name.as_str());
    let (reason, detail) = match (missing.cause, topic) {
        (Cause::Hole(hole), _) => (
            proto::GapReason::UnsyncedLoss,
            format!(
                "the server stopped uncleanly: BUFFERED events between positions {} and {} are lost",
                hole.after, hole.until
            ),
        ),
        (Cause::Deletion, topic) => (
            proto::GapReason::TopicDeleted,
            format!(
                "topic {} was deleted and created again: events of the deleted topic before its offset {} are lost",
                topic.unwrap_or_default(),
                missing.until
            ),
        ),
        (Cause::Trim, Some(topic)) => (
            proto::GapReason::Retention,
            format!(
                "retention or a trim removed events of topic {topic} before offset {}",
                missing.until
            ),
        ),
        (Cause::Trim, None) => (proto::GapReason::Retention, "events were removed".into()),
    };
    proto::Gap {
        topic: topic.unwrap_or_default().to_owned(),
        first_offset: missing.from.0,
        next_offset: missing.until.0,
        reason: reason.into(),
        detail,
        cursor,
    }
}
