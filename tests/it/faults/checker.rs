//! Reads everything back in every way there is, and compares it with the ledger of what was sent and answered.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_types::Timestamp;
use tidings::proto::events::v1::{
    Direction, Event, GetTopicRequest, PublishRequest, PublishResult, ReadRequest, RecordedEvent,
    condition::Kind,
};

use crate::faults::torture::{Ledger, Line, TOPICS};
use crate::support::harness::{Server, earliest, places, read_from, subscribe_to};

/// What the checker has against the server.
#[derive(Debug, Default)]
pub struct Findings {
    /// Acknowledged events that are not there: topic, offset as answered, position as answered.
    pub lost: Vec<(String, u64, u64)>,
    /// Everything else.
    pub wrong: Vec<String>,
    /// How many events are there.
    pub recorded: usize,
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// The last position that is there.
    pub last_position: u64,
}

impl Findings {
    #[track_caller]
    pub fn assert_none(&self) {
        let shown = |all: &[String]| all.iter().take(20).cloned().collect::<Vec<_>>().join("\n  ");
        assert!(
            self.lost.is_empty() && self.wrong.is_empty(),
            "{} acknowledged events are lost, such as {:?}; {} more faults:\n  {}",
            self.lost.len(),
            self.lost.first(),
            self.wrong.len(),
            shown(&self.wrong)
        );
    }

    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }
}

type Identity = (String, String, String);

fn identity(topic: &str, event: &Event) -> Identity {
    (topic.into(), event.source.clone(), event.id.clone())
}

fn key_of(event: &Event) -> &str {
    if event.partitionkey.is_empty() { &event.subject } else { &event.partitionkey }
}

/// What the ledger knows about one event.
#[derive(Default)]
struct Fate {
    content: Option<Event>,
    /// Every answer of success, as recorded first: offset, position, key version.
    places: BTreeSet<(u64, u64, u64)>,
    append_time: Option<Timestamp>,
    appended: usize,
    /// Whether an attempt has no definite answer.
    uncertain: bool,
    /// Everything acknowledged before its first attempt was sent is at or before this position.
    not_before: Option<u64>,
}

/// Reads everything back in every way there is, and compares with the ledger.
pub async fn check(server: &Server, ledger: &Ledger) -> Findings {
    let mut findings = Findings::default();
    let all = read_everything(server, &mut findings).await;
    check_sequence(&all, &mut findings);
    check_ledger(&all, ledger, &mut findings);
    server.assert_calm();
    findings
}

/// The whole log by Subscribe, and whether every other way of reading agrees.
async fn read_everything(server: &Server, findings: &mut Findings) -> Vec<RecordedEvent> {
    let mut subscription = server.subscribe(subscribe_to(["torture.**"], earliest())).await;
    let all = subscription.catch_up().await;
    let mut expected = all.clone();

    let same = |what: &str, found: &[RecordedEvent], expected: &[RecordedEvent]| {
        if without_cursors(found) == without_cursors(expected) {
            return None;
        }
        Some(format!("{what}: {} and by Subscribe {}", outline(found), outline(expected)))
    };
    let (read, _) = server.read(read_from(TOPICS, earliest())).await.unwrap();
    findings.wrong.extend(same("by Read", &read, &expected));

    let backward = Direction::Backward.into();
    let request = ReadRequest { direction: backward, ..read_from(TOPICS, None) };
    let (mut read, _) = server.read(request).await.unwrap();
    read.reverse();
    findings.wrong.extend(same("by Read backwards", &read, &expected));

    for topic in TOPICS {
        expected = all.iter().filter(|it| it.topic == topic).cloned().collect();
        let (read, _) = server.read(read_from([topic], earliest())).await.unwrap();
        findings.wrong.extend(same(topic, &read, &expected));

        let request = GetTopicRequest { name: topic.into() };
        let found = server.topics().get_topic(request).await.unwrap().into_inner();
        let stats = found.topic.unwrap().stats.unwrap();
        findings.unless((stats.first_offset, stats.next_offset) == (0, read.len() as u64), || {
            format!("{topic} has {} events, its stats say {stats:?}", read.len())
        });

        let keys: BTreeSet<&str> = expected.iter().map(|it| it.key.as_str()).collect();
        for key in keys.into_iter().filter(|key| !key.is_empty()) {
            let request = ReadRequest { key: key.into(), ..read_from([topic], earliest()) };
            let (read, _) = server.read(request).await.unwrap();
            let expected: Vec<_> = expected.iter().filter(|it| it.key == key).cloned().collect();
            findings.wrong.extend(same(&format!("{topic} by key {key}"), &read, &expected));
        }
    }

    let flow = |it: &RecordedEvent| it.event.as_ref().unwrap().correlationid.clone();
    let flows: BTreeSet<String> = all.iter().map(flow).filter(|it| !it.is_empty()).collect();
    for correlationid in flows {
        expected = all.iter().filter(|it| flow(it) == correlationid).cloned().collect();
        let what = format!("by correlation id {correlationid}");
        let request = ReadRequest { correlationid, ..read_from([], earliest()) };
        let (read, _) = server.read(request).await.unwrap();
        findings.wrong.extend(same(&what, &read, &expected));
    }
    all
}

/// Cursors know when their stream was opened, so those of two reads differ.
fn without_cursors(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let without = |it: &RecordedEvent| RecordedEvent { cursor: String::new(), ..it.clone() };
    events.iter().map(without).collect()
}

fn outline(events: &[RecordedEvent]) -> String {
    let places = places(events);
    match places.as_slice() {
        [] => "nothing".into(),
        [first, .., last] => format!("{} events from {first:?} to {last:?}", places.len()),
        [only] => format!("only {only:?}"),
    }
}

/// What has to hold whoever sent what.
fn check_sequence(all: &[RecordedEvent], findings: &mut Findings) {
    let mut next_offsets: HashMap<&str, u64> = HashMap::new();
    let mut key_versions: HashMap<(&str, &str), u64> = HashMap::new();
    let mut identities: HashSet<Identity> = HashSet::new();
    let mut last: Option<&RecordedEvent> = None;
    for recorded in all {
        let at = format!("{}/{}", recorded.topic, recorded.offset);
        let event = recorded.event.as_ref().unwrap();

        let next_offset = next_offsets.entry(&recorded.topic).or_default();
        findings.unless(recorded.offset == *next_offset, || {
            format!("{at}: the next offset would be {next_offset}")
        });
        *next_offset = recorded.offset + 1;

        findings.unless(recorded.key == key_of(event), || format!("{at}: key {}", recorded.key));
        let version = if recorded.key.is_empty() {
            0
        } else {
            let version = key_versions.entry((&recorded.topic, &recorded.key)).or_default();
            *version += 1;
            *version
        };
        findings.unless(recorded.key_version == version, || {
            format!("{at}: key version {} instead of {version}", recorded.key_version)
        });

        findings.unless(identities.insert(identity(&recorded.topic, event)), || {
            format!("{at}: {} is there twice", event.id)
        });
        if let Some(last) = last {
            let time = |it: &RecordedEvent| it.append_time.map(|it| (it.seconds, it.nanos));
            findings.unless(recorded.position > last.position, || {
                format!("{at}: position {} behind {}", recorded.position, last.position)
            });
            findings.unless(time(recorded) >= time(last), || format!("{at}: time goes backwards"));
        }
        last = Some(recorded);
    }
    findings.recorded = all.len();
    findings.last_position = last.map_or(0, |it| it.position);
}

fn check_ledger(all: &[RecordedEvent], ledger: &Ledger, findings: &mut Findings) {
    let mut fates: HashMap<Identity, Fate> = HashMap::new();
    let mut attempts: BTreeMap<u64, (PublishRequest, Option<u64>)> = BTreeMap::new();
    let mut open: BTreeSet<u64> = BTreeSet::new();
    let mut acknowledged_up_to: Option<u64> = None;
    let mut times_sent: HashMap<Identity, usize> = HashMap::new();

    for line in ledger.lines() {
        match line {
            Line::Sent(attempt, request) => {
                for event in &request.events {
                    let identity = identity(&request.topic, event);
                    *times_sent.entry(identity.clone()).or_default() += 1;
                    let fate = fates.entry(identity).or_default();
                    if fate.content.is_none() {
                        fate.content = Some(event.clone());
                        fate.not_before = acknowledged_up_to;
                    }
                }
                open.insert(attempt);
                attempts.insert(attempt, (request, acknowledged_up_to));
            }
            Line::Ok(attempt, response) => {
                open.remove(&attempt);
                let (request, not_before) = &attempts[&attempt];
                findings.unless(response.results.len() == request.events.len(), || {
                    format!("attempt {attempt}: {} results", response.results.len())
                });
                for (event, result) in request.events.iter().zip(&response.results) {
                    findings.unless(result.id == event.id, || {
                        format!("attempt {attempt}: a result for {}, not {}", result.id, event.id)
                    });
                    findings.unless(result.durability == request.durability, || {
                        format!("attempt {attempt}: durability {}", result.durability)
                    });
                    let fate = fates.get_mut(&identity(&request.topic, event)).unwrap();
                    fate.places.insert((result.offset, result.position, result.key_version));
                    if !result.duplicate {
                        fate.appended += 1;
                        fate.append_time = result.append_time;
                        findings.unless(not_before.is_none_or(|it| result.position > it), || {
                            format!(
                                "attempt {attempt}: {} appended at {}, sent after {not_before:?} \
                                 was acknowledged",
                                event.id, result.position
                            )
                        });
                    }
                    acknowledged_up_to = acknowledged_up_to.max(Some(result.position));
                }
                check_conditions(attempt, request, &response.results, findings);
            }
            Line::Refused(attempt) => {
                open.remove(&attempt);
            }
            Line::Unknown(attempt) => assert!(open.contains(&attempt), "answered twice"),
        }
    }
    for attempt in &open {
        for event in &attempts[attempt].0.events {
            let identity = identity(&attempts[attempt].0.topic, event);
            fates.get_mut(&identity).unwrap().uncertain = true;
        }
    }

    let recorded: HashMap<Identity, &RecordedEvent> =
        all.iter().map(|it| (identity(&it.topic, it.event.as_ref().unwrap()), it)).collect();
    for (identity, found) in &recorded {
        let Some(fate) = fates.get(identity) else {
            findings.wrong.push(format!("{identity:?} was sent by nobody"));
            continue;
        };
        let mut content = fate.content.clone().unwrap();
        content.spec_version = "1.0".into();
        findings.unless(found.event.as_ref() == Some(&content), || {
            format!("{identity:?} differs from what was sent:\n{found:?}\n{content:?}")
        });
        findings.unless(fate.uncertain || !fate.places.is_empty(), || {
            format!("{identity:?} was refused, and is there")
        });
        findings.unless(fate.not_before.is_none_or(|it| found.position > it), || {
            format!("{identity:?} is at {}, before what was acknowledged first", found.position)
        });
    }
    for (identity, fate) in &fates {
        if fate.places.is_empty() {
            continue;
        }
        findings.acknowledged += 1;
        findings.unless(fate.places.len() == 1, || {
            format!("{identity:?} was answered with several places: {:?}", fate.places)
        });
        findings.unless(fate.appended <= 1, || format!("{identity:?} was appended twice"));
        let &(offset, position, _) = fate.places.last().unwrap();
        let Some(found) = recorded.get(identity) else {
            findings.lost.push((identity.0.clone(), offset, position));
            continue;
        };
        let place = (found.offset, found.position, found.key_version);
        findings.unless(fate.places.contains(&place), || {
            format!("{identity:?} is at {place:?}, answered were {:?}", fate.places)
        });
        findings.unless(fate.append_time.is_none_or(|it| found.append_time == Some(it)), || {
            format!("{identity:?}: another append time than answered")
        });
    }
    // Batches without an answer: all of it or nothing, and in one piece.
    for attempt in open {
        let (request, _) = &attempts[&attempt];
        let identities: Vec<_> =
            request.events.iter().map(|it| identity(&request.topic, it)).collect();
        if identities.iter().any(|it| times_sent[it] > 1) {
            continue;
        }
        let offsets: Vec<u64> =
            identities.iter().filter_map(|it| recorded.get(it)).map(|it| it.offset).collect();
        let whole = offsets.len() == identities.len();
        findings.unless(offsets.is_empty() || whole, || {
            format!("attempt {attempt}: {} of {} events", offsets.len(), identities.len())
        });
        findings.unless(offsets.windows(2).all(|it| it[0] + 1 == it[1]), || {
            format!("attempt {attempt}: a batch in pieces: {offsets:?}")
        });
    }
}

/// A condition that was met is the state right before the batch.
fn check_conditions(
    attempt: u64,
    request: &PublishRequest,
    results: &[PublishResult],
    findings: &mut Findings,
) {
    let appended: Vec<(&Event, &PublishResult)> =
        request.events.iter().zip(results).filter(|(_, result)| !result.duplicate).collect();
    for condition in request.conditions.iter().filter(|_| !appended.is_empty()) {
        let (expected, found) = match condition.kind.as_ref().unwrap() {
            Kind::TopicEnd(it) => (it.next_offset.unwrap(), appended[0].1.offset),
            Kind::KeyVersion(it) => {
                let first = appended.iter().find(|(event, _)| key_of(event) == it.key).unwrap();
                (it.version.unwrap(), first.1.key_version - 1)
            }
        };
        findings.unless(expected == found, || {
            format!("attempt {attempt}: passed a condition of {expected} when it was {found}")
        });
    }
}
