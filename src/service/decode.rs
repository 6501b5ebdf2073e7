//! Requests of `EventService`, made into what the broker takes. Every fault of a request is told at once.

use std::time::Duration;

use tidings_registry::{accepted::Accepted, consumer::ConsumerName};
use tonic::Status;

use super::{HEARTBEAT_INTERVAL, Settings, event, filter, status};
use crate::{
    broker::{
        Bounds, Wanted, Way,
        negotiation::{OnMismatch, Selection},
        publish::Publish,
        read::{self, Read},
        start::{Place, Start},
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

/// Events of a batch where the reader does not say.
const BATCH_EVENTS: usize = 500;
/// Events of a batch at most.
const BATCH_EVENTS_MAX: u32 = 10_000;
/// Bytes of a batch where the reader does not say.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes of a batch at most: with what stands around it, a message stays under the 4 MiB that clients take.
const BATCH_BYTES_MAX: u32 = 3 << 20;
/// Bytes of the answer to a publish at most: what clients take by default.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of the result of an event at most, beside its id: numbers, a time, a cursor, a version.
const RESULT_BYTES: usize = 160;
/// Topics and patterns of a request at most.
const TOPICS_MAX: usize = 1_000;
/// Conditions of a batch at most.
const CONDITIONS_MAX: usize = 1_000;

/// Reads a publish.
///
/// # Errors
/// Everything that is wrong with it, or what it asks for that does not work yet.
pub fn publish(request: proto::PublishRequest, settings: &Settings) -> Result<Publish, Status> {
    publish_request(request, settings).map_err(|faults| status::invalid(&faults))
}

fn publish_request(request: proto::PublishRequest, settings: &Settings) -> Result<Publish, Faults> {
    let mut faults = Faults::new();
    let topic = faults.take(FaultKind::Name, "topic", TopicName::parse_own(&request.topic));
    let count = request.events.len();
    if count > settings.batch_events_max {
        let limit = settings.batch_events_max;
        let kind = FaultKind::BatchTooLarge { size: count as u64, limit: limit as u64 };
        // Nobody wants 100,000 lists of faults of a batch that is refused anyway.
        let description = format!("has {count} events, at most {limit} are taken: split it");
        return Err(Faults::one(kind, "events", description));
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
        let description = format!("have {bytes} bytes, at most {limit} are taken: split the batch");
        return Err(Faults::one(kind, "events", description));
    }
    let answer = events.iter().map(|event: &NewEvent| event.id.len() + RESULT_BYTES).sum::<usize>();
    if answer > ANSWER_BYTES_MAX {
        let kind = FaultKind::BatchTooLarge { size: answer as u64, limit: ANSWER_BYTES_MAX as u64 };
        let description = format!(
            "would be answered with {answer} bytes, and clients take {ANSWER_BYTES_MAX}: split the batch"
        );
        return Err(Faults::one(kind, "events", description));
    }
    if request.conditions.len() > CONDITIONS_MAX {
        let description =
            format!("has {} entries, at most {CONDITIONS_MAX} are taken", request.conditions.len());
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
            None => fault(".key_version.version", "is required: 0 has to be said"),
            Some(version) => {
                Some(Condition::KeyVersion { key: condition.key, version: KeyVersion(version) })
            }
        },
        Some(Kind::TopicEnd(condition)) => match condition.next_offset {
            None => fault(".topic_end.next_offset", "is required: 0 has to be said"),
            Some(offset) => Some(Condition::TopicEnd(Offset(offset))),
        },
    }
}

/// Reads a subscription.
///
/// # Errors
/// Everything that is wrong with it, or what it asks for that does not work yet.
pub fn subscribe(
    request: proto::SubscribeRequest,
    server: ServerId,
    heartbeat_default: Duration,
) -> Result<Subscribe, Status> {
    let mut faults = Faults::new();
    let selection = selection(request.schema, &mut faults);
    let consumer = key(request.consumer);
    if let Some(Err(why)) = consumer.as_deref().map(ConsumerName::parse) {
        faults.add(FaultKind::Name, "consumer", why);
    }
    let topics = patterns(&request.topics, &mut faults);
    if request.topics.is_empty() {
        faults.add(FaultKind::Request, "topics", "is required: at least one topic or pattern");
    }
    let start = request.start.map_or(Some(Start::at(Place::Latest)), |start| {
        start_of("start", start, Place::Latest, server, &mut faults)
    });
    in_one_topic(&topics, start.as_ref(), &mut faults);
    let (filters, expressions) = filter::filters_of(request.filters, &mut faults);
    let bound = |field: &str, asked: u32, default: usize, most: u32, faults: &mut Faults| {
        if asked > most {
            faults.add(FaultKind::Request, field, format!("is {asked}, at most {most}"));
        }
        if asked == 0 { default } else { asked as usize }
    };
    let bounds = Bounds {
        events: bound(
            "max_batch_events",
            request.max_batch_events,
            BATCH_EVENTS,
            BATCH_EVENTS_MAX,
            &mut faults,
        ),
        bytes: bound(
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
            // Nanoseconds beyond a second are malformed; carried over, they would pass as another interval.
            let interval = Some(interval)
                .filter(|interval| (0..1_000_000_000).contains(&interval.nanos))
                .and_then(|interval| Duration::try_from(interval).ok())
                .unwrap_or_default();
            if !HEARTBEAT_INTERVAL.contains(&interval) {
                let description = format!(
                    "is {interval:?}, from {:?} to {:?} are possible",
                    HEARTBEAT_INTERVAL.start(),
                    HEARTBEAT_INTERVAL.end()
                );
                faults.add(FaultKind::Request, "heartbeat_interval", description);
            }
            interval
        }
    };
    let wanted = Wanted { key: key(request.key), filters, expressions, ..Default::default() };
    faults
        .finish(|| {
            Some(Subscribe {
                topics,
                start: start?,
                wanted,
                bounds,
                heartbeat_interval,
                selection,
                consumer,
            })
        })
        .map_err(|faults| status::invalid(&faults))
}

/// Reads a read.
///
/// # Errors
/// Everything that is wrong with it, or what it asks for that does not work yet.
pub fn read(request: proto::ReadRequest, server: ServerId) -> Result<Read, Status> {
    let mut faults = Faults::new();
    let selection = selection(request.schema, &mut faults);
    let topics = patterns(&request.topics, &mut faults);
    let correlation = key(request.correlationid);
    if faults.is_empty() {
        faults.merge(read::check(&topics, correlation.as_deref()));
    }
    let way = match proto::Direction::try_from(request.direction) {
        Ok(proto::Direction::Unspecified | proto::Direction::Forward) => Way::Forward,
        Ok(proto::Direction::Backward) => Way::Backward,
        Err(_) => {
            let description = format!("{} is not a Direction", request.direction);
            faults.add(FaultKind::Request, "direction", description);
            Way::Forward
        }
    };
    let default = match way {
        Way::Forward => Place::Earliest,
        Way::Backward => Place::Latest,
    };
    let start =
        request.start.and_then(|start| start_of("start", start, default, server, &mut faults));
    in_one_topic(&topics, start.as_ref(), &mut faults);
    let (filters, expressions) = filter::filters_of(request.filters, &mut faults);
    let until = request.until_time.and_then(|time| time_of("until_time", time, &mut faults));
    let wanted =
        Wanted { key: key(request.key), filters, expressions, until, ..Default::default() };
    let events_max = (request.max_events > 0).then_some(request.max_events);
    faults
        .finish(|| Some(Read { topics, start, way, wanted, correlation, events_max, selection }))
        .map_err(|faults| status::invalid(&faults))
}

/// Reads a start position.
pub fn start_of(
    field: &str,
    start: proto::StartPosition,
    default: Place,
    server: ServerId,
    faults: &mut Faults,
) -> Option<Start> {
    use proto::{LostPositionPolicy as Lost, start_position::Position};
    let place = match start.position {
        None => Some(default),
        Some(Position::Cursor(text)) => {
            let cursor = Cursor::parse(&text, server);
            faults.take(FaultKind::Cursor, &format!("{field}.cursor"), cursor).map(Place::Cursor)
        }
        Some(Position::Time(time)) => {
            time_of(&format!("{field}.time"), time, faults).map(Place::Time)
        }
        Some(Position::Edge(edge)) => match proto::Edge::try_from(edge) {
            Ok(proto::Edge::Unspecified) => Some(default),
            Ok(proto::Edge::Earliest) => Some(Place::Earliest),
            Ok(proto::Edge::Latest) => Some(Place::Latest),
            Err(_) => {
                let description = format!("{edge} is not an Edge");
                faults.add(FaultKind::Request, format!("{field}.edge"), description);
                None
            }
        },
        Some(Position::Last(0)) => Some(Place::Latest),
        Some(Position::Last(count)) => Some(Place::Last(count)),
        Some(Position::Offset(offset)) => Some(Place::Offset(Offset(offset))),
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
    place.map(|place| Start { place, or_earliest })
}

fn time_of(field: &str, time: prost_types::Timestamp, faults: &mut Faults) -> Option<AppendTime> {
    let held = Timestamp::try_from(time);
    faults.take(FaultKind::Request, field, held)?;
    Some(AppendTime::at_or_after(time.seconds, time.nanos))
}

/// An offset is a place in one topic, and a pattern may match another one tomorrow.
fn in_one_topic(topics: &[TopicPattern], start: Option<&Start>, faults: &mut Faults) {
    let is_offset = start.is_some_and(|start| matches!(start.place, Place::Offset(_)));
    if is_offset && !matches!(topics, [TopicPattern::Name(_)]) {
        let description =
            "is a place in one topic: name exactly one, or start at a cursor or a time";
        faults.add(FaultKind::Request, "start.offset", description);
    }
}

fn patterns(topics: &[String], faults: &mut Faults) -> Vec<TopicPattern> {
    if topics.len() > TOPICS_MAX {
        let description =
            format!("has {} entries, at most {TOPICS_MAX} are taken: use a pattern", topics.len());
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

/// Reads which versions a reader understands. None: any.
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
    let entries = selection.accept.iter().map(|it| (it.r#type.as_str(), it.version.as_str()));
    match Accepted::parse(entries) {
        Ok(accepted) if accepted.is_empty() => None,
        Ok(accepted) => Some(Selection { accepted, on_mismatch }),
        Err(wrong) => {
            for fault in wrong {
                let field = format!("schema.accept[{}].{}", fault.at, fault.field);
                faults.add(FaultKind::Request, field, fault.why);
            }
            None
        }
    }
}
