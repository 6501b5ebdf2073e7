//! The log against a model in memory: random publishes, conditions, repetitions, reads, trims, and
//! reopens after a clean or an unclean close. A failure found once stays as a named scenario at the
//! end.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use prost::Message as _;
use tidings::{
    broker::{
        Broker, EventFilter, Limits,
        error::PublishError,
        publish::Publish,
        read::Read,
        start::{Start, StartPosition as At},
    },
    journal::{Journal, Options},
    model::{
        commit::{Condition, Durability, FailedCondition},
        cursor::Cursor,
        event::{ContentHash, Delivered, HEADER_BYTES, NewEvent},
        name::{TopicName, TopicPattern},
        numbers::{AppendTime, KeyVersion, Offset, Position},
        topic::TopicConfig,
    },
    proto::events::v1::{Event, event::Payload},
    store::{self, OpenError, OpenOptions, Store, options::Tuning, read::Direction},
    telemetry::Metrics,
};

const TOPICS: usize = 2;
const IDS: u8 = 12;
const KEYS: u8 = 3;

/// The distinguishing values of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EventSpec {
    id: u8,
    content: u8,
    /// 0 is no key.
    key: u8,
}

#[derive(Debug, Clone)]
enum Operation {
    Publish {
        topic: usize,
        specs: Vec<EventSpec>,
        condition: Option<ConditionSpec>,
        buffered: bool,
        dry: bool,
    },
    Trim {
        topic: usize,
        fraction: f64,
    },
    Read {
        from: f64,
        backward: bool,
        limit: u64,
    },
    ReadKey {
        topic: usize,
        key: u8,
        backward: bool,
    },
    ReadFlow {
        content: u8,
    },
    Reopen {
        clean: bool,
    },
}

/// A condition that holds if its delta is 0.
#[derive(Debug, Clone)]
enum ConditionSpec {
    Key { key: u8, delta: u64 },
    End { delta: u64 },
}

fn spec() -> impl Strategy<Value = EventSpec> {
    // Few contents, so that repetitions and conflicts are frequent.
    (0..IDS, 0..2u8, 0..=KEYS).prop_map(|(id, content, key)| EventSpec { id, content, key })
}

fn operation() -> impl Strategy<Value = Operation> {
    let condition = prop_oneof![
        (1..=KEYS, 0..2u64).prop_map(|(key, delta)| ConditionSpec::Key { key, delta }),
        (0..2u64).prop_map(|delta| ConditionSpec::End { delta }),
    ];
    prop_oneof![
        10 => (
            0..TOPICS,
            prop::collection::vec(spec(), 1..5),
            prop::option::weighted(0.2, condition),
            any::<bool>(),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(topic, specs, condition, buffered, dry)| Operation::Publish {
                topic, specs, condition, buffered, dry,
            }),
        2 => (0..TOPICS, 0.0..1.2f64)
            .prop_map(|(topic, fraction)| Operation::Trim { topic, fraction }),
        4 => (0.0..1.0f64, any::<bool>(), 0..20u64)
            .prop_map(|(from, backward, limit)| Operation::Read { from, backward, limit }),
        3 => (0..TOPICS, 1..=KEYS, any::<bool>())
            .prop_map(|(topic, key, backward)| Operation::ReadKey { topic, key, backward }),
        2 => (0..2u8).prop_map(|content| Operation::ReadFlow { content }),
        2 => any::<bool>().prop_map(|clean| Operation::Reopen { clean }),
    ]
}

/// The expected state of the log.
#[derive(Debug, Default)]
struct Model {
    topics: [Topic; TOPICS],
    /// Topic and offset of every appended event, in append order.
    order: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Topic {
    events: Vec<(EventSpec, u64)>,
    first: usize,
    versions: BTreeMap<u8, u64>,
}

impl Topic {
    fn recorded(&self, id: u8) -> Option<usize> {
        (self.first..self.events.len()).find(|offset| self.events[*offset].0.id == id)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PublishResult {
    Placements(Vec<(usize, u64, bool)>),
    Conflict,
    Conditions,
}

impl Model {
    fn publish(
        &mut self,
        topic: usize,
        specs: &[EventSpec],
        condition: Option<&ConditionSpec>,
        dry: bool,
    ) -> PublishResult {
        let log = &self.topics[topic];
        let mut new: Vec<&EventSpec> = Vec::new();
        let mut duplicates = Vec::new();
        for spec in specs {
            let recorded = log.recorded(spec.id).map(|offset| (&log.events[offset].0, Ok(offset)));
            let in_batch = new.iter().position(|earlier| earlier.id == spec.id);
            match recorded.or(in_batch.map(|at| (new[at], Err(at)))) {
                Some((held, _)) if held != spec => return PublishResult::Conflict,
                Some((_, at)) => duplicates.push(Some(at)),
                None => {
                    new.push(spec);
                    duplicates.push(None);
                }
            }
        }
        let is_met = match condition {
            None => true,
            Some(ConditionSpec::Key { delta, .. } | ConditionSpec::End { delta }) => *delta == 0,
        };
        if !new.is_empty() && !is_met {
            return PublishResult::Conditions;
        }
        let end = log.events.len();
        let mut versions = log.versions.clone();
        let mut appended = Vec::new();
        for spec in new {
            let version = if spec.key == 0 {
                0
            } else {
                let version = versions.entry(spec.key).or_default();
                *version += 1;
                *version
            };
            appended.push((spec.clone(), version));
        }
        let mut next = 0;
        let placements = duplicates
            .into_iter()
            .map(|duplicate| match duplicate {
                Some(Ok(offset)) => (offset, log.events[offset].1, true),
                Some(Err(at)) => (end + at, appended[at].1, true),
                None => {
                    next += 1;
                    (end + next - 1, appended[next - 1].1, false)
                }
            })
            .collect();
        if !dry {
            for event in appended {
                self.order.push((topic, self.topics[topic].events.len()));
                self.topics[topic].events.push(event);
            }
            self.topics[topic].versions = versions;
        }
        PublishResult::Placements(placements)
    }

    /// Topic and offset of every retained event, in append order.
    fn retained(&self) -> Vec<(usize, usize)> {
        let is_retained = |(topic, offset): &(usize, usize)| *offset >= self.topics[*topic].first;
        self.order.iter().copied().filter(is_retained).collect()
    }

    fn spec(&self, (topic, offset): (usize, usize)) -> &EventSpec {
        &self.topics[topic].events[offset].0
    }
}

struct Log {
    broker: Broker,
    store: Arc<Store>,
}

impl Log {
    fn open(directory: &Path) -> Self {
        let tuning =
            Tuning { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, wal_bytes: 4 << 20 };
        // A small tail, so that some reads go to the disk.
        let options = OpenOptions { tuning, tail_bytes: 2_000 };
        // A child process that another test forks holds our files open, and locked, until its exec.
        let deadline = Instant::now() + Duration::from_secs(5);
        let writer = loop {
            match store::open(directory, &options) {
                Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.expect("the store opens"),
            }
        };
        let store = Arc::clone(writer.store());
        let options = Options { queued_bytes_max: 1 << 20, disk_reserve_bytes: 0 };
        let journal = Journal::start(writer, options, Metrics::new()).expect("a journal");
        let limits = Limits {
            event_bytes_max: 1 << 20,
            auto_create_topics: false,
            heartbeat_interval: Duration::from_secs(10),
            retention_interval: Duration::from_secs(10),
        };
        let broker =
            Broker::new(Arc::clone(&store), journal, limits, AppendTime::now, Metrics::new(), None);
        Self { broker, store }
    }

    async fn close(self, clean: bool) {
        let Self { broker, store } = self;
        if clean {
            broker.journal().close().await.expect("a clean close");
        }
        drop(broker);
        // The journal threads drop their references to the store asynchronously.
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn read(&self, read: Read) -> Vec<Delivered> {
        let mut reading = self.broker.read(read).await.expect("a read begins");
        let mut events = Vec::new();
        while let Some(batch) = reading.next().await {
            events.extend(batch.expect("a batch").events);
        }
        events
    }
}

fn name(topic: usize) -> TopicName {
    TopicName::parse(&format!("topic-{topic}")).expect("a name")
}

fn key(key: u8) -> String {
    if key == 0 { String::new() } else { format!("key-{key}") }
}

fn event(spec: &EventSpec) -> NewEvent {
    let event = Event {
        id: spec.id.to_string(),
        source: "/model".into(),
        r#type: "t".into(),
        partitionkey: key(spec.key),
        correlationid: format!("flow-{}", spec.content),
        payload: Some(Payload::TextData(format!("{}", spec.content).repeat(300))),
        ..Event::default()
    };
    let mut row = vec![0; HEADER_BYTES];
    event.encode_raw(&mut row);
    let content = ContentHash::of(&row[HEADER_BYTES..]);
    NewEvent::new(event.id, &event.source, event.r#type, event.correlationid, content, row)
}

fn decode(delivered: &Delivered) -> ((usize, usize), EventSpec, u64) {
    let topic = delivered.topic.as_str().trim_start_matches("topic-").parse().expect("a topic");
    let recorded = &delivered.recorded;
    let event = Event::decode(recorded.event.clone()).expect("an event");
    let content = event.correlationid.trim_start_matches("flow-").parse().expect("a content");
    let key = event.partitionkey.trim_start_matches("key-").parse().unwrap_or(0);
    let spec = EventSpec { id: event.id.parse().expect("an id"), content, key };
    let offset = usize::try_from(recorded.offset.0).expect("small");
    ((topic, offset), spec, recorded.key_version.0)
}

fn all(direction: Direction) -> Read {
    Read {
        topics: vec![TopicPattern::parse("**").expect("a pattern")],
        start: None,
        direction,
        filter: EventFilter::default(),
        correlation: None,
        events_max: None,
        selection: None,
    }
}

async fn run(operations: Vec<Operation>) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(directory.path());
    for topic in 0..TOPICS {
        log.broker.create_topic(name(topic), TopicConfig::default()).await.expect("a topic");
    }
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Publish { topic, specs, condition, buffered, dry } => {
                publish(&log, &mut model, topic, &specs, condition.as_ref(), buffered, dry).await;
            }
            Operation::Trim { topic, fraction } => {
                let events = model.topics[topic].events.len();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "small"
                )]
                let before = ((events as f64 * fraction) as usize).min(events);
                let start =
                    Start { position: At::Offset(Offset(before as u64)), or_earliest: true };
                let first = model.topics[topic].first;
                let (removed, first_offset) =
                    log.broker.trim_topic(&name(topic), &start, false).await.expect("a trim");
                let expected = first.max(before);
                assert_eq!(
                    (removed, first_offset),
                    ((expected - first) as u64, Offset(expected as u64))
                );
                model.topics[topic].first = expected;
            }
            Operation::Read { from, backward, limit } => {
                read(&log, &model, from, backward, limit).await;
            }
            Operation::ReadKey { topic, key: wanted, backward: is_backward } => {
                let direction = if is_backward { Direction::Backward } else { Direction::Forward };
                let filter = EventFilter { key: Some(key(wanted)), ..EventFilter::default() };
                let topics = vec![TopicPattern::Name(name(topic))];
                let events = log.read(Read { topics, filter, ..all(direction) }).await;
                let mut expected: Vec<_> = model
                    .retained()
                    .into_iter()
                    .filter(|at| at.0 == topic && model.spec(*at).key == wanted)
                    .collect();
                if is_backward {
                    expected.reverse();
                }
                assert_eq!(
                    events.iter().map(|delivered| decode(delivered).0).collect::<Vec<_>>(),
                    expected
                );
            }
            Operation::ReadFlow { content } => {
                let correlation = Some(format!("flow-{content}"));
                let events = log
                    .read(Read { topics: Vec::new(), correlation, ..all(Direction::Forward) })
                    .await;
                let expected: Vec<_> = model
                    .retained()
                    .into_iter()
                    .filter(|at| model.spec(*at).content == content)
                    .collect();
                assert_eq!(
                    events.iter().map(|delivered| decode(delivered).0).collect::<Vec<_>>(),
                    expected
                );
            }
            Operation::Reopen { clean } => {
                log.close(clean).await;
                log = Log::open(directory.path());
            }
        }
        assert_retained_events(&log, &model).await;
    }
    log.close(true).await;
}

async fn publish(
    log: &Log,
    model: &mut Model,
    topic: usize,
    specs: &[EventSpec],
    condition: Option<&ConditionSpec>,
    buffered: bool,
    dry: bool,
) {
    let held = &model.topics[topic];
    let conditions = condition.map(|condition| match condition {
        ConditionSpec::Key { key: wanted, delta } => {
            let version = held.versions.get(wanted).copied().unwrap_or(0);
            Condition::KeyVersion { key: key(*wanted), version: KeyVersion(version + delta) }
        }
        ConditionSpec::End { delta } => {
            Condition::TopicEnd(Offset(held.events.len() as u64 + delta))
        }
    });
    let request = Publish {
        topic: name(topic),
        events: specs.iter().map(event).collect(),
        conditions: conditions.into_iter().collect(),
        durability: if buffered { Durability::Buffered } else { Durability::Synced },
        validate_only: dry,
    };
    let result = match log.broker.publish(request).await {
        Ok(published) => PublishResult::Placements(
            published
                .placements
                .iter()
                .map(|placement| {
                    let offset = usize::try_from(placement.offset.0).expect("small");
                    (offset, placement.key_version.0, placement.duplicate)
                })
                .collect(),
        ),
        Err(PublishError::IdConflict(_)) => PublishResult::Conflict,
        Err(PublishError::Conditions { failed, .. }) => {
            assert!(matches!(
                failed.as_slice(),
                [FailedCondition::KeyVersion { .. } | FailedCondition::TopicEnd { .. }]
            ));
            PublishResult::Conditions
        }
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(result, model.publish(topic, specs, condition, dry));
}

/// Reads forward or backward from the cursor of an event.
async fn read(log: &Log, model: &Model, from: f64, is_backward: bool, limit: u64) {
    let forward = log.read(all(Direction::Forward)).await;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    let at = (forward.len() as f64 * from) as usize;
    let Some(pivot) = forward.get(at) else { return };
    let horizon = log.store.watermark();
    let cursor = Cursor { position: pivot.recorded.position, horizon };
    let direction = if is_backward { Direction::Backward } else { Direction::Forward };
    let start = Some(Start::at(At::Cursor(cursor)));
    let events_max = (limit > 0).then_some(limit);
    let events = log.read(Read { start, events_max, ..all(direction) }).await;
    let retained = model.retained();
    let mut expected: Vec<_> = if is_backward {
        retained[..at].iter().rev().copied().collect()
    } else {
        retained[at + 1..].to_vec()
    };
    if limit > 0 {
        expected.truncate(usize::try_from(limit).expect("small"));
    }
    assert_eq!(events.iter().map(|delivered| decode(delivered).0).collect::<Vec<_>>(), expected);
}

async fn assert_retained_events(log: &Log, model: &Model) {
    let events = log.read(all(Direction::Forward)).await;
    let expected: Vec<_> = model
        .retained()
        .into_iter()
        .map(|at| {
            let (spec, version) = model.topics[at.0].events[at.1].clone();
            (at, spec, version)
        })
        .collect();
    assert_eq!(events.iter().map(decode).collect::<Vec<_>>(), expected);
    let positions: Vec<Position> =
        events.iter().map(|delivered| delivered.recorded.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "positions increase");
    assert!(events.is_sorted_by(|a, b| a.recorded.append_time <= b.recorded.append_time));
}

fn block_on(operations: Vec<Operation>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(run(operations));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_matches_the_model(operations in prop::collection::vec(operation(), 1..40)) {
        block_on(operations);
    }
}
