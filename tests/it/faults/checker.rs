//! Reads all events with every kind of read, and compares them with the ledger of requests and
//! responses.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_types::Timestamp;
use tidings::proto::events::v1::{
    Direction, Event, GetTopicRequest, PublishRequest, PublishResult, ReadRequest, RecordedEvent,
    condition::Kind,
};

use crate::faults::torture::{Ledger, Line, TOPICS};
use crate::support::harness::{Server, earliest, places, read_from, subscribe_to};

/// Differences between the events in the log and the ledger.
#[derive(Debug, Default)]
pub struct Findings {
    /// Acknowledged events that are not recorded: topic, acknowledged offset and position.
    pub lost: Vec<(String, u64, u64)>,
    /// Other differences.
    pub wrong: Vec<String>,
    /// The number of recorded events.
    pub recorded: usize,
    /// The number of acknowledged events.
    pub acknowledged: usize,
    /// The position of the last recorded event.
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

/// The ledger's entries for one event.
#[derive(Default)]
struct EventHistory {
    content: Option<Event>,
    /// The distinct results of successful requests: offset, position, key version.
    placements: BTreeSet<(u64, u64, u64)>,
    append_time: Option<Timestamp>,
    appended: usize,
    /// Whether an attempt has no definite outcome.
    uncertain: bool,
    /// The last position that was acknowledged before the first attempt was sent.
    not_before: Option<u64>,
}

/// Reads all events with every kind of read, and compares them with the ledger.
pub async fn check(server: &Server, ledger: &Ledger) -> Findings {
    let mut findings = Findings::default();
    let all = read_everything(server, &mut findings).await;
    check_sequence(&all, &mut findings);
    check_ledger(&all, ledger, &mut findings);
    server.assert_calm();
    findings
}

/// Returns the log as read by Subscribe, and checks that every other read returns the same events.
async fn read_everything(server: &Server, findings: &mut Findings) -> Vec<RecordedEvent> {
    let mut subscription = server.subscribe(subscribe_to(["torture.**"], earliest())).await;
    let all = subscription.catch_up().await;
    let mut expected = all.clone();

    let same = |what: &str, found: &[RecordedEvent], expected: &[RecordedEvent]| {
        if without_cursors(found) == without_cursors(expected) {
            return None;
        }
        Some(format!("{what}: {}; by Subscribe: {}", outline(found), outline(expected)))
    };
    let (read, _) = server.read(read_from(TOPICS, earliest())).await.unwrap();
    findings.wrong.extend(same("by Read", &read, &expected));

    let backward = Direction::Backward.into();
    let request = ReadRequest { direction: backward, ..read_from(TOPICS, None) };
    let (mut read, _) = server.read(request).await.unwrap();
    read.reverse();
    findings.wrong.extend(same("by Read backwards", &read, &expected));

    for topic in TOPICS {
        expected = all.iter().filter(|event| event.topic == topic).cloned().collect();
        let (read, _) = server.read(read_from([topic], earliest())).await.unwrap();
        findings.wrong.extend(same(topic, &read, &expected));

        let request = GetTopicRequest { name: topic.into() };
        let found = server.topics().get_topic(request).await.unwrap().into_inner();
        let stats = found.topic.unwrap().stats.unwrap();
        findings.unless((stats.first_offset, stats.next_offset) == (0, read.len() as u64), || {
            format!("{topic} has {} events; its stats are {stats:?}", read.len())
        });

        let keys: BTreeSet<&str> = expected.iter().map(|event| event.key.as_str()).collect();
        for key in keys.into_iter().filter(|key| !key.is_empty()) {
            let request = ReadRequest { key: key.into(), ..read_from([topic], earliest()) };
            let (read, _) = server.read(request).await.unwrap();
            let expected: Vec<_> =
                expected.iter().filter(|event| event.key == key).cloned().collect();
            findings.wrong.extend(same(&format!("{topic} by key {key}"), &read, &expected));
        }
    }

    let correlation_of =
        |recorded: &RecordedEvent| recorded.event.as_ref().unwrap().correlationid.clone();
    let correlation_ids: BTreeSet<String> =
        all.iter().map(correlation_of).filter(|id| !id.is_empty()).collect();
    for correlationid in correlation_ids {
        expected =
            all.iter().filter(|event| correlation_of(event) == correlationid).cloned().collect();
        let what = format!("by correlation id {correlationid}");
        let request = ReadRequest { correlationid, ..read_from([], earliest()) };
        let (read, _) = server.read(request).await.unwrap();
        findings.wrong.extend(same(&what, &read, &expected));
    }
    all
}

/// A cursor has the time at which its stream was opened, so the cursors of two reads differ.
fn without_cursors(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let without = |event: &RecordedEvent| RecordedEvent { cursor: String::new(), ..event.clone() };
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

/// Checks the invariants of a log, which hold for all requests.
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
            format!("{at}: the next offset is {next_offset}")
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
            format!("{at}: {} is recorded twice", event.id)
        });
        if let Some(last) = last {
            let time =
                |event: &RecordedEvent| event.append_time.map(|time| (time.seconds, time.nanos));
            findings.unless(recorded.position > last.position, || {
                format!("{at}: position {} after {}", recorded.position, last.position)
            });
            findings.unless(time(recorded) >= time(last), || format!("{at}: time goes backwards"));
        }
        last = Some(recorded);
    }
    findings.recorded = all.len();
    findings.last_position = last.map_or(0, |event| event.position);
}

fn check_ledger(all: &[RecordedEvent], ledger: &Ledger, findings: &mut Findings) {
    let mut histories: HashMap<Identity, EventHistory> = HashMap::new();
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
                    let history = histories.entry(identity).or_default();
                    if history.content.is_none() {
                        history.content = Some(event.clone());
                        history.not_before = acknowledged_up_to;
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
                    let history = histories.get_mut(&identity(&request.topic, event)).unwrap();
                    history.placements.insert((result.offset, result.position, result.key_version));
                    if !result.duplicate {
                        history.appended += 1;
                        history.append_time = result.append_time;
                        let is_later = not_before.is_none_or(|position| result.position > position);
                        findings.unless(is_later, || {
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
            Line::Unknown(attempt) => {
                assert!(open.contains(&attempt), "two outcomes for one attempt")
            }
        }
    }
    for attempt in &open {
        for event in &attempts[attempt].0.events {
            let identity = identity(&attempts[attempt].0.topic, event);
            histories.get_mut(&identity).unwrap().uncertain = true;
        }
    }

    let recorded: HashMap<Identity, &RecordedEvent> = all
        .iter()
        .map(|event| (identity(&event.topic, event.event.as_ref().unwrap()), event))
        .collect();
    for (identity, found) in &recorded {
        let Some(history) = histories.get(identity) else {
            findings.wrong.push(format!("{identity:?} was not sent by any client"));
            continue;
        };
        let mut content = history.content.clone().unwrap();
        content.spec_version = "1.0".into();
        findings.unless(found.event.as_ref() == Some(&content), || {
            format!("{identity:?} differs from the sent event:\n{found:?}\n{content:?}")
        });
        findings.unless(history.uncertain || !history.placements.is_empty(), || {
            format!("{identity:?} was refused, and is recorded")
        });
        let is_later = history.not_before.is_none_or(|position| found.position > position);
        findings.unless(is_later, || {
            format!(
                "{identity:?} is at {}, before an event that was acknowledged earlier",
                found.position
            )
        });
    }
    for (identity, history) in &histories {
        if history.placements.is_empty() {
            continue;
        }
        findings.acknowledged += 1;
        findings.unless(history.placements.len() == 1, || {
            format!("{identity:?} has several placements: {:?}", history.placements)
        });
        findings.unless(history.appended <= 1, || format!("{identity:?} was appended twice"));
        let &(offset, position, _) = history.placements.last().unwrap();
        let Some(found) = recorded.get(identity) else {
            findings.lost.push((identity.0.clone(), offset, position));
            continue;
        };
        let placement = (found.offset, found.position, found.key_version);
        findings.unless(history.placements.contains(&placement), || {
            format!("{identity:?} is at {placement:?}; the responses have {:?}", history.placements)
        });
        let same_time = history.append_time.is_none_or(|time| found.append_time == Some(time));
        findings.unless(same_time, || {
            format!("{identity:?}: the append time differs from the response")
        });
    }
    // A batch without an outcome is recorded completely or not at all, at consecutive offsets.
    for attempt in open {
        let (request, _) = &attempts[&attempt];
        let identities: Vec<_> =
            request.events.iter().map(|event| identity(&request.topic, event)).collect();
        if identities.iter().any(|identity| times_sent[identity] > 1) {
            continue;
        }
        let offsets: Vec<u64> = identities
            .iter()
            .filter_map(|identity| recorded.get(identity))
            .map(|event| event.offset)
            .collect();
        let is_complete = offsets.len() == identities.len();
        findings.unless(offsets.is_empty() || is_complete, || {
            format!("attempt {attempt}: {} of {} events", offsets.len(), identities.len())
        });
        findings.unless(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]), || {
            format!("attempt {attempt}: the offsets of a batch are not consecutive: {offsets:?}")
        });
    }
}

/// Checks that each condition of a recorded batch was met by the state before the batch.
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
            Kind::TopicEnd(condition) => (condition.next_offset.unwrap(), appended[0].1.offset),
            Kind::KeyVersion(condition) => {
                let first =
                    appended.iter().find(|(event, _)| key_of(event) == condition.key).unwrap();
                (condition.version.unwrap(), first.1.key_version - 1)
            }
        };
        findings.unless(expected == found, || {
            format!(
                "attempt {attempt}: passed a condition of {expected} when the value was {found}"
            )
        });
    }
}
