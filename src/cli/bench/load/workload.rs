//! Events that can be identified and verified: every payload carries its sequence and a checksum.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use prost::Message as _;
use tidings::proto::events::v1::{Event, event::Payload};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The smallest payload with room for the sequence, the checksum and some text.
pub const PAYLOAD_BYTES_MIN: usize = 80;

/// Far larger than RocksDB's blocks and LZ4's window, so that events do not compress against one
/// another.
const POOL_BYTES: usize = 4 << 20;

/// Number of keys.
const KEYS: u64 = 1_000;

/// Events per flow: they share a correlation id.
const FLOW_EVENTS: u64 = 4;

const ID: &[u8; 12] = b"IIIIIIIIIIII";
const CORRELATION: &[u8; 12] = b"CCCCCCCCCCCC";
const CAUSATION: &[u8; 12] = b"AAAAAAAAAAAA";
const KEY: &[u8; 8] = b"KKKKKKKK";
const SPAN: &[u8; 12] = b"PPPPPPPPPPPP";
/// Placeholder of the sequence in a payload.
pub const SEQUENCE: &[u8; 16] = b"SSSSSSSSSSSSSSSS";
/// Placeholder of the text's checksum in a payload.
pub const CHECKSUM: &[u8; 16] = b"XXXXXXXXXXXXXXXX";
/// Placeholder of the text in a payload, as often as the text is long.
pub const TEXT: u8 = b'T';
const TEXT_BEGINS: &[u8] = br#"","text":""#;
const TEXT_ENDS: &[u8] = br#""}"#;

/// Generates the events of one run: an envelope of eleven attributes and a JSON payload.
///
/// One event is encoded once; every other differs in fields of fixed width.
pub struct Workload {
    template: Vec<u8>,
    pool: Vec<u8>,
    id: usize,
    correlation: usize,
    causation: usize,
    key: usize,
    span: usize,
    sequence: usize,
    checksum: usize,
    text: usize,
    text_len: usize,
}

impl Workload {
    /// Events that cannot be confused with those of another run.
    pub fn new(run: u32, payload_bytes: usize) -> Result<Self> {
        ensure!(
            payload_bytes >= PAYLOAD_BYTES_MIN,
            "{payload_bytes} payload bytes; the minimum is {PAYLOAD_BYTES_MIN}, \
             for the sequence and the checksum"
        );
        let frame =
            [br#"{"sequence":""#, &SEQUENCE[..], br#"","checksum":""#, CHECKSUM, TEXT_BEGINS];
        let mut payload = frame.concat();
        payload.resize(payload_bytes - TEXT_ENDS.len(), TEXT);
        payload.extend_from_slice(TEXT_ENDS);
        Self::of(run, "tidings.bench.v1.Measured", "application/json", payload)
    }

    /// Events with a payload of another shape. It has the placeholders [`SEQUENCE`], [`CHECKSUM`],
    /// and a run of [`TEXT`].
    pub fn of(run: u32, event_type: &str, content_type: &str, payload: Vec<u8>) -> Result<Self> {
        let text_len = payload
            .chunk_by(|first, second| first == second)
            .filter(|run| run[0] == TEXT)
            .map(<[u8]>::len)
            .max()
            .context("the payload has no room for text")?;
        let text = |marker: &[u8]| String::from_utf8_lossy(marker).into_owned();
        let template = Event {
            id: format!("{run:08x}-0000-7000-8000-{}", text(ID)),
            source: "/tidings/bench".to_owned(),
            spec_version: "1.0".to_owned(),
            r#type: event_type.to_owned(),
            subject: "measurement".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            datacontenttype: content_type.to_owned(),
            partitionkey: format!("customer-{}", text(KEY)),
            correlationid: format!("{run:08x}-0000-7000-9000-{}", text(CORRELATION)),
            causationid: format!("{run:08x}-0000-7000-8000-{}", text(CAUSATION)),
            traceparent: format!("00-{run:08x}000000000000000000000001-0000{}-01", text(SPAN)),
            payload: Some(Payload::BinaryData(payload.into())),
            ..Event::default()
        }
        .encode_to_vec();

        let text_start = position(&template, &vec![TEXT; text_len])?;
        Ok(Self {
            id: position(&template, ID)?,
            correlation: position(&template, CORRELATION)?,
            causation: position(&template, CAUSATION)?,
            key: position(&template, KEY)?,
            span: position(&template, SPAN)?,
            sequence: position(&template, SEQUENCE)?,
            checksum: position(&template, CHECKSUM)?,
            text: text_start,
            text_len,
            template,
            pool: pool(POOL_BYTES.max(2 * text_len)),
        })
    }

    /// Bytes of each encoded event.
    pub fn event_bytes(&self) -> usize {
        self.template.len()
    }

    /// Appends the encoded event of a sequence.
    pub fn put(&self, sequence: u64, buf: &mut BytesMut) {
        let begin = buf.len();
        buf.extend_from_slice(&self.template);
        let event = &mut buf[begin..];
        let spread = sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let span = self.pool.len() - self.text_len;
        let from = usize::try_from(spread >> 20).unwrap_or_default() % span;
        let text = &self.pool[from..from + self.text_len];

        hex(sequence, &mut event[self.id..][..ID.len()]);
        hex(sequence / FLOW_EVENTS, &mut event[self.correlation..][..CORRELATION.len()]);
        hex(sequence.saturating_sub(1), &mut event[self.causation..][..CAUSATION.len()]);
        hex(sequence % KEYS, &mut event[self.key..][..KEY.len()]);
        hex(sequence, &mut event[self.span..][..SPAN.len()]);
        hex(sequence, &mut event[self.sequence..][..SEQUENCE.len()]);
        hex(xxh3_64_with_seed(text, sequence), &mut event[self.checksum..][..CHECKSUM.len()]);
        event[self.text..][..self.text_len].copy_from_slice(text);
    }
}

/// The sequence of a delivered event, if its content is the one published under that sequence.
pub fn verify(event: &Event) -> Result<u64> {
    let Some(Payload::BinaryData(payload)) = &event.payload else {
        bail!("event {} was returned without its payload", event.id);
    };
    let read = || -> Option<(u64, u64, &[u8])> {
        let rest = payload.strip_prefix(br#"{"sequence":""#)?;
        let (sequence, rest) = rest.split_at_checked(SEQUENCE.len())?;
        let rest = rest.strip_prefix(br#"","checksum":""#)?;
        let (checksum, rest) = rest.split_at_checked(CHECKSUM.len())?;
        let text = rest.strip_prefix(TEXT_BEGINS)?.strip_suffix(TEXT_ENDS)?;
        Some((unhex(sequence)?, unhex(checksum)?, text))
    };
    let (sequence, checksum, text) =
        read().with_context(|| format!("event {} was returned with another payload", event.id))?;
    ensure!(
        xxh3_64_with_seed(text, sequence) == checksum,
        "event {}: its payload does not have the checksum that was published",
        event.id
    );
    let id = event.id.rsplit('-').next().and_then(|digits| unhex(digits.as_bytes()));
    ensure!(id == Some(sequence), "event {} was returned with the payload of {sequence}", event.id);
    Ok(sequence)
}

fn position(template: &[u8], marker: &[u8]) -> Result<usize> {
    template
        .windows(marker.len())
        .position(|window| window == marker)
        .context("the template lacks a placeholder")
}

/// Writes lower-case hexadecimal digits, as many as fit.
fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::from((value & 0xf) as u8)];
        value >>= 4;
    }
}

fn unhex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Words and numbers that compress about two to one, as JSON does.
fn pool(len: usize) -> Vec<u8> {
    const SYLLABLES: [&str; 32] = [
        "an", "ber", "ca", "dor", "el", "fin", "gra", "hu", "in", "jo", "kel", "lu", "mar", "ne",
        "or", "pri", "qua", "ren", "sto", "ti", "un", "ver", "wi", "xen", "yu", "zo", "ship",
        "pay", "ord", "item", "cust", "tot",
    ];
    let mut random = 0x5DEE_CE66_D1CE_4E5Bu64;
    let mut pool = Vec::with_capacity(len + 32);
    while pool.len() < len {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = random >> 24;
        if bits & 3 == 0 {
            pool.extend_from_slice((bits >> 8 & 0xf_ffff).to_string().as_bytes());
        } else {
            for shift in [8, 13, 18] {
                pool.extend_from_slice(SYLLABLES[(bits >> shift & 31) as usize].as_bytes());
            }
        }
        pool.push(b' ');
    }
    pool.truncate(len);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(workload: &Workload, sequence: u64) -> BytesMut {
        let mut buf = BytesMut::new();
        workload.put(sequence, &mut buf);
        buf
    }

    #[test]
    fn generated_events_verify() {
        let workload = Workload::new(7, 1024).unwrap();
        for sequence in [0, 1, 999, 123_456_789] {
            let event = Event::decode(event(&workload, sequence)).unwrap();
            assert_eq!(verify(&event).unwrap(), sequence);
            let Some(Payload::BinaryData(payload)) = &event.payload else { panic!("no payload") };
            assert_eq!(payload.len(), 1024);
        }
    }

    #[test]
    fn a_changed_payload_is_detected() {
        let workload = Workload::new(7, 200).unwrap();
        let mut bytes = event(&workload, 3);
        bytes[workload.text + 5] ^= 1;
        let event = Event::decode(bytes).unwrap();
        assert!(verify(&event).is_err());
    }
}
