//! Decodes requests of `EventService` into requests of the broker. All faults of a request are
//! reported together.

use std::time::Duration;

use tidings_registry::{accepted::Accepted, consumer::ConsumerName};
use tonic::Status;

use super::{HEARTBEAT_INTERVAL, Settings, event, filter, status};
use crate::{
    broker::{
        Direction, EventFilter, ReadLimit,
        negotiation::{OnMismatch, Selection},
        publish::Publish,
        read::{self, Read},
        start::{Start, StartPosition},
        subscribe::Subscribe,
    },
    model::{
        commit::{Condition, Durability},
        cursor::{Cursor, ServerId},
        event::NewEvent,
        fault::{FaultKind, Faults},
        name::{TopicName, TopicPattern},
        numbers::{AppendTime, KeyVersion, Offset},
        timestamp::Timestamp,
    },
    proto::events::v1 as proto,
};

/// Most events of a delivered batch if the request sets no limit.
const BATCH_EVENTS: usize = 500;
/// Largest limit of events that a request may set.
const BATCH_EVENTS_MAX: u32 = 10_000;
/// Most bytes of a delivered batch if the request sets no limit.
const BATCH_BYTES: usize = 256 << 10;
/// Largest limit of bytes that a request may set. With the envelope of each event, a message stays
/// under 4 MiB, the default limit of clients.
const BATCH_BYTES_MAX: u32 = 3 << 20;
/// Most bytes of the response to a publish: the default limit of clients.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Most bytes of the result of an event without its id: numbers, a time, a cursor, a version.
const RESULT_BYTES: usize = 160;
/// Most topics and patterns of a request.
const TOPICS_MAX: usize = 1_000;
/// Most conditions of a batch.
const CONDITIONS_MAX: usize = 1_000;

/// Decodes a publish.
///
/// # Errors
/// Returns a status with all faults of the request.
pub fn publish(request: proto::PublishRequest, settings: &Settings) -> Result<Publish, Status> {
    publish_request(request, settings).map_err(|faults| status::invalid(&faults))
}

fn publish_request(request: proto::PublishRequest, settings: &Settings) -> Result<Publish, Faults> {
    let mut faults = Faults::new();
    let topic = faults.take(FaultKind::Name, "topic", TopicName::parse_user(&request.topic));
    let count = request.events.len();
    if count > settings.batch_events_max {
        let limit = settings.batch_events_max;
        let kind = FaultKind::BatchTooLarge { size: count as u64, limit: limit as u64 };
        // Returns early: the faults of 100,000 events have no use if the batch is rejected anyway.
        let description = format!("{count} events; the limit is {limit}: split the batch");
        return Err(Faults::single(kind, "events", description));
    }
    if count == 0 {
        faults.add(FaultKind::Request, "events", "is required: at least one event");
    }
    let mut events = Vec::with_capacity(count);
    let mut bytes = 0;
    for (index, event) in request.events.into_iter().enumerate() {
        let event = faults.merge(event::decode(event, index));
        bytes += event.as_ref().map_or(0, |event| event.encoded().len());
        events.extend(event);
    }
    if bytes > settings.batch_bytes_max && count > 1 {
        let limit = settings.batch_bytes_max;
        let kind = FaultKind::BatchTooLarge { size: bytes as u64, limit: limit as u64 };
        let description = format!("{bytes} bytes; the limit is {limit}: split the batch");
        return Err(Faults::single(kind, "events", description));
    }
    let response =
        events.iter().map(|event: &NewEvent| event.id.len() + RESULT_BYTES).sum::<usize>();
    if response > RESPONSE_BYTES_MAX {
        let kind =
            FaultKind::BatchTooLarge { size: response as u64, limit: RESPONSE_BYTES_MAX as u64 };
        let description = format!(
            "{response} bytes in the response; the limit of clients is {RESPONSE_BYTES_MAX}: split the batch"
        );
        return Err(Faults::single(kind, "events", description));
    }
    if request.conditions.len() > CONDITIONS_MAX {
        let description =
            format!("{} entries; the limit is {CONDITIONS_MAX}", request.conditions.len());
        faults.add(FaultKind::Request, "conditions", description);
    }
    let mut conditions = Vec::with_capacity(request.conditions.len());
    for (index, condition) in request.conditions.into_iter().enumerate() {
        conditions.extend(condition_of(condition, index, &mut faults));
    }
    let durability = match proto::Durability::try_from(request.durability) {
        Ok(proto::Durability::Unspecified | proto::Durability::Synced) => Durability::Synced,
        Ok(proto::Durability::Buffered) => Durability::Buffered,
        Err(_) => {
            let description = format!("{} is not a Durability", request.durability);
            faults.add(FaultKind::Request, "durability", description);
            Durability::Synced
        }
    };
    let validate_only = request.validate_only;
    faults.finish(|| Some(Publish { topic: topic?, events, conditions, durability, validate_only }))
}

fn condition_of(
    condition: proto::Condition,
    index: usize,
    faults: &mut Faults,
) -> Option<Condition> {
    use proto::condition::Kind;
    let mut fault = |field: &str, description: &str| {
        faults.add(FaultKind::Request, format!("conditions[{index}]{field}"), description);
        None
    };
    match condition.kind {
        None => fault("", "is empty: set key_version or topic_end"),
        Some(Kind::KeyVersion(condition)) if condition.key.is_empty() => {
            fault(".key_version.key", "is required")
        }
        Some(Kind::KeyVersion(condition)) => match condition.version {
            None => fault(".key_version.version", "is required: 0 must be set explicitly"),
            Some(version) => {
                Some(Condition::KeyVersion { key: condition.key, version: KeyVersion(version) })
            }
        },
        Some(Kind::TopicEnd(condition)) => match condition.next_offset {
            None => fault(".topic_end.next_offset", "is required: 0 must be set explicitly"),
            Some(offset) => Some(Condition::TopicEnd(Offset(offset))),
        },
    }
}

/// Decodes a subscribe.
///
/// # Errors
/// Returns a status with all faults of the request.
pub fn subscribe(
    request: proto::SubscribeRequest,
    server: ServerId,
    heartbeat_default: Duration,
) -> Result<Subscribe, Status> {
    let mut faults = Faults::new();
    let selection = selection(request.schema, &mut faults);
    let consumer = key(request.consumer);
    if let Some(Err(description)) = consumer.as_deref().map(ConsumerName::parse) {
        faults.add(FaultKind::Name, "consumer", description);
    }
    let topics = patterns(&request.topics, &mut faults);
    if request.topics.is_empty() {
        faults.add(FaultKind::Request, "topics", "is required: at least one topic or pattern");
    }
    let start = request.start.map_or(Some(Start::at(StartPosition::Latest)), |start| {
        start_of("start", start, StartPosition::Latest, server, &mut faults)
    });
    check_offset_start(&topics, start.as_ref(), &mut faults);
    let (filters, expressions) = filter::filters_of(request.filters, &mut faults);
    let within = |field: &str, requested: u32, default: usize, limit: u32, faults: &mut Faults| {
        if requested > limit {
            let description = format!("is {requested}; the limit is {limit}");
            faults.add(FaultKind::Request, field, description);
        }
        if requested == 0 { default } else { requested as usize }
    };
    let limit = ReadLimit {
        events: within(
            "max_batch_events",
            request.max_batch_events,
            BATCH_EVENTS,
            BATCH_EVENTS_MAX,
            &mut faults,
        ),
        bytes: within(
            "max_batch_bytes",
            request.max_batch_bytes,
            BATCH_BYTES,
            BATCH_BYTES_MAX,
            &mut faults,
        ),
    };
    let heartbeat_interval = match request.heartbeat_interval {
        None => heartbeat_default,
        Some(interval) => {
            // Nanoseconds of a second or more are malformed. Carried over, they would be accepted
            // as another interval.
            let interval = Some(interval)
                .filter(|interval| (0..1_000_000_000).contains(&interval.nanos))
                .and_then(|interval| Duration::try_from(interval).ok())
                .unwrap_or_default();
            if !HEARTBEAT_INTERVAL.contains(&interval) {
                let description = format!(
                    "is {interval:?}; the range is {:?} to {:?}",
                    HEARTBEAT_INTERVAL.start(),
                    HEARTBEAT_INTERVAL.end()
                );
                faults.add(FaultKind::Request, "heartbeat_interval", description);
            }
            interval
        }
    };
    let filter = EventFilter { key: key(request.key), filters, expressions, ..Default::default() };
    faults
        .finish(|| {
            Some(Subscribe {
                topics,
                start: start?,
                filter,
                limit,
                heartbeat_interval,
                selection,
                consumer,
            })
        })
        .map_err(|faults| status::invalid(&faults))
}

/// Decodes a read.
///
/// # Errors
/// Returns a status with all faults of the request.
pub fn read(request: proto::ReadRequest, server: ServerId) -> Result<Read, Status> {
    let mut faults = Faults::new();
    let selection = selection(request.schema, &mut faults);
    let topics = patterns(&request.topics, &mut faults);
    let correlation = key(request.correlationid);
    if faults.is_empty() {
        faults.merge(read::check(&topics, correlation.as_deref()));
    }
    let direction = match proto::Direction::try_from(request.direction) {
        Ok(proto::Direction::Unspecified | proto::Direction::Forward) => Direction::Forward,
        Ok(proto::Direction::Backward) => Direction::Backward,
        Err(_) => {
            let description = format!("{} is not a Direction", request.direction);
            faults.add(FaultKind::Request, "direction", description);
            Direction::Forward
        }
    };
    let default = match direction {
        Direction::Forward => StartPosition::Earliest,
        Direction::Backward => StartPosition::Latest,
    };
    let start =
        request.start.and_then(|start| start_of("start", start, default, server, &mut faults));
    check_offset_start(&topics, start.as_ref(), &mut faults);
    let (filters, expressions) = filter::filters_of(request.filters, &mut faults);
    let until = request.until_time.and_then(|time| time_of("until_time", time, &mut faults));
    let filter =
        EventFilter { key: key(request.key), filters, expressions, until, ..Default::default() };
    let events_max = (request.max_events > 0).then_some(request.max_events);
    faults
        .finish(|| {
            Some(Read { topics, start, direction, filter, correlation, events_max, selection })
        })
        .map_err(|faults| status::invalid(&faults))
}

/// Decodes a start position.
pub fn start_of(
    field: &str,
    start: proto::StartPosition,
    default: StartPosition,
    server: ServerId,
    faults: &mut Faults,
) -> Option<Start> {
    use proto::{LostPositionPolicy as Lost, start_position::Position};
    let position = match start.position {
        None => Some(default),
        Some(Position::Cursor(text)) => {
            let cursor = Cursor::parse(&text, server);
            faults
                .take(FaultKind::Cursor, &format!("{field}.cursor"), cursor)
                .map(StartPosition::Cursor)
        }
        Some(Position::Time(time)) => {
            time_of(&format!("{field}.time"), time, faults).map(StartPosition::Time)
        }
        Some(Position::Edge(edge)) => match proto::Edge::try_from(edge) {
            Ok(proto::Edge::Unspecified) => Some(default),
            Ok(proto::Edge::Earliest) => Some(StartPosition::Earliest),
            Ok(proto::Edge::Latest) => Some(StartPosition::Latest),
            Err(_) => {
                let description = format!("{edge} is not an Edge");
                faults.add(FaultKind::Request, format!("{field}.edge"), description);
                None
            }
        },
        Some(Position::Last(0)) => Some(StartPosition::Latest),
        Some(Position::Last(count)) => Some(StartPosition::Last(count)),
        Some(Position::Offset(offset)) => Some(StartPosition::Offset(Offset(offset))),
    };
    let or_earliest = match Lost::try_from(start.on_lost) {
        Ok(Lost::Unspecified | Lost::Fail) => false,
        Ok(Lost::Earliest) => true,
        Err(_) => {
            let description = format!("{} is not a LostPositionPolicy", start.on_lost);
            faults.add(FaultKind::Request, format!("{field}.on_lost"), description);
            false
        }
    };
    position.map(|position| Start { position, or_earliest })
}

fn time_of(field: &str, time: prost_types::Timestamp, faults: &mut Faults) -> Option<AppendTime> {
    let checked = Timestamp::try_from(time);
    faults.take(FaultKind::Request, field, checked)?;
    Some(AppendTime::at_or_after(time.seconds, time.nanos))
}

/// Rejects a start at an offset unless exactly one topic is named. A pattern may match further
/// topics later.
fn check_offset_start(topics: &[TopicPattern], start: Option<&Start>, faults: &mut Faults) {
    let is_offset = start.is_some_and(|start| matches!(start.position, StartPosition::Offset(_)));
    if is_offset && !matches!(topics, [TopicPattern::Name(_)]) {
        let description =
            "is a position in one topic: name exactly one topic, or start at a cursor or a time";
        faults.add(FaultKind::Request, "start.offset", description);
    }
}

fn patterns(topics: &[String], faults: &mut Faults) -> Vec<TopicPattern> {
    if topics.len() > TOPICS_MAX {
        let description =
            format!("{} entries; the limit is {TOPICS_MAX}: use a pattern", topics.len());
        faults.add(FaultKind::Request, "topics", description);
        return Vec::new();
    }
    topics
        .iter()
        .enumerate()
        .filter_map(|(index, topic)| {
            faults.take(FaultKind::Name, &format!("topics[{index}]"), TopicPattern::parse(topic))
        })
        .collect()
}

fn key(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Decodes the schema versions that a reader accepts. `None` if it accepts any.
fn selection(selection: Option<proto::SchemaSelection>, faults: &mut Faults) -> Option<Selection> {
    use proto::SchemaMismatchPolicy as Policy;
    let selection = selection?;
    let on_mismatch = match Policy::try_from(selection.on_mismatch) {
        Ok(Policy::Unspecified | Policy::Fail) => OnMismatch::Fail,
        Ok(Policy::Skip) => OnMismatch::Skip,
        Ok(Policy::Deliver) => OnMismatch::Deliver,
        Err(_) => {
            let description = format!("{} is not a SchemaMismatchPolicy", selection.on_mismatch);
            faults.add(FaultKind::Request, "schema.on_mismatch", description);
            OnMismatch::Fail
        }
    };
    let entries = selection
        .accept
        .iter()
        .map(|accepted| (accepted.r#type.as_str(), accepted.version.as_str()));
    match Accepted::parse(entries) {
        Ok(accepted) if accepted.is_empty() => None,
        Ok(accepted) => Some(Selection { accepted, on_mismatch }),
        Err(entry_faults) => {
            for fault in entry_faults {
                let field = format!("schema.accept[{}].{}", fault.index, fault.field);
                faults.add(FaultKind::Request, field, fault.message);
            }
            None
        }
    }
}
