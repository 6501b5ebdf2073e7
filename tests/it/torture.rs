//! Clients that publish all at once, a ledger of what they sent and what they were answered, and a checker that reads
//! everything back and compares.
//!
//! The ledger is a file outside the data directory: one line before a request is sent, one after its answer. What is
//! not in it was not sent; what has no second line may be recorded once or not at all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use prost::Message as _;
use prost_types::Timestamp;
use tempfile::TempDir;
use tidings::proto::events::v1::{
    Condition, Direction, Durability, Event, GetTopicRequest, KeyVersionCondition, PublishRequest,
    PublishResponse, PublishResult, PublishStreamRequest, ReadRequest, RecordedEvent,
    TopicEndCondition, condition::Kind, event::Payload, event_service_client::EventServiceClient,
    publish_stream_response::Outcome,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use crate::harness::{
    PATIENCE, Rng, Server, connect, earliest, events_over, metadata, places, read_from, reason,
    subscribe_to, within,
};

/// Topics that every client publishes to.
const SHARED: [&str; 2] = ["torture.orders", "torture.payments"];
/// The topic of the clients that publish under conditions.
const CONTENDED: &str = "torture.contended";

pub const TOPICS: [&str; 3] = [SHARED[0], SHARED[1], CONTENDED];

/// How often a request may be in flight on one stream.
const IN_FLIGHT: usize = 16;

/// What was sent and what was answered, in the order in which that happened.
pub struct Ledger {
    _dir: TempDir,
    path: PathBuf,
    state: Mutex<(File, u64)>,
}

impl Ledger {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger");
        let file = File::create(&path).unwrap();
        Self { _dir: dir, path, state: Mutex::new((file, 0)) }
    }

    /// To be called before the request is sent.
    pub fn sent(&self, request: &PublishRequest) -> u64 {
        let mut state = self.state.lock().unwrap();
        let attempt = state.1;
        state.1 += 1;
        let request = BASE64.encode(request.encode_to_vec());
        writeln!(state.0, "sent {attempt} {request}").unwrap();
        attempt
    }

    /// To be called after the answer.
    pub fn answered(&self, attempt: u64, answer: &Result<PublishResponse, Status>) {
        let line = match answer {
            Ok(response) => format!("ok {attempt} {}", BASE64.encode(response.encode_to_vec())),
            Err(status) if is_final(status) => format!("refused {attempt} {:?}", status.code()),
            Err(status) => format!("unknown {attempt} {:?}", status.code()),
        };
        writeln!(self.state.lock().unwrap().0, "{line}").unwrap();
    }

    fn lines(&self) -> Vec<Line> {
        fs::read_to_string(&self.path).unwrap().lines().map(Line::parse).collect()
    }
}

/// Whether an error says that nothing was recorded.
fn is_final(status: &Status) -> bool {
    match status.code() {
        Code::Aborted
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::ResourceExhausted => true,
        Code::Unavailable => reason(status) == "DRAINING",
        _ => false,
    }
}

enum Line {
    Sent(u64, PublishRequest),
    Ok(u64, PublishResponse),
    Refused(u64),
    Unknown(u64),
}

impl Line {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let (kind, attempt) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let mut message = || BASE64.decode(words.next().unwrap()).unwrap();
        match kind {
            "sent" => Self::Sent(attempt, PublishRequest::decode(&*message()).unwrap()),
            "ok" => Self::Ok(attempt, PublishResponse::decode(&*message()).unwrap()),
            "refused" => Self::Refused(attempt),
            "unknown" => Self::Unknown(attempt),
            _ => panic!("a ledger line {line:?}"),
        }
    }
}

/// How clients publish.
#[derive(Debug, Clone, Copy)]
enum Habit {
    Unary,
    Stream,
    Conditional,
}

/// A publisher that lives longer than the servers it talks to.
struct Client {
    name: String,
    habit: Habit,
    durability: Durability,
    rng: Rng,
    next_id: u64,
    /// Requests that were answered, to be sent again now and then.
    answered: VecDeque<PublishRequest>,
    /// Requests without an answer.
    uncertain: Vec<PublishRequest>,
    /// What the last answers said about the contended topic.
    next_offset: u64,
    versions: BTreeMap<String, u64>,
}

impl Client {
    fn event(&mut self) -> Event {
        let id = format!("{}-{}", self.name, self.next_id);
        self.next_id += 1;
        let rng = &mut self.rng;
        let key = format!("key-{}", rng.below(20));
        let (partitionkey, subject) = match rng.below(10) {
            0..=5 => (key, String::new()),
            6 => (key, "something else".into()),
            7 | 8 => (String::new(), key),
            _ => (String::new(), String::new()),
        };
        let length = if rng.chance(2) { rng.below(30_000) } else { rng.below(1_000) };
        let payload = match rng.below(10) {
            0 => None,
            1..=4 => {
                let bytes: Vec<u8> = (0..length).map(|_| rng.next().to_le_bytes()[0]).collect();
                Some(Payload::BinaryData(bytes.into()))
            }
            _ => {
                let mut text = format!("{id}: ");
                while (text.len() as u64) < length {
                    write!(text, "{:x} ", rng.next()).unwrap();
                }
                Some(Payload::TextData(text))
            }
        };
        let correlationid =
            if rng.chance(30) { format!("flow-{}", rng.below(40)) } else { String::new() };
        let seconds = rng.chance(50).then(|| 1_700_000_000 + i64::from(rng.next() as u16));
        Event {
            id,
            source: format!("torture/{}", self.name),
            r#type: format!("torture.happened.v{}", rng.below(3)),
            partitionkey,
            subject,
            payload,
            correlationid,
            time: seconds.map(|seconds| Timestamp { seconds, nanos: 0 }),
            ..Event::default()
        }
    }

    fn request(&mut self) -> PublishRequest {
        if let Some(request) = self.uncertain.pop() {
            // A client either asks again or never does; both have to come out right.
            if self.rng.chance(60) {
                return request;
            }
        }
        if self.rng.chance(8) && !self.answered.is_empty() {
            let index = self.rng.index(self.answered.len());
            return self.answered[index].clone();
        }
        let count = if self.rng.chance(25) { 2 + self.rng.below(20) } else { 1 };
        let mut events: Vec<Event> = (0..count).map(|_| self.event()).collect();
        let mut topic: String = (*self.rng.pick(&SHARED)).into();
        let mut conditions = Vec::new();
        if let Habit::Conditional = self.habit {
            topic = CONTENDED.into();
            if self.rng.chance(50) {
                let key = format!("contended-{}", self.rng.below(3));
                for event in &mut events {
                    event.partitionkey.clone_from(&key);
                }
                let version = self.versions.get(&key).copied();
                let version = Some(version.unwrap_or_default());
                let condition = KeyVersionCondition { key, version };
                conditions.push(Condition { kind: Some(Kind::KeyVersion(condition)) });
            } else {
                let condition = TopicEndCondition { next_offset: Some(self.next_offset) };
                conditions.push(Condition { kind: Some(Kind::TopicEnd(condition)) });
            }
        } else if self.rng.chance(10) && !self.answered.is_empty() {
            // A batch of which a part is recorded already.
            let earlier = &self.answered[self.rng.index(self.answered.len())];
            topic.clone_from(&earlier.topic);
            events.push(earlier.events[0].clone());
        }
        let durability = self.durability.into();
        PublishRequest { topic, events, conditions, durability, ..PublishRequest::default() }
    }

    fn learn(&mut self, request: PublishRequest, answer: &Result<PublishResponse, Status>) {
        match answer {
            Ok(response) => {
                if request.topic == CONTENDED {
                    for (event, result) in request.events.iter().zip(&response.results) {
                        self.next_offset = self.next_offset.max(result.offset + 1);
                        let version = self.versions.entry(event.partitionkey.clone()).or_default();
                        *version = result.key_version.max(*version);
                    }
                }
                self.answered.push_back(request);
                if self.answered.len() > 200 {
                    self.answered.pop_front();
                }
            }
            Err(status) if status.code() == Code::Aborted => {
                let actual = metadata(status).get("actual").and_then(|it| it.parse().ok());
                let actual: u64 = actual.expect("the actual value, so that one can try again");
                match request.conditions[0].kind.as_ref().unwrap() {
                    Kind::KeyVersion(it) => {
                        self.versions.insert(it.key.clone(), actual);
                    }
                    Kind::TopicEnd(_) => self.next_offset = actual,
                }
            }
            Err(status) if is_final(status) => {}
            Err(_) => self.uncertain.push(request),
        }
    }

    /// Publishes until told to stop, or until the server is gone.
    async fn run(
        mut self,
        client: EventServiceClient<Channel>,
        ledger: Arc<Ledger>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        match self.habit {
            Habit::Unary | Habit::Conditional => self.run_unary(client, &ledger, &stop).await,
            Habit::Stream => self.run_stream(client, &ledger, &stop).await,
        }
        self
    }

    async fn run_unary(
        &mut self,
        mut client: EventServiceClient<Channel>,
        ledger: &Ledger,
        stop: &watch::Receiver<bool>,
    ) {
        while !*stop.borrow() {
            let request = self.request();
            let attempt = ledger.sent(&request);
            let answer = within(PATIENCE, "an answer to Publish", client.publish(request.clone()));
            let answer = answer.await.map(tonic::Response::into_inner);
            ledger.answered(attempt, &answer);
            self.learn(request, &answer);
            if answer.is_err_and(|status| status.code() != Code::Aborted) {
                return;
            }
        }
    }

    async fn run_stream(
        &mut self,
        mut client: EventServiceClient<Channel>,
        ledger: &Ledger,
        stop: &watch::Receiver<bool>,
    ) {
        let (requests, receiver) = mpsc::channel(IN_FLIGHT);
        let call = client.publish_stream(ReceiverStream::new(receiver));
        let mut outcomes = match within(PATIENCE, "an answer to PublishStream", call).await {
            Ok(response) => response.into_inner(),
            Err(_) => return,
        };
        let mut open: BTreeMap<u64, PublishRequest> = BTreeMap::new();
        let mut requests = Some(requests);
        loop {
            while let Some(sender) = requests.as_ref().filter(|_| open.len() < IN_FLIGHT) {
                if *stop.borrow() {
                    requests = None;
                    break;
                }
                let request = self.request();
                let attempt = ledger.sent(&request);
                open.insert(attempt, request.clone());
                let message = PublishStreamRequest { sequence: attempt, publish: Some(request) };
                if sender.send(message).await.is_err() {
                    requests = None;
                }
            }
            let outcome = within(PATIENCE, "an outcome", outcomes.message()).await;
            let (sequence, outcome) = match outcome {
                Ok(Some(message)) => (message.sequence, message.outcome.expect("an outcome")),
                Ok(None) | Err(_) => break,
            };
            let answer = match outcome {
                Outcome::Published(response) => Ok(response),
                Outcome::Error(error) => {
                    let details = error.encode_to_vec().into();
                    Err(Status::with_details(Code::from_i32(error.code), error.message, details))
                }
            };
            let request = open.remove(&sequence).expect("an outcome of something that was sent");
            ledger.answered(sequence, &answer);
            self.learn(request, &answer);
        }
        // What had no outcome is uncertain; the ledger has no second line for it.
        self.uncertain.extend(open.into_values());
    }
}

/// Publishers of every habit.
pub struct Clients {
    clients: Vec<Client>,
    pub ledger: Arc<Ledger>,
}

impl Clients {
    pub fn new(rng: &mut Rng, durability: Durability) -> Self {
        let habits = [
            Habit::Unary,
            Habit::Unary,
            Habit::Unary,
            Habit::Stream,
            Habit::Stream,
            Habit::Conditional,
            Habit::Conditional,
        ];
        let client = |(index, habit)| Client {
            name: format!("client-{index}"),
            habit,
            durability,
            rng: rng.fork(),
            next_id: 0,
            answered: VecDeque::new(),
            uncertain: Vec::new(),
            next_offset: 0,
            versions: BTreeMap::new(),
        };
        let clients = habits.into_iter().enumerate().map(client).collect();
        Self { clients, ledger: Arc::new(Ledger::new()) }
    }

    /// Creates the topics they publish to.
    pub async fn create_topics(&self, server: &Server) {
        for topic in TOPICS {
            server.create(topic).await;
        }
    }

    /// Lets them publish until `end` is done; then waits until each has noticed, or has stopped by itself.
    pub async fn publish_until(&mut self, address: SocketAddr, end: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for client in self.clients.drain(..) {
            let channel = connect(address).await;
            running.spawn(client.run(events_over(channel), self.ledger.clone(), stopped.clone()));
        }
        end.await;
        stop.send(true).unwrap();
        self.clients = within(PATIENCE, "the clients stop", running.join_all()).await;
        self.clients.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub async fn publish_for(&mut self, server: &Server, duration: Duration) {
        self.publish_until(server.address(), tokio::time::sleep(duration)).await;
    }
}

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

/// The checker itself, on a server that nobody disturbs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_clients_publish_is_read_back_as_it_was_answered() {
    let mut rng = Rng::seeded("torture");
    let server = Server::start(Default::default()).await;
    let mut clients = Clients::new(&mut rng, Durability::Synced);
    clients.create_topics(&server).await;
    for _ in 0..3 {
        clients.publish_for(&server, Duration::from_millis(300)).await;
    }
    let findings = check(&server, &clients.ledger).await;
    findings.assert_none();
    assert!(findings.acknowledged > 100, "hardly anything was published: {findings:?}");
    assert_eq!(findings.acknowledged, findings.recorded, "nothing was uncertain");
}
