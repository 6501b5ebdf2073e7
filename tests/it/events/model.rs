//! The log against a model in memory: random publishes, conditions, repetitions, reads, trims, and reopens in order and
//! out of it. A failure found once stays as a named scenario at the end.

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

/// An event by the little that tells it apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    id: u8,
    content: u8,
    /// 0: none.
    key: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Publish { topic: usize, facts: Vec<Fact>, condition: Option<Wish>, buffered: bool, dry: bool },
    Trim { topic: usize, part: f64 },
    Read { from: f64, back: bool, most: u64 },
    ReadKey { topic: usize, key: u8, back: bool },
    ReadFlow { content: u8 },
    Reopen { in_order: bool },
}

/// A condition, right or wrong by a little.
#[derive(Debug, Clone)]
enum Wish {
    Key { key: u8, off: u64 },
    End { off: u64 },
}

fn fact() -> impl Strategy<Value = Fact> {
    // Few contents, so that repetitions are frequent and conflicts too.
    (0..IDS, 0..2u8, 0..=KEYS).prop_map(|(id, content, key)| Fact { id, content, key })
}

fn step() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![
        (1..=KEYS, 0..2u64).prop_map(|(key, off)| Wish::Key { key, off }),
        (0..2u64).prop_map(|off| Wish::End { off }),
    ];
    prop_oneof![
        10 => (
            0..TOPICS,
            prop::collection::vec(fact(), 1..5),
            prop::option::weighted(0.2, wish),
            any::<bool>(),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(topic, facts, condition, buffered, dry)| Step::Publish {
                topic, facts, condition, buffered, dry,
            }),
        2 => (0..TOPICS, 0.0..1.2f64).prop_map(|(topic, part)| Step::Trim { topic, part }),
        4 => (0.0..1.0f64, any::<bool>(), 0..20u64)
            .prop_map(|(from, back, most)| Step::Read { from, back, most }),
        3 => (0..TOPICS, 1..=KEYS, any::<bool>())
            .prop_map(|(topic, key, back)| Step::ReadKey { topic, key, back }),
        2 => (0..2u8).prop_map(|content| Step::ReadFlow { content }),
        2 => any::<bool>().prop_map(|in_order| Step::Reopen { in_order }),
    ]
}

/// What should be recorded.
#[derive(Debug, Default)]
struct Model {
    topics: [Topic; TOPICS],
    /// Topic and offset of everything ever appended, in order.
    order: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Topic {
    events: Vec<(Fact, u64)>,
    first: usize,
    versions: BTreeMap<u8, u64>,
}

impl Topic {
    fn recorded(&self, id: u8) -> Option<usize> {
        (self.first..self.events.len()).find(|offset| self.events[*offset].0.id == id)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Places(Vec<(usize, u64, bool)>),
    Conflict,
    Conditions,
}

impl Model {
    fn publish(&mut self, topic: usize, facts: &[Fact], wish: Option<&Wish>, dry: bool) -> Answer {
        let log = &self.topics[topic];
        let mut new: Vec<&Fact> = Vec::new();
        let mut found = Vec::new();
        for fact in facts {
            let other = log.recorded(fact.id).map(|offset| (&log.events[offset].0, Ok(offset)));
            let within = new.iter().position(|one| one.id == fact.id);
            match other.or(within.map(|at| (new[at], Err(at)))) {
                Some((held, _)) if held != fact => return Answer::Conflict,
                Some((_, at)) => found.push(Some(at)),
                None => {
                    new.push(fact);
                    found.push(None);
                }
            }
        }
        let is_met = match wish {
            None => true,
            Some(Wish::Key { off, .. } | Wish::End { off }) => *off == 0,
        };
        if !new.is_empty() && !is_met {
            return Answer::Conditions;
        }
        let end = log.events.len();
        let mut versions = log.versions.clone();
        let mut appended = Vec::new();
        for fact in new {
            let version = if fact.key == 0 {
                0
            } else {
                let version = versions.entry(fact.key).or_default();
                *version += 1;
                *version
            };
            appended.push((fact.clone(), version));
        }
        let mut next = 0;
        let places = found
            .into_iter()
            .map(|found| match found {
                Some(Ok(offset)) => (offset, log.events[offset].1, true),
                Some(Err(at)) => (end + at, appended[at].1, true),
                None => {
                    next += 1;
                    (end + next - 1, appended[next - 1].1, false)
                }
            })
            .collect();
        if !dry {
            for one in appended {
                self.order.push((topic, self.topics[topic].events.len()));
                self.topics[topic].events.push(one);
            }
            self.topics[topic].versions = versions;
        }
        Answer::Places(places)
    }

    /// What is retained, in the order of everything.
    fn retained(&self) -> Vec<(usize, usize)> {
        let is_retained = |(topic, offset): &(usize, usize)| *offset >= self.topics[*topic].first;
        self.order.iter().copied().filter(is_retained).collect()
    }

    fn fact(&self, (topic, offset): (usize, usize)) -> &Fact {
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
        // A small tail, so that reads go to the disk too.
        let options = OpenOptions { tuning, tail_bytes: 2_000 };
        // A process that another test starts has our files open, and locked, until it becomes another program.
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

    async fn close(self, in_order: bool) {
        let Self { broker, store } = self;
        if in_order {
            broker.journal().close().await.expect("a close in order");
        }
        drop(broker);
        // The threads of the journal let go of the store by themselves.
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

fn event(fact: &Fact) -> NewEvent {
    let event = Event {
        id: fact.id.to_string(),
        source: "/model".into(),
        r#type: "t".into(),
        partitionkey: key(fact.key),
        correlationid: format!("flow-{}", fact.content),
        payload: Some(Payload::TextData(format!("{}", fact.content).repeat(300))),
        ..Event::default()
    };
    let mut row = vec![0; HEADER_BYTES];
    event.encode_raw(&mut row);
    let content = ContentHash::of(&row[HEADER_BYTES..]);
    NewEvent::new(event.id, &event.source, event.r#type, event.correlationid, content, row)
}

fn back(delivered: &Delivered) -> ((usize, usize), Fact, u64) {
    let topic = delivered.topic.as_str().trim_start_matches("topic-").parse().expect("a topic");
    let recorded = &delivered.recorded;
    let event = Event::decode(recorded.event.clone()).expect("an event");
    let content = event.correlationid.trim_start_matches("flow-").parse().expect("a content");
    let key = event.partitionkey.trim_start_matches("key-").parse().unwrap_or(0);
    let fact = Fact { id: event.id.parse().expect("an id"), content, key };
    let offset = usize::try_from(recorded.offset.0).expect("small");
    ((topic, offset), fact, recorded.key_version.0)
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

async fn run(steps: Vec<Step>) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(directory.path());
    for topic in 0..TOPICS {
        log.broker.create_topic(name(topic), TopicConfig::default()).await.expect("a topic");
    }
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Publish { topic, facts, condition, buffered, dry } => {
                publish(&log, &mut model, topic, &facts, condition.as_ref(), buffered, dry).await;
            }
            Step::Trim { topic, part } => {
                let events = model.topics[topic].events.len();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "small"
                )]
                let before = ((events as f64 * part) as usize).min(events);
                let start =
                    Start { position: At::Offset(Offset(before as u64)), or_earliest: true };
                let first = model.topics[topic].first;
                let (removed, left) =
                    log.broker.trim_topic(&name(topic), &start, false).await.expect("a trim");
                let now = first.max(before);
                assert_eq!((removed, left), ((now - first) as u64, Offset(now as u64)));
                model.topics[topic].first = now;
            }
            Step::Read { from, back, most } => read(&log, &model, from, back, most).await,
            Step::ReadKey { topic, key: wanted, back: is_back } => {
                let direction = if is_back { Direction::Backward } else { Direction::Forward };
                let filter = EventFilter { key: Some(key(wanted)), ..EventFilter::default() };
                let topics = vec![TopicPattern::Name(name(topic))];
                let got = log.read(Read { topics, filter, ..all(direction) }).await;
                let mut expected: Vec<_> = model
                    .retained()
                    .into_iter()
                    .filter(|at| at.0 == topic && model.fact(*at).key == wanted)
                    .collect();
                if is_back {
                    expected.reverse();
                }
                assert_eq!(got.iter().map(|one| back(one).0).collect::<Vec<_>>(), expected);
            }
            Step::ReadFlow { content } => {
                let correlation = Some(format!("flow-{content}"));
                let got = log
                    .read(Read { topics: Vec::new(), correlation, ..all(Direction::Forward) })
                    .await;
                let expected: Vec<_> = model
                    .retained()
                    .into_iter()
                    .filter(|at| model.fact(*at).content == content)
                    .collect();
                assert_eq!(got.iter().map(|one| back(one).0).collect::<Vec<_>>(), expected);
            }
            Step::Reopen { in_order } => {
                log.close(in_order).await;
                log = Log::open(directory.path());
            }
        }
        everything_is_there(&log, &model).await;
    }
    log.close(true).await;
}

async fn publish(
    log: &Log,
    model: &mut Model,
    topic: usize,
    facts: &[Fact],
    wish: Option<&Wish>,
    buffered: bool,
    dry: bool,
) {
    let held = &model.topics[topic];
    let conditions = wish.map(|wish| match wish {
        Wish::Key { key: wanted, off } => {
            let version = held.versions.get(wanted).copied().unwrap_or(0);
            Condition::KeyVersion { key: key(*wanted), version: KeyVersion(version + off) }
        }
        Wish::End { off } => Condition::TopicEnd(Offset(held.events.len() as u64 + off)),
    });
    let request = Publish {
        topic: name(topic),
        events: facts.iter().map(event).collect(),
        conditions: conditions.into_iter().collect(),
        durability: if buffered { Durability::Buffered } else { Durability::Synced },
        validate_only: dry,
    };
    let answer = match log.broker.publish(request).await {
        Ok(published) => Answer::Places(
            published
                .placements
                .iter()
                .map(|placement| {
                    let offset = usize::try_from(placement.offset.0).expect("small");
                    (offset, placement.key_version.0, placement.duplicate)
                })
                .collect(),
        ),
        Err(PublishError::IdConflict(_)) => Answer::Conflict,
        Err(PublishError::Conditions { failed, .. }) => {
            assert!(matches!(
                failed.as_slice(),
                [FailedCondition::KeyVersion { .. } | FailedCondition::TopicEnd { .. }]
            ));
            Answer::Conditions
        }
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(answer, model.publish(topic, facts, wish, dry));
}

/// From a cursor somewhere, one way or the other.
async fn read(log: &Log, model: &Model, from: f64, is_back: bool, most: u64) {
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
    let direction = if is_back { Direction::Backward } else { Direction::Forward };
    let start = Some(Start::at(At::Cursor(cursor)));
    let events_max = (most > 0).then_some(most);
    let got = log.read(Read { start, events_max, ..all(direction) }).await;
    let retained = model.retained();
    let mut expected: Vec<_> = if is_back {
        retained[..at].iter().rev().copied().collect()
    } else {
        retained[at + 1..].to_vec()
    };
    if most > 0 {
        expected.truncate(usize::try_from(most).expect("small"));
    }
    assert_eq!(got.iter().map(|one| back(one).0).collect::<Vec<_>>(), expected);
}

async fn everything_is_there(log: &Log, model: &Model) {
    let got = log.read(all(Direction::Forward)).await;
    let expected: Vec<_> = model
        .retained()
        .into_iter()
        .map(|at| {
            let (fact, version) = model.topics[at.0].events[at.1].clone();
            (at, fact, version)
        })
        .collect();
    assert_eq!(got.iter().map(back).collect::<Vec<_>>(), expected);
    let positions: Vec<Position> = got.iter().map(|one| one.recorded.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "positions increase");
    assert!(got.is_sorted_by(|a, b| a.recorded.append_time <= b.recorded.append_time));
}

fn block_on(steps: Vec<Step>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(run(steps));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_does_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        block_on(steps);
    }
}
