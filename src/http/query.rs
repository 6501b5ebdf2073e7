//! What a request says in its query: places, filters and versions as in the flags of the command line.

use std::{fmt::Display, time::Duration};

use axum::http::{HeaderMap, Uri};

use crate::{
    model::fault::{FaultKind, Faults},
    notation::{AcceptedVersion, AttributeMatch, From, parse_number, parse_time},
    proto::events::v1::{
        Condition, Durability, Event, Filter, FilterSet, KeyVersionCondition, LostPositionPolicy,
        PublishRequest, ReadRequest, SchemaMismatchPolicy, SchemaSelection, StartPosition,
        SubscribeRequest, TopicEndCondition, condition::Kind, filter::Dialect,
        start_position::Position,
    },
};

use super::problem::Problem;

/// Parameters of a request at most.
const PARAMETERS_MAX: usize = 256;
/// Bytes of a batch of a stream at most: as text it is held whole for a reader that stalls.
const BATCH_BYTES_MAX: u32 = 32 << 10;
/// Where an `EventSource` says how far it was.
const LAST_EVENT_ID: &str = "last-event-id";

/// The parameters that are not read yet, and what was wrong with those that are.
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
            let why = format!("has {} parameters, at most {PARAMETERS_MAX}", parameters.len());
            return Err(Problem::fault("query", why));
        }
        Ok(Self { parameters, known: Vec::new(), faults: Faults::new() })
    }

    /// All values of a parameter, in order.
    fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.parameters.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// All values of a parameter, read.
    fn read_all<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.all(name) {
            match read(&text) {
                Ok(value) => values.push(value),
                Err(why) => {
                    self.faults.add(FaultKind::Request, name, format!("is {text:?}: {why}"))
                }
            }
        }
        values
    }

    /// The value of a parameter that may be there once.
    fn one<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let mut values = self.read_all(name, read);
        if values.len() > 1 {
            self.faults.add(FaultKind::Request, name, "is there twice");
        }
        values.pop()
    }

    fn text(&mut self, name: &'static str) -> String {
        self.one(name, |text| Ok::<_, String>(text.to_owned())).unwrap_or_default()
    }

    fn finish<T>(mut self, value: T) -> Result<T, Problem> {
        for (name, _) in &self.parameters {
            let why = format!("is no parameter here; there are {}", self.known.join(", "));
            self.faults.add(FaultKind::Request, name.clone(), why);
        }
        self.faults.finish(|| Some(value)).map_err(|faults| Problem::invalid(&faults))
    }
}

/// How a publish is done.
#[derive(Debug, Default)]
pub struct Publishing {
    conditions: Vec<Condition>,
    durability: Durability,
    validate_only: bool,
}

impl Publishing {
    /// Whether it has conditions.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The request for these events.
    pub fn request(self, topic: String, events: Vec<Event>) -> PublishRequest {
        let Self { conditions, durability, validate_only } = self;
        PublishRequest { topic, events, conditions, durability: durability.into(), validate_only }
    }
}

/// Reads how a publish is done.
///
/// # Errors
/// All parameters that are wrong.
pub fn publish(mut query: Query) -> Result<Publishing, Problem> {
    let durability = query.one("durability", |text| match text {
        "synced" => Ok(Durability::Synced),
        "buffered" => Ok(Durability::Buffered),
        _ => Err("expected synced or buffered"),
    });
    let validate_only = query.one("validate-only", |text| match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false"),
    });
    let versions = query.read_all("expect-key-version", |text| {
        // A key may have = in it, a number has not.
        text.rsplit_once('=')
            .filter(|(key, _)| !key.is_empty())
            .and_then(|(key, version)| Some((key.to_owned(), parse_number(version)?)))
            .ok_or("expected KEY=N, such as o-1=3; 0 for a key without events")
    });
    let end =
        query.one("expect-next-offset", |text| parse_number(text).ok_or("expected an offset"));
    let versions = versions.into_iter().map(|(key, version)| {
        Kind::KeyVersion(KeyVersionCondition { key, version: Some(version) })
    });
    let end = end.map(|next| Kind::TopicEnd(TopicEndCondition { next_offset: Some(next) }));
    let conditions = versions.chain(end).map(|kind| Condition { kind: Some(kind) }).collect();
    query.finish(Publishing {
        conditions,
        durability: durability.unwrap_or_default(),
        validate_only: validate_only.unwrap_or_default(),
    })
}

/// Which events are asked for, and where they end.
#[derive(Debug)]
pub struct Wanted {
    start: Option<StartPosition>,
    filters: Vec<Filter>,
    key: String,
    schema: Option<SchemaSelection>,
    consumer: String,
    heartbeat: Option<Duration>,
    /// Where the stream ends; None: never.
    until: Option<Until>,
    /// Events at most.
    pub limit: Option<u64>,
}

/// Where a read ends.
#[derive(Debug)]
enum Until {
    End,
    Time(prost_types::Timestamp),
}

impl Wanted {
    /// Whether it ends with what is recorded.
    pub fn ends(&self) -> bool {
        self.until.is_some()
    }

    /// The request for what is recorded.
    pub fn read(self, topics: Vec<String>) -> ReadRequest {
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

    /// The request for what is recorded and what will be.
    pub fn subscribe(self, topics: Vec<String>) -> SubscribeRequest {
        // No more is read for a stream than it may give.
        let most = self.limit.and_then(|limit| u32::try_from(limit).ok()).filter(|it| *it < 500);
        SubscribeRequest {
            topics,
            start: self.start,
            filters: self.filters,
            key: self.key,
            schema: self.schema,
            consumer: self.consumer,
            heartbeat_interval: self.heartbeat.and_then(|interval| interval.try_into().ok()),
            max_batch_events: most.unwrap_or_default(),
            max_batch_bytes: BATCH_BYTES_MAX,
            ..SubscribeRequest::default()
        }
    }
}

/// Reads which events are asked for. A `Last-Event-ID` wins over the query: an `EventSource` that comes again asks for the
/// same address as before.
///
/// # Errors
/// All parameters that are wrong.
pub fn read(mut query: Query, headers: &HeaderMap) -> Result<Wanted, Problem> {
    // What a + in a query decodes to: the offset of a time from UTC has one.
    let from = query.one("from", |text| From::parse(&text.replace(' ', "+")));
    let cursor = query.one("cursor", |text| Ok::<_, String>(text.to_owned()));
    let or_earliest = query.one("on-lost", |text| match text {
        "fail" => Ok(LostPositionPolicy::Fail),
        "earliest" => Ok(LostPositionPolicy::Earliest),
        _ => Err("expected fail or earliest"),
    });
    let until = query.one("until", |text| match text {
        "end" => Ok(Until::End),
        text => parse_time(&text.replace(' ', "+"))
            .map(|time| Until::Time(time.into()))
            .map_err(|why| format!("{why}, or end")),
    });
    let limit = query.one("limit", |text| match parse_number(text) {
        Some(0) | None => Err("expected a number of events, at least 1"),
        Some(limit) => Ok(limit),
    });
    if from.is_some() && cursor.is_some() {
        query.faults.add(FaultKind::Request, "cursor", "there is `from` too: give one of them");
    }
    let last =
        headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let position = match (last, cursor, from) {
        (Some(cursor), _, _) => Some(Position::Cursor(cursor.to_owned())),
        (None, Some(cursor), _) => Some(Position::Cursor(cursor)),
        (None, None, Some(from)) => Some(from.position()),
        (None, None, None) => None,
    };
    let start = (position.is_some() || or_earliest.is_some())
        .then(|| StartPosition { position, on_lost: or_earliest.unwrap_or_default().into() });

    let types = query.read_all("type", |text| AttributeMatch::parse(&format!("type={text}")));
    let types: Vec<_> = types.iter().map(AttributeMatch::filter).collect();
    let types = match types.is_empty() {
        true => None,
        false => Some(Filter { dialect: Some(Dialect::Any(FilterSet { filters: types })) }),
    };
    let attributes = query.read_all("filter", AttributeMatch::parse);
    let cel = query.all("cel").into_iter().map(|text| Filter { dialect: Some(Dialect::Cel(text)) });
    let attributes = attributes.iter().map(AttributeMatch::filter);
    let filters = types.into_iter().chain(attributes).chain(cel).collect();

    let accept = query.read_all("accept", AcceptedVersion::parse);
    let on_mismatch = query.one("on-mismatch", |text| match text {
        "fail" => Ok(SchemaMismatchPolicy::Fail),
        "skip" => Ok(SchemaMismatchPolicy::Skip),
        "deliver" => Ok(SchemaMismatchPolicy::Deliver),
        _ => Err("expected fail, skip or deliver"),
    });
    if on_mismatch.is_some() && accept.is_empty() {
        query.faults.add(FaultKind::Request, "on-mismatch", "says nothing without `accept`");
    }
    let schema = (!accept.is_empty()).then(|| SchemaSelection {
        accept: accept.iter().map(AcceptedVersion::accepted).collect(),
        on_mismatch: on_mismatch.unwrap_or_default().into(),
    });
    let heartbeat = query.one("heartbeat", |text| {
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 10s")
    });
    let (key, consumer) = (query.text("key"), query.text("consumer"));
    query.finish(Wanted { start, filters, key, schema, consumer, heartbeat, until, limit })
}
