//! Damage to every file of the data directory. The server refuses it with the exit code for damage,
//! reports it to readers at the damaged offsets, or is provably not affected. It is never silent.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tidings::proto::events::v1::{Event, ReadRequest, RecordedEvent, event::Payload};
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::{Code, Status};

use crate::support::harness::{
    Exit, Options, PATIENCE, Rng, Server, after, earliest, event, eventually, keyed, last_lines,
    metadata, read_from, reason, setting, within,
};

const TOPICS: [&str; 2] = ["damaged.orders", "damaged.payments"];

/// Exit codes for damage: acknowledged data missing, corruption, newer format, I/O error.
const DAMAGE_EXIT_CODES: [i32; 4] = [3, 4, 5, 7];

/// The number of concurrent servers.
const CONCURRENT_SERVERS: usize = 2;

fn options() -> Options {
    // Without the registry: another test covers damage to its files.
    Options::args(["--write-buffer-bytes", "1MiB", "--registry", "off"])
}

/// A data directory of a stopped server, and its acknowledged events.
struct Image {
    name: &'static str,
    dir: TempDir,
    acknowledged: Vec<RecordedEvent>,
}

impl Image {
    /// Killed before a flush, so that all events are in the WAL.
    async fn wal_only(rng: &mut Rng) -> Self {
        let (dir, mut server) = Self::begin().await;
        for batch in 0..30 {
            publish_batch(&server, rng, batch, 10).await;
        }
        Self::end("killed, WAL only", dir, &mut server, true).await
    }

    /// With SSTs, and later events that are only in the WAL; killed or stopped.
    async fn with_ssts(rng: &mut Rng, killed: bool) -> Self {
        let (dir, mut server) = Self::begin().await;
        let mut batch = 0;
        eventually(PATIENCE, "SSTs of the log", async || {
            publish_batch(&server, rng, batch, 50).await;
            batch += 1;
            let is_sst = |file: &PathBuf| file.extension().is_some_and(|end| end == "sst");
            let is_large =
                |file: &PathBuf| fs::metadata(file).is_ok_and(|data| data.len() > 100_000);
            (files_of(dir.path()).iter().filter(|file| is_sst(file) && is_large(file)).count() >= 2)
                .then_some(())
        })
        .await;
        for batch in batch..batch + 10 {
            publish_batch(&server, rng, batch, 10).await;
        }
        let name = if killed { "killed, SSTs and WAL" } else { "stopped, SSTs" };
        Self::end(name, dir, &mut server, killed).await
    }

    async fn begin() -> (TempDir, Server) {
        let dir = TempDir::new().unwrap();
        let server = Server::start_on(&dir.path().join("data"), options()).await;
        for topic in TOPICS {
            server.create(topic).await;
        }
        (dir, server)
    }

    async fn end(name: &'static str, dir: TempDir, server: &mut Server, killed: bool) -> Self {
        let (acknowledged, _) = server.read(read_from(TOPICS, earliest())).await.unwrap();
        if killed {
            server.kill9();
        } else {
            server.sigterm();
            assert_eq!(server.exit_within(PATIENCE).await.code(), Some(0));
        }
        Self { name, dir, acknowledged }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

async fn publish_batch(server: &Server, rng: &mut Rng, batch: usize, count: usize) {
    // Random payloads do not compress, so the files are as large as the events.
    let event = |n: usize, rng: &mut Rng| {
        let bytes: Vec<u8> = (0..90).flat_map(|_| rng.next().to_le_bytes()).collect();
        Event {
            payload: Some(Payload::BinaryData(bytes.into())),
            correlationid: format!("flow-{}", n % 7),
            ..keyed(format!("{batch}-{n}"), &format!("key-{}", n % 5))
        }
    };
    let events: Vec<Event> = (0..count).map(|n| event(n, rng)).collect();
    let response = server.publish(TOPICS[batch % TOPICS.len()], events).await.unwrap();
    assert!(response.results.iter().all(|result| !result.duplicate));
}

/// All files below a directory, sorted by path.
fn files_of(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_of(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Wal,
    Sst,
    Manifest,
    Current,
    RocksdbOptions,
    Identity,
    Witness,
    Format,
    CleanMarker,
}

impl Class {
    const ALL: [Self; 9] = [
        Self::Wal,
        Self::Sst,
        Self::Manifest,
        Self::Current,
        Self::RocksdbOptions,
        Self::Identity,
        Self::Witness,
        Self::Format,
        Self::CleanMarker,
    ];

    fn has(self, file: &Path) -> bool {
        let name = file.file_name().unwrap().to_str().unwrap();
        match self {
            Self::Wal => name.ends_with(".log"),
            Self::Sst => name.ends_with(".sst"),
            Self::Manifest => name.starts_with("MANIFEST-"),
            Self::Current => name == "CURRENT",
            Self::RocksdbOptions => name.starts_with("OPTIONS-"),
            Self::Identity => name == "IDENTITY",
            Self::Witness => name == "tail.witness",
            Self::Format => name == "FORMAT",
            Self::CleanMarker => name == "clean",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Mutation {
    FlipBit,
    Truncate,
    Zero,
    Delete,
    Swap,
}

impl Mutation {
    const ALL: [Self; 5] = [Self::FlipBit, Self::Truncate, Self::Zero, Self::Delete, Self::Swap];

    /// Applies the mutation, and describes it.
    fn apply(self, data_dir: &Path, class: Class, rng: &mut Rng) -> String {
        let files = files_of(data_dir);
        let candidates: Vec<&PathBuf> = files.iter().filter(|file| class.has(file)).collect();
        let file = *rng.pick(&candidates);
        let mut bytes = fs::read(file).unwrap();
        let length = bytes.len();
        let name = file.strip_prefix(data_dir).unwrap().display();
        match self {
            Self::FlipBit if length > 0 => {
                let (at, bit) = (rng.index(length), rng.below(8));
                bytes[at] ^= 1 << bit;
                fs::write(file, bytes).unwrap();
                format!("bit {bit} of byte {at} of {length} flipped in {name}")
            }
            Self::Truncate if length > 0 => {
                let keep = match rng.below(3) {
                    0 => 0,
                    1 => length - 1 - rng.index(length.min(80)),
                    _ => rng.index(length),
                };
                bytes.truncate(keep);
                fs::write(file, bytes).unwrap();
                format!("{name} truncated from {length} to {keep} bytes")
            }
            Self::Zero if length > 0 => {
                let from = rng.index(length);
                let to = length.min(from + 1 + rng.index(4096));
                bytes[from..to].fill(0);
                fs::write(file, bytes).unwrap();
                format!("bytes {from}..{to} of {length} zeroed in {name}")
            }
            Self::Swap => {
                let mut others: Vec<&PathBuf> =
                    candidates.into_iter().filter(|other| *other != file).collect();
                if others.is_empty() {
                    others = files.iter().filter(|other| *other != file).collect();
                }
                let other = *rng.pick(&others);
                let aside = data_dir.join("aside");
                fs::rename(file, &aside).unwrap();
                fs::rename(other, file).unwrap();
                fs::rename(&aside, other).unwrap();
                format!("{name} swapped with {}", other.strip_prefix(data_dir).unwrap().display())
            }
            Self::Delete | Self::FlipBit | Self::Truncate | Self::Zero => {
                fs::remove_file(file).unwrap();
                format!("{name} of {length} bytes deleted")
            }
        }
    }
}

/// An accepted reaction of a server to damage. Every other reaction is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The server did not start, or stopped, with this exit code.
    Refused(i32),
    /// The server runs, and reports the damage to readers at the damaged offsets.
    Reported,
    /// The server runs, and all events are readable.
    Harmless,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "refused with {code}"),
            Self::Reported => f.write_str("reported"),
            Self::Harmless => f.write_str("harmless"),
        }
    }
}

async fn judge(data_dir: &Path, image: &Image) -> Result<Verdict, String> {
    let before = contents(data_dir);
    let mut server = match Server::try_start_on(data_dir, options()).await {
        Ok(server) => server,
        Err(exit) => {
            let changed = before.iter().find(|(file, bytes)| {
                let kept = Class::Wal.has(file) || Class::Sst.has(file);
                kept && fs::read(file).ok().as_ref() != Some(bytes)
            });
            if let Some((file, _)) = changed {
                return Err(format!("refused, after the server changed {}", file.display()));
            }
            return refused(&exit);
        }
    };
    let found = compare(&server, image).await;
    let log = server.log();
    if log.contains("panicked") {
        return Err(format!("panicked:\n{log}"));
    }
    // A server that finds the damage later may stop with the same exit codes.
    let stopped = match &found {
        Ok(_) => None,
        Err(_) => tokio::time::timeout(Duration::from_secs(2), async {
            loop {
                if let Some(status) = server.ended() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .ok(),
    };
    match stopped {
        Some(status) => refused(&Exit { status, log: server.log() }),
        None => found.map_err(|why| format!("{why}\n{}", last_lines(&log, 15))),
    }
}

fn refused(exit: &Exit) -> Result<Verdict, String> {
    match exit.code() {
        Some(code) if DAMAGE_EXIT_CODES.contains(&code) && !exit.log.trim().is_empty() => {
            Ok(Verdict::Refused(code))
        }
        _ => Err(format!("the server ended with {}:\n{}", exit.status, last_lines(&exit.log, 15))),
    }
}

fn contents(data_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_of(data_dir).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// Checks that every acknowledged event is delivered unchanged, or that its loss is reported.
async fn compare(server: &Server, image: &Image) -> Result<Verdict, String> {
    let mut is_reported = false;
    for topic in TOPICS {
        let expected: Vec<&RecordedEvent> =
            image.acknowledged.iter().filter(|event| event.topic == topic).collect();
        is_reported |= compare_topic(server, topic, &expected).await?;

        for key in ["key-0", "key-3"] {
            let request = ReadRequest { key: key.into(), ..read_from([topic], earliest()) };
            let expected: Vec<u64> = expected
                .iter()
                .filter(|event| event.key == key)
                .map(|event| event.offset)
                .collect();
            match server.read(request).await {
                Ok((read, _)) if crate::support::harness::offsets(&read) == expected => {}
                Ok((read, _)) => {
                    return Err(format!(
                        "{topic} by {key}: {} of {} events, and no error",
                        read.len(),
                        expected.len()
                    ));
                }
                Err(status) => is_reported |= reported_by(&status)?,
            }
        }
    }

    let count = image.acknowledged.len();
    for recorded in [0, count / 3, count / 2, count - 1].map(|n| &image.acknowledged[n]) {
        let sent = recorded.event.clone().unwrap();
        match server.publish(&recorded.topic, [sent]).await {
            Ok(response) => {
                let result = &response.results[0];
                if !result.duplicate || result.offset != recorded.offset {
                    return Err(format!(
                        "{}/{} published again: {result:?}",
                        recorded.topic, recorded.offset
                    ));
                }
            }
            Err(status) => is_reported |= reported_by(&status)?,
        }
    }
    for topic in TOPICS {
        let count = image.acknowledged.iter().filter(|event| event.topic == topic).count() as u64;
        match server.publish(topic, [event("after the damage")]).await {
            Ok(response) if response.results[0].offset == count => {}
            Ok(response) => return Err(format!("appended at a wrong offset: {response:?}")),
            Err(status) => is_reported |= reported_by(&status)?,
        }
    }
    Ok(if is_reported { Verdict::Reported } else { Verdict::Harmless })
}

/// Reads a topic from end to end, and resumes after each damaged event. Returns whether any event
/// is damaged.
async fn compare_topic(
    server: &Server,
    topic: &str,
    expected: &[&RecordedEvent],
) -> Result<bool, String> {
    let mut start = earliest();
    let mut next = 0;
    let mut damage_count = 0;
    // Whether an error reported the events that are missing before the next one.
    let mut is_loss_reported = false;
    loop {
        let request = read_from([topic], start);
        let ended = match server.events().read(request).await {
            Err(status) => Err(status),
            Ok(response) => {
                let mut stream = response.into_inner();
                loop {
                    match within(PATIENCE, "a page", stream.message()).await {
                        Ok(None) => break Ok(()),
                        Err(status) => break Err(status),
                        Ok(Some(page)) => {
                            for event in page.batch.unwrap_or_default().events {
                                let at = usize::try_from(event.offset).unwrap();
                                if at != next && !(is_loss_reported && at > next) {
                                    return Err(format!("{topic}/{at} instead of {next}"));
                                }
                                let same = expected.get(at).is_some_and(|sent| {
                                    sent.event == event.event
                                        && sent.position == event.position
                                        && sent.key_version == event.key_version
                                });
                                if !same {
                                    return Err(format!(
                                        "{topic}/{at} differs from the acknowledged event"
                                    ));
                                }
                                next = at + 1;
                                is_loss_reported = false;
                            }
                        }
                    }
                }
            }
        };
        match ended {
            Ok(()) if next == expected.len() || is_loss_reported => return Ok(damage_count > 0),
            Ok(()) => {
                return Err(format!("{topic} ends at {next} of {}, and no error", expected.len()));
            }
            Err(status) => {
                if (status.code(), reason(&status).as_str()) != (Code::DataLoss, "CORRUPT_EVENT") {
                    return Err(format!("{topic} ends at {next} with {status:?}"));
                }
                let metadata = metadata(&status);
                let Some(cursor) = metadata.get("resume_cursor") else {
                    return Err(format!("no resume_cursor: {status:?}"));
                };
                start = after(cursor);
                is_loss_reported = true;
                damage_count += 1;
                if damage_count > 2 * expected.len() {
                    return Err(format!("{topic}: resuming at {next} makes no progress"));
                }
            }
        }
    }
}

/// Accepts errors that report damage.
fn reported_by(status: &Status) -> Result<bool, String> {
    match status.code() {
        Code::DataLoss => Ok(true),
        _ => Err(format!("an error that does not report damage: {status:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_never_silent() {
    let mut rng = Rng::seeded("corruption");
    let cases = usize::try_from(setting("TIDINGS_CORRUPTION_CASES", 240)).unwrap();
    let images = Arc::new([
        Image::wal_only(&mut rng).await,
        Image::with_ssts(&mut rng, true).await,
        Image::with_ssts(&mut rng, false).await,
    ]);
    // Each undamaged image is complete, so later findings are caused by the damage.
    for image in images.iter() {
        let dir = TempDir::new().unwrap();
        copy(&image.data_dir(), dir.path());
        assert_eq!(judge(dir.path(), image).await, Ok(Verdict::Harmless), "{}", image.name);
    }

    let mut plan = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let files = files_of(&image.data_dir());
        for class in Class::ALL {
            if files.iter().any(|file| class.has(file)) {
                plan.extend(Mutation::ALL.map(|mutation| (index, class, mutation)));
            }
        }
    }
    for class in Class::ALL {
        assert!(
            plan.iter().any(|(_, planned, _)| *planned == class),
            "no image has a file of class {class:?}"
        );
    }

    let permits = Arc::new(Semaphore::new(CONCURRENT_SERVERS));
    let mut running = JoinSet::new();
    for case in 0..cases {
        // WAL, SST and MANIFEST have the most bytes to damage.
        let (index, class, mutation) = if case < plan.len() {
            plan[case]
        } else {
            let files = [Class::Wal, Class::Sst, Class::Manifest];
            let large: Vec<_> = plan.iter().filter(|(_, class, _)| files.contains(class)).collect();
            **rng.pick(&large)
        };
        let (images, permits, mut rng) = (images.clone(), permits.clone(), rng.fork());
        running.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let image = &images[index];
            let dir = TempDir::new().unwrap();
            copy(&image.data_dir(), dir.path());
            let description = mutation.apply(dir.path(), class, &mut rng);
            let judged = {
                let (images, dir) = (images.clone(), dir.path().to_path_buf());
                tokio::spawn(async move { judge(&dir, &images[index]).await })
            };
            // A server that hangs ends the task with a panic, which is a fault of this case only.
            let verdict = judged.await.unwrap_or_else(|panic| Err(panic.to_string()));
            (class, format!("case {case}, {}: {description}", image.name), verdict)
        });
    }

    let mut table: BTreeMap<(Class, Verdict), usize> = BTreeMap::new();
    let mut faults = Vec::new();
    while let Some(result) = running.join_next().await {
        let (class, case, verdict) = result.unwrap();
        match verdict {
            Ok(verdict) => *table.entry((class, verdict)).or_default() += 1,
            Err(why) => faults.push(format!("{case}\n    {why}")),
        }
    }
    for ((class, verdict), count) in table {
        eprintln!("{class:?}: {verdict}: {count}");
    }
    assert!(faults.is_empty(), "{} of {cases} cases:\n{}", faults.len(), faults.join("\n"));
}

/// RocksDB's log reader hangs at such a record, so the server has to refuse it before it opens
/// RocksDB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_recycled_type_does_not_hang_the_start() {
    let image = Image::wal_only(&mut Rng::seeded("recycled")).await;
    for class in [Class::Wal, Class::Manifest] {
        let dir = TempDir::new().unwrap();
        copy(&image.data_dir(), dir.path());
        let file = files_of(dir.path()).into_iter().find(|file| class.has(file)).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        // checksum: u32, length: u16, type: u8; then the next record.
        let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        bytes[second + 6] ^= 4;
        fs::write(&file, bytes).unwrap();
        assert_eq!(judge(dir.path(), &image).await, Ok(Verdict::Refused(4)), "{class:?}");
    }
}

/// The offsets of records in a RocksDB log file: `checksum: u32 | length: u16 | type: u8`, in
/// blocks of 32 KiB that no header crosses.
fn record_offsets(log: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    const HEADER: usize = 7;
    let (mut offsets, mut at) = (Vec::new(), 0);
    while at + HEADER <= log.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEADER {
            at += left;
            continue;
        }
        offsets.push(at);
        at += HEADER + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
    }
    offsets
}

/// RocksDB opens a MANIFEST that ends between two records without an error, and misses the files
/// that the rest of it adds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_manifest_is_refused_or_loses_no_file() {
    let image = Image::with_ssts(&mut Rng::seeded("manifest"), true).await;
    let files = files_of(&image.data_dir());
    let manifest = files.iter().find(|file| Class::Manifest.has(file)).unwrap();
    let bytes = fs::read(manifest).unwrap();
    let name = manifest.strip_prefix(image.data_dir()).unwrap();
    let mut table: BTreeMap<Verdict, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for cut in record_offsets(&bytes) {
        let dir = TempDir::new().unwrap();
        copy(&image.data_dir(), dir.path());
        fs::write(dir.path().join(name), &bytes[..cut]).unwrap();
        match judge(dir.path(), &image).await {
            Ok(verdict @ (Verdict::Refused(3 | 4) | Verdict::Harmless)) => {
                *table.entry(verdict).or_default() += 1;
            }
            other => faults.push(format!("cut at {cut} of {}: {other:?}", bytes.len())),
        }
    }
    eprintln!("{table:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(table.contains_key(&Verdict::Refused(3)), "no cut lost a file: {table:?}");
}
