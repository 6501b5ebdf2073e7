//! Decodes the query of a request. Positions, filters and versions have the notation of
//! command-line flags.

use std::{fmt::Display, time::Duration};

use axum::http::{HeaderMap, Uri};

use crate::{
    model::fault::{FaultKind, Faults},
    notation::{AcceptedVersion, AttributeMatch, StartPoint, parse_number, parse_time},
    proto::events::v1::{
        Condition, Durability, Event, Filter, FilterSet, KeyVersionCondition, LostPositionPolicy,
        PublishRequest, ReadRequest, SchemaMismatchPolicy, SchemaSelection, StartPosition,
        SubscribeRequest, TopicEndCondition, condition::Kind, filter::Dialect,
        start_position::Position,
    },
};

use super::problem::Problem;

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 256;
/// Most bytes of a batch of a stream. A stalled reader holds a whole batch in memory as text.
const BATCH_BYTES_MAX: u32 = 32 << 10;
/// Header in which an `EventSource` sends the id of the last event that it received.
const LAST_EVENT_ID: &str = "last-event-id";

/// The parameters of a request that are not decoded yet, and the faults of the decoded ones.
pub struct Query {
    parameters: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Faults,
}

impl Query {
    /// The parameters of a request.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let parameters = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::fault("query", format!("does not decode: {error}")))?
            .0;
        if parameters.len() > PARAMETERS_MAX {
            let description =
                format!("{} parameters; the limit is {PARAMETERS_MAX}", parameters.len());
            return Err(Problem::fault("query", description));
        }
        Ok(Self { parameters, known: Vec::new(), faults: Faults::new() })
    }

    /// All values of a parameter, in order.
    fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.parameters
            .extract_if(.., |(parameter, _)| parameter == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// All values of a repeatable parameter, parsed.
    fn repeated<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.texts(name) {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(error) => {
                    self.faults.add(FaultKind::Request, name, format!("is {text:?}: {error}"))
                }
            }
        }
        values
    }

    /// The value of a parameter that may occur once.
    fn single<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let mut values = self.repeated(name, parse);
        if values.len() > 1 {
            self.faults.add(FaultKind::Request, name, "occurs twice");
        }
        values.pop()
    }

    fn text(&mut self, name: &'static str) -> String {
        self.single(name, |text| Ok::<_, String>(text.to_owned())).unwrap_or_default()
    }

    fn finish<T>(mut self, value: T) -> Result<T, Problem> {
        for (name, _) in &self.parameters {
            let description = format!(
                "is not a parameter of this path; parameters are {}",
                self.known.join(", ")
            );
            self.faults.add(FaultKind::Request, name.clone(), description);
        }
        self.faults.finish(|| Some(value)).map_err(|faults| Problem::invalid(&faults))
    }
}

/// The options of a publish.
#[derive(Debug, Default)]
pub struct PublishOptions {
    conditions: Vec<Condition>,
    durability: Durability,
    validate_only: bool,
}

impl PublishOptions {
    /// Whether the publish has conditions.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The request that publishes these events.
    pub fn request(self, topic: String, events: Vec<Event>) -> PublishRequest {
        let Self { conditions, durability, validate_only } = self;
        PublishRequest { topic, events, conditions, durability: durability.into(), validate_only }
    }
}

/// Decodes the options of a publish.
///
/// # Errors
/// Returns a problem with the faults of all parameters.
pub fn publish_options(mut query: Query) -> Result<PublishOptions, Problem> {
    let durability = query.single("durability", |text| match text {
        "synced" => Ok(Durability::Synced),
        "buffered" => Ok(Durability::Buffered),
        _ => Err("expected synced or buffered"),
    });
    let validate_only = query.single("validate-only", |text| match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false"),
    });
    let versions = query.repeated("expect-key-version", |text| {
        // A key may contain =, a number does not.
        text.rsplit_once('=')
            .filter(|(key, _)| !key.is_empty())
            .and_then(|(key, version)| Some((key.to_owned(), parse_number(version)?)))
            .ok_or("expected KEY=N, such as o-1=3; 0 for a key without events")
    });
    let end =
        query.single("expect-next-offset", |text| parse_number(text).ok_or("expected an offset"));
    let versions = versions.into_iter().map(|(key, version)| {
        Kind::KeyVersion(KeyVersionCondition { key, version: Some(version) })
    });
    let end = end.map(|next| Kind::TopicEnd(TopicEndCondition { next_offset: Some(next) }));
    let conditions = versions.chain(end).map(|kind| Condition { kind: Some(kind) }).collect();
    query.finish(PublishOptions {
        conditions,
        durability: durability.unwrap_or_default(),
        validate_only: validate_only.unwrap_or_default(),
    })
}

/// The events that a stream delivers, and its end.
#[derive(Debug)]
pub struct StreamRequest {
    start: Option<StartPosition>,
    filters: Vec<Filter>,
    key: String,
    schema: Option<SchemaSelection>,
    consumer: String,
    heartbeat: Option<Duration>,
    /// The end of the stream. `None` if it has none.
    until: Option<Until>,
    /// Most events to deliver.
    pub limit: Option<u64>,
}

/// The end of a finite read.
#[derive(Debug)]
enum Until {
    End,
    Time(prost_types::Timestamp),
}

impl StreamRequest {
    /// Whether the stream ends at an event that is already recorded.
    pub fn is_finite(&self) -> bool {
        self.until.is_some()
    }

    /// The request of a finite read.
    pub fn into_read(self, topics: Vec<String>) -> ReadRequest {
        let until_time = match self.until {
            Some(Until::Time(time)) => Some(time),
            Some(Until::End) | None => None,
        };
        ReadRequest {
            topics,
            start: self.start,
            until_time,
            max_events: self.limit.unwrap_or_default(),
            filters: self.filters,
            key: self.key,
            schema: self.schema,
            ..ReadRequest::default()
        }
    }

    /// The request of an open stream.
    pub fn into_subscribe(self, topics: Vec<String>) -> SubscribeRequest {
        // The broker reads no more events than the stream may deliver. 500 is its default.
        let batch_events_max =
            self.limit.and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit < 500);
        SubscribeRequest {
            topics,
            start: self.start,
            filters: self.filters,
            key: self.key,
            schema: self.schema,
            consumer: self.consumer,
            heartbeat_interval: self.heartbeat.and_then(|interval| interval.try_into().ok()),
            max_batch_events: batch_events_max.unwrap_or_default(),
            max_batch_bytes: BATCH_BYTES_MAX,
            ..SubscribeRequest::default()
        }
    }
}

/// Decodes the events that a stream delivers. `Last-Event-ID` overrides the query, because an
/// `EventSource` reconnects to the same address.
///
/// # Errors
/// Returns a problem with the faults of all parameters.
pub fn stream_request(mut query: Query, headers: &HeaderMap) -> Result<StreamRequest, Problem> {
    // A + in a query decodes to a space, and the UTC offset of a time may have one.
    let from = query.single("from", |text| StartPoint::parse(&text.replace(' ', "+")));
    let cursor = query.single("cursor", |text| Ok::<_, String>(text.to_owned()));
    let or_earliest = query.single("on-lost", |text| match text {
        "fail" => Ok(LostPositionPolicy::Fail),
        "earliest" => Ok(LostPositionPolicy::Earliest),
        _ => Err("expected fail or earliest"),
    });
    let until = query.single("until", |text| match text {
        "end" => Ok(Until::End),
        text => parse_time(&text.replace(' ', "+"))
            .map(|time| Until::Time(time.into()))
            .map_err(|expected| format!("{expected}, or end")),
    });
    let limit = query.single("limit", |text| match parse_number(text) {
        Some(0) | None => Err("expected a number of events, at least 1"),
        Some(limit) => Ok(limit),
    });
    if from.is_some() && cursor.is_some() {
        query.faults.add(FaultKind::Request, "cursor", "`from` is set too: set one of them");
    }
    let last_event_id =
        headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let position = match (last_event_id, cursor, from) {
        (Some(cursor), _, _) => Some(Position::Cursor(cursor.to_owned())),
        (None, Some(cursor), _) => Some(Position::Cursor(cursor)),
        (None, None, Some(from)) => Some(from.position()),
        (None, None, None) => None,
    };
    let start = (position.is_some() || or_earliest.is_some())
        .then(|| StartPosition { position, on_lost: or_earliest.unwrap_or_default().into() });

    let types = query.repeated("type", |text| AttributeMatch::parse(&format!("type={text}")));
    let types: Vec<_> = types.iter().map(AttributeMatch::filter).collect();
    let types = match types.is_empty() {
        true => None,
        false => Some(Filter { dialect: Some(Dialect::Any(FilterSet { filters: types })) }),
    };
    let attributes = query.repeated("filter", AttributeMatch::parse);
    let cel =
        query.texts("cel").into_iter().map(|text| Filter { dialect: Some(Dialect::Cel(text)) });
    let attributes = attributes.iter().map(AttributeMatch::filter);
    let filters = types.into_iter().chain(attributes).chain(cel).collect();

    let accept = query.repeated("accept", AcceptedVersion::parse);
    let on_mismatch = query.single("on-mismatch", |text| match text {
        "fail" => Ok(SchemaMismatchPolicy::Fail),
        "skip" => Ok(SchemaMismatchPolicy::Skip),
        "deliver" => Ok(SchemaMismatchPolicy::Deliver),
        _ => Err("expected fail, skip or deliver"),
    });
    if on_mismatch.is_some() && accept.is_empty() {
        query.faults.add(FaultKind::Request, "on-mismatch", "has no effect without `accept`");
    }
    let schema = (!accept.is_empty()).then(|| SchemaSelection {
        accept: accept.iter().map(AcceptedVersion::accepted).collect(),
        on_mismatch: on_mismatch.unwrap_or_default().into(),
    });
    let heartbeat = query.single("heartbeat", |text| {
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 10s")
    });
    let (key, consumer) = (query.text("key"), query.text("consumer"));
    query.finish(StreamRequest { start, filters, key, schema, consumer, heartbeat, until, limit })
}
