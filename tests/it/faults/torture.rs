//! Concurrent publishers, and a ledger of their requests and responses for the checker.
//!
//! The ledger is a file outside the data directory, with one line before a request is sent and one
//! after its response. A request that is not in the ledger was not sent; the events of a request
//! without a second line may be recorded once or not at all.

use std::{
    collections::{BTreeMap, VecDeque},
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
    Condition, Durability, Event, KeyVersionCondition, PublishRequest, PublishResponse,
    PublishStreamRequest, TopicEndCondition, condition::Kind, event::Payload,
    event_service_client::EventServiceClient, publish_stream_response::Outcome,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use crate::faults::checker::check;
use crate::support::harness::{
    PATIENCE, Rng, Server, connect, events_over, metadata, reason, within,
};

/// Topics that several clients publish to.
const SHARED: [&str; 2] = ["torture.orders", "torture.payments"];
/// The topic of clients that publish with conditions.
const CONTENDED: &str = "torture.contended";

pub const TOPICS: [&str; 3] = [SHARED[0], SHARED[1], CONTENDED];

/// The limit of requests in flight on one stream.
const IN_FLIGHT: usize = 16;

/// Requests and responses, in the order in which they were sent and received.
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

    /// Must be called before the request is sent.
    pub fn record_request(&self, request: &PublishRequest) -> u64 {
        let mut state = self.state.lock().unwrap();
        let attempt = state.1;
        state.1 += 1;
        let request = BASE64.encode(request.encode_to_vec());
        writeln!(state.0, "sent {attempt} {request}").unwrap();
        attempt
    }

    /// Must be called after the response.
    pub fn record_response(&self, attempt: u64, response: &Result<PublishResponse, Status>) {
        let line = match response {
            Ok(response) => format!("ok {attempt} {}", BASE64.encode(response.encode_to_vec())),
            Err(status) if is_final(status) => format!("refused {attempt} {:?}", status.code()),
            Err(status) => format!("unknown {attempt} {:?}", status.code()),
        };
        writeln!(self.state.lock().unwrap().0, "{line}").unwrap();
    }

    pub fn lines(&self) -> Vec<Line> {
        fs::read_to_string(&self.path).unwrap().lines().map(Line::parse).collect()
    }
}

/// Whether an error guarantees that nothing was recorded.
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

/// A line of the ledger.
pub enum Line {
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

/// How a client publishes.
#[derive(Debug, Clone, Copy)]
enum PublishMode {
    Unary,
    Stream,
    Conditional,
}

/// A publisher that keeps its state while servers are restarted.
struct Client {
    name: String,
    mode: PublishMode,
    durability: Durability,
    rng: Rng,
    next_id: u64,
    /// Successful requests, some of which are sent again.
    answered: VecDeque<PublishRequest>,
    /// Requests without a definite outcome.
    uncertain: Vec<PublishRequest>,
    /// The end of the contended topic and the versions of its keys, as of the last responses.
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
            // A client may or may not retry; both must be correct.
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
        if let PublishMode::Conditional = self.mode {
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
            // A batch with an event that is recorded already.
            let earlier = &self.answered[self.rng.index(self.answered.len())];
            topic.clone_from(&earlier.topic);
            events.push(earlier.events[0].clone());
        }
        let durability = self.durability.into();
        PublishRequest { topic, events, conditions, durability, ..PublishRequest::default() }
    }

    fn learn(&mut self, request: PublishRequest, response: &Result<PublishResponse, Status>) {
        match response {
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
                let actual = metadata(status).get("actual").and_then(|value| value.parse().ok());
                let actual: u64 = actual.expect("the actual value, which a retry needs");
                match request.conditions[0].kind.as_ref().unwrap() {
                    Kind::KeyVersion(condition) => {
                        self.versions.insert(condition.key.clone(), actual);
                    }
                    Kind::TopicEnd(_) => self.next_offset = actual,
                }
            }
            Err(status) if is_final(status) => {}
            Err(_) => self.uncertain.push(request),
        }
    }

    /// Publishes until `stop` is set or the server is unreachable.
    async fn run(
        mut self,
        client: EventServiceClient<Channel>,
        ledger: Arc<Ledger>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        match self.mode {
            PublishMode::Unary | PublishMode::Conditional => {
                self.run_unary(client, &ledger, &stop).await
            }
            PublishMode::Stream => self.run_stream(client, &ledger, &stop).await,
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
            let attempt = ledger.record_request(&request);
            let call = within(PATIENCE, "a response to Publish", client.publish(request.clone()));
            let response = call.await.map(tonic::Response::into_inner);
            ledger.record_response(attempt, &response);
            self.learn(request, &response);
            if response.is_err_and(|status| status.code() != Code::Aborted) {
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
        let mut outcomes = match within(PATIENCE, "a response to PublishStream", call).await {
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
                let attempt = ledger.record_request(&request);
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
            let response = match outcome {
                Outcome::Published(response) => Ok(response),
                Outcome::Error(error) => {
                    let details = error.encode_to_vec().into();
                    Err(Status::with_details(Code::from_i32(error.code), error.message, details))
                }
            };
            let request = open.remove(&sequence).expect("an outcome of a request in flight");
            ledger.record_response(sequence, &response);
            self.learn(request, &response);
        }
        // Requests without an outcome are uncertain; the ledger has no second line for them.
        self.uncertain.extend(open.into_values());
    }
}

/// Publishers of every mode.
pub struct Clients {
    clients: Vec<Client>,
    pub ledger: Arc<Ledger>,
}

impl Clients {
    pub fn new(rng: &mut Rng, durability: Durability) -> Self {
        let modes = [
            PublishMode::Unary,
            PublishMode::Unary,
            PublishMode::Unary,
            PublishMode::Stream,
            PublishMode::Stream,
            PublishMode::Conditional,
            PublishMode::Conditional,
        ];
        let client = |(index, mode)| Client {
            name: format!("client-{index}"),
            mode,
            durability,
            rng: rng.fork(),
            next_id: 0,
            answered: VecDeque::new(),
            uncertain: Vec::new(),
            next_offset: 0,
            versions: BTreeMap::new(),
        };
        let clients = modes.into_iter().enumerate().map(client).collect();
        Self { clients, ledger: Arc::new(Ledger::new()) }
    }

    /// Creates the topics of all clients.
    pub async fn create_topics(&self, server: &Server) {
        for topic in TOPICS {
            server.create(topic).await;
        }
    }

    /// Runs the publishers until `end` completes, and waits until all have stopped.
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

/// A check of the checker, on a server without faults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_concurrent_clients_are_read_back_as_acknowledged() {
    let mut rng = Rng::seeded("torture");
    let server = Server::start(Default::default()).await;
    let mut clients = Clients::new(&mut rng, Durability::Synced);
    clients.create_topics(&server).await;
    for _ in 0..3 {
        clients.publish_for(&server, Duration::from_millis(300)).await;
    }
    let findings = check(&server, &clients.ledger).await;
    findings.assert_none();
    assert!(findings.acknowledged > 100, "too few events were published: {findings:?}");
    assert_eq!(findings.acknowledged, findings.recorded, "nothing was uncertain");
}
