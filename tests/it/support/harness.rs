//! Starts `tidings serve` as users do, calls it through the generated clients, and waits for
//! conditions.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use prost_types::Timestamp;
use tempfile::TempDir;
use tidings::proto::events::v1::{
    CreateTopicRequest, Edge, Event, LostPositionPolicy, PublishRequest, PublishResponse,
    ReadRequest, RecordedEvent, StartPosition, SubscribeRequest, SubscribeResponse,
    SubscribeStarted, Topic, event::Payload, event_service_client::EventServiceClient,
    start_position::Position, subscribe_response::Message,
    topic_service_client::TopicServiceClient,
};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// The timeout of every wait in a test: long enough for a debug build on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// None: a free port chosen by the system.
    pub listen: Option<SocketAddr>,
}

impl Options {
    pub fn args<const N: usize>(args: [&str; N]) -> Self {
        Self { args: args.map(String::from).to_vec(), ..Self::default() }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// How a server ended.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub log: String,
}

impl Exit {
    /// The exit code, or `None` if a signal ended the server.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A running server. It is killed when dropped, and its log is printed if the test fails.
pub struct Server {
    child: Child,
    address: SocketAddr,
    channel: Channel,
    data_dir: PathBuf,
    /// Outside the data directory, which has only the server's own files.
    log: PathBuf,
    options: Options,
    own_dirs: Vec<TempDir>,
}

impl Server {
    /// Starts on a new data directory, which is deleted with the server.
    pub async fn start(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let mut server = Self::start_on(&dir.path().join("data"), options).await;
        server.own_dirs.push(dir);
        server
    }

    /// Starts on a data directory of the caller.
    pub async fn start_on(data_dir: &Path, options: Options) -> Self {
        match Self::try_start_on(data_dir, options).await {
            Ok(server) => server,
            Err(exit) => {
                panic!("the server ended with {} during its start:\n{}", exit.status, exit.log)
            }
        }
    }

    /// Starts on a data directory of the caller, which the server may refuse.
    pub async fn try_start_on(data_dir: &Path, options: Options) -> Result<Self, Exit> {
        let logs = TempDir::new().unwrap();
        let log = logs.path().join("stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        // Variables of the tests are not settings, and a developer's settings are not for these
        // servers.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
            command.env_remove(name);
        }
        let listen = options.listen.map_or("127.0.0.1:0".into(), |address| address.to_string());
        let mut child = command
            .args(["serve", "--listen", &listen, "--admin-listen", "off", "--data-dir"])
            .arg(data_dir)
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();

        let (lines, first_line) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The receiver may be dropped; the pipe still has to be drained.
                lines.send(line).ok();
            }
        });
        let line =
            tokio::task::spawn_blocking(move || first_line.recv_timeout(PATIENCE)).await.unwrap();
        let address = match line {
            Ok(line) => {
                match line.strip_prefix("listening on ").map(|address| address.trim().parse()) {
                    Some(Ok(address)) => address,
                    _ => {
                        kill_and_wait(&mut child);
                        panic!("the server's first line is {line:?}\n{}", read_log(&log))
                    }
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status =
                    wait(&mut child, PATIENCE).expect("the server closed stdout and still runs");
                return Err(Exit { status, log: read_log(&log) });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                kill_and_wait(&mut child);
                panic!("the server does not serve after {PATIENCE:?}:\n{}", read_log(&log))
            }
        };
        let channel = connect(address).await;
        let data_dir = data_dir.to_owned();
        Ok(Self { child, address, channel, data_dir, log, options, own_dirs: vec![logs] })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The server's stderr so far.
    pub fn log(&self) -> String {
        read_log(&self.log)
    }

    pub fn events(&self) -> EventServiceClient<Channel> {
        events_over(self.channel.clone())
    }

    pub fn topics(&self) -> TopicServiceClient<Channel> {
        TopicServiceClient::new(self.channel.clone())
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// `kill -9`. The process has ended when this returns.
    pub fn kill9(&mut self) {
        kill_and_wait(&mut self.child);
    }

    pub fn sigterm(&self) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), Signal::SIGTERM).unwrap();
    }

    /// The exit status, if the server has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the server to end by itself.
    pub async fn exit_within(&mut self, deadline: Duration) -> Exit {
        let status =
            eventually(deadline, "the server ends", async || self.child.try_wait().unwrap()).await;
        Exit { status, log: read_log(&self.log) }
    }

    /// SIGTERM, then a start on the same directory.
    pub async fn restart(mut self) -> Self {
        self.sigterm();
        let exit = self.exit_within(PATIENCE).await;
        assert_eq!(exit.code(), Some(0), "the server did not stop cleanly:\n{}", exit.log);
        self.start_again().await
    }

    /// `kill -9`, then a start on the same directory.
    pub async fn crash(mut self) -> Self {
        self.kill9();
        self.start_again().await
    }

    /// A start on the same directory and port, after the server has ended by itself.
    pub async fn restart_in_place(mut self) -> Self {
        assert!(self.ended().is_some(), "the server still runs");
        self.options.listen = Some(self.address);
        self.start_again().await
    }

    /// A start on the same directory, after the server has ended by itself.
    pub async fn restart_after_exit(mut self) -> Self {
        assert!(self.ended().is_some(), "the server still runs");
        self.start_again().await
    }

    async fn start_again(mut self) -> Self {
        let own_dirs = std::mem::take(&mut self.own_dirs);
        let mut next = Self::start_on(&self.data_dir.clone(), self.options.clone()).await;
        next.own_dirs.extend(own_dirs);
        next
    }

    pub async fn create(&self, topic: &str) {
        self.create_with(Topic { name: topic.into(), ..Topic::default() }).await;
    }

    pub async fn create_with(&self, topic: Topic) -> Topic {
        let request = CreateTopicRequest { topic: Some(topic) };
        self.topics().create_topic(request).await.unwrap().into_inner().topic.unwrap()
    }

    pub async fn publish(
        &self,
        topic: &str,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<PublishResponse, Status> {
        let request = PublishRequest {
            topic: topic.into(),
            events: events.into_iter().collect(),
            ..PublishRequest::default()
        };
        self.events().publish(request).await.map(tonic::Response::into_inner)
    }

    pub async fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.try_subscribe(request).await.unwrap()
    }

    pub async fn try_subscribe(&self, request: SubscribeRequest) -> Result<Subscription, Status> {
        Subscription::open(&mut self.events(), request).await
    }

    /// All events of a Read, and its end cursor.
    pub async fn read(&self, request: ReadRequest) -> Result<(Vec<RecordedEvent>, String), Status> {
        let mut stream = self.events().read(request).await?.into_inner();
        let mut events = Vec::new();
        let mut end = String::new();
        while let Some(response) = within(PATIENCE, "a page", stream.message()).await? {
            events.extend(response.batch.unwrap_or_default().events);
            assert!(end.is_empty(), "a message after the one with the end cursor");
            end = response.end_cursor;
        }
        Ok((events, end))
    }

    pub fn assert_calm(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "the server panicked:\n{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the server's log ---\n{}", last_lines(&self.log(), 60));
        }
        kill_and_wait(&mut self.child);
    }
}

fn kill_and_wait(child: &mut Child) {
    // Both fail only if the process has ended.
    child.kill().ok();
    child.wait().ok();
}

fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + deadline;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return Some(status),
            None if Instant::now() > until => return None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn read_log(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A new connection.
pub async fn connect(address: SocketAddr) -> Channel {
    let endpoint = endpoint(address);
    within(PATIENCE, "a connection", endpoint.connect()).await.unwrap()
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .tcp_nodelay(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
}

pub fn events_over(channel: Channel) -> EventServiceClient<Channel> {
    EventServiceClient::new(channel)
        .max_decoding_message_size(32 << 20)
        .max_encoding_message_size(64 << 20)
}

/// An open Subscribe stream.
pub struct Subscription {
    stream: Streaming<SubscribeResponse>,
    /// The cursor of the last message that had one.
    pub cursor: String,
    pub started: SubscribeStarted,
}

impl Subscription {
    /// Opens a stream and reads its first message, which is always `SubscribeStarted`.
    pub async fn open(
        client: &mut EventServiceClient<Channel>,
        request: SubscribeRequest,
    ) -> Result<Self, Status> {
        let response =
            within(PATIENCE, "a response to Subscribe", client.subscribe(request)).await?;
        let mut subscription = Self {
            stream: response.into_inner(),
            cursor: String::new(),
            started: SubscribeStarted::default(),
        };
        match subscription.next().await? {
            Some(Message::Started(started)) => Ok(Self { started, ..subscription }),
            other => panic!("the first message is {other:?}"),
        }
    }

    /// The next message; `None` if the server ended the stream without a status.
    pub async fn next(&mut self) -> Result<Option<Message>, Status> {
        within(PATIENCE, "a message of the subscription", self.next_unhurried()).await
    }

    /// The next message, without a timeout.
    pub async fn next_unhurried(&mut self) -> Result<Option<Message>, Status> {
        let Some(response) = self.stream.message().await? else { return Ok(None) };
        let message = response.message.expect("an empty message");
        let cursor = cursor_of(&message);
        assert!(!cursor.is_empty(), "a message without a cursor: {message:?}");
        cursor.clone_into(&mut self.cursor);
        Ok(Some(message))
    }

    /// The next message. Panics if the stream has ended.
    pub async fn expect(&mut self) -> Message {
        self.next().await.unwrap().expect("the stream ended")
    }

    /// The next `count` events. Skips other messages; panics at a gap.
    pub async fn take(&mut self, count: usize) -> Vec<RecordedEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            match self.expect().await {
                Message::Batch(batch) => events.extend(batch.events),
                Message::Gap(gap) => panic!("a gap: {gap:?}"),
                _ => {}
            }
        }
        assert_eq!(events.len(), count, "more events than expected");
        events
    }

    /// The events before CaughtUp.
    pub async fn catch_up(&mut self) -> Vec<RecordedEvent> {
        let mut events = Vec::new();
        loop {
            match self.expect().await {
                Message::Batch(batch) => events.extend(batch.events),
                Message::CaughtUp(_) => return events,
                Message::Gap(gap) => panic!("a gap: {gap:?}"),
                _ => {}
            }
        }
    }

    /// Reads to the status that ends the stream.
    pub async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a status"),
                Err(status) => return status,
            }
        }
    }
}

/// The cursor of a message, from which a reconnect resumes.
pub fn cursor_of(message: &Message) -> &str {
    match message {
        Message::Started(started) => &started.cursor,
        Message::Batch(batch) => &batch.cursor,
        Message::CaughtUp(caught_up) => &caught_up.cursor,
        Message::FellBehind(fell_behind) => &fell_behind.cursor,
        Message::Heartbeat(heartbeat) => &heartbeat.cursor,
        Message::Gap(gap) => &gap.cursor,
        Message::Draining(draining) => &draining.cursor,
        Message::SchemaChanged(changed) => &changed.cursor,
    }
}

pub fn subscribe_to<'a>(
    topics: impl IntoIterator<Item = &'a str>,
    start: Option<StartPosition>,
) -> SubscribeRequest {
    SubscribeRequest {
        topics: topics.into_iter().map(String::from).collect(),
        start,
        ..SubscribeRequest::default()
    }
}

pub fn read_from<'a>(
    topics: impl IntoIterator<Item = &'a str>,
    start: Option<StartPosition>,
) -> ReadRequest {
    ReadRequest {
        topics: topics.into_iter().map(String::from).collect(),
        start,
        ..ReadRequest::default()
    }
}

pub fn at(position: Position) -> Option<StartPosition> {
    Some(StartPosition { position: Some(position), on_lost: 0 })
}

pub fn at_or_earliest(position: Position) -> Option<StartPosition> {
    let on_lost = LostPositionPolicy::Earliest.into();
    Some(StartPosition { position: Some(position), on_lost })
}

pub fn earliest() -> Option<StartPosition> {
    at(Position::Edge(Edge::Earliest.into()))
}

pub fn latest() -> Option<StartPosition> {
    at(Position::Edge(Edge::Latest.into()))
}

pub fn after(cursor: &str) -> Option<StartPosition> {
    at(Position::Cursor(cursor.into()))
}

/// A small event with all required attributes.
pub fn event(id: impl Into<String>) -> Event {
    let id = id.into();
    Event {
        payload: Some(Payload::TextData(format!("the payload of {id}"))),
        id,
        source: "tests".into(),
        r#type: "tests.something_happened.v1".into(),
        ..Event::default()
    }
}

pub fn keyed(id: impl Into<String>, key: &str) -> Event {
    Event { partitionkey: key.into(), ..event(id) }
}

/// `prefix-0`, `prefix-1`, ...
pub fn events(prefix: &str, count: usize) -> Vec<Event> {
    (0..count).map(|n| event(format!("{prefix}-{n}"))).collect()
}

/// As [`events`], each with a payload of `bytes` bytes.
pub fn large_events(prefix: &str, count: usize, bytes: usize) -> Vec<Event> {
    let payload = bytes::Bytes::from(vec![b'x'; bytes]);
    let large = |event| Event { payload: Some(Payload::BinaryData(payload.clone())), ..event };
    events(prefix, count).into_iter().map(large).collect()
}

pub fn ids(events: &[RecordedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_ref().unwrap().id.as_str()).collect()
}

pub fn offsets(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}

/// Topic and offset, which identify an event in a server.
pub fn place(event: &RecordedEvent) -> (String, u64) {
    (event.topic.clone(), event.offset)
}

pub fn places(events: &[RecordedEvent]) -> Vec<(String, u64)> {
    events.iter().map(place).collect()
}

/// The `ErrorInfo.reason` of a status.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The `ErrorInfo.metadata` of a status.
pub fn metadata(status: &Status) -> BTreeMap<String, String> {
    let info = status.get_details_error_info();
    info.map(|info| info.metadata.into_iter().collect()).unwrap_or_default()
}

#[track_caller]
pub fn assert_refused(status: &Status, code: Code, expected: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, expected), "{status:?}");
}

/// Polls until `look` returns a value.
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < until, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a future. Panics after the deadline.
pub async fn within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {deadline:?}: {what}"),
    }
}

pub fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// A reproducible random number generator: splitmix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Seeds from `TIDINGS_SEED`, or else from the clock. Prints the seed, so that a failure can be
    /// reproduced.
    pub fn seeded(test: &str) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let seed = setting("TIDINGS_SEED", u64::from(clock));
        eprintln!("{test}: TIDINGS_SEED={seed}");
        Self(seed)
    }

    /// A new generator, independent of later values of this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
