//! What stands in `meta`: topics, their ends, the last position, holes in the order of positions.

use serde::{Deserialize, Serialize};

use super::keys::u64_at;
use crate::model::{
    numbers::{AppendTime, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// How many trims a topic remembers, to tell a late reader what it lost. Older ones are told with the oldest of these.
pub const TRIM_MARKS_MAX: usize = 64;

/// How far positions jump after an unclean stop. BUFFERED events that were lost had fewer positions than this.
pub const POSITION_JUMP: u64 = 1 << 32;

/// Everything but the events, of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The last position that was given away.
    pub position: Position,
    /// The last append time that was given away.
    pub time: AppendTime,
    /// The last topic id that was given away.
    pub topic: TopicId,
    /// Events ever appended.
    pub events: u64,
    /// What every other row of `meta` adds up to, modulo 2^64: a row that is missing, or older than it should be, is
    /// noticed at a start. A MANIFEST that was cut leaves such rows, and nothing else tells of it.
    pub rows: u64,
}

/// Key of [`State`].
pub const STATE_KEY: &[u8] = b"state";

impl State {
    /// A row went from one weight to another. One that is not there weighs nothing.
    pub fn weigh(&mut self, before: u64, after: u64) {
        self.rows = self.rows.wrapping_sub(before).wrapping_add(after);
    }

    /// `position: u64 | time: u64 | topic: u32 | events: u64 | rows: u64`.
    pub fn encode(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.time.0.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.topic.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.events.to_be_bytes());
        bytes[28..].copy_from_slice(&self.rows.to_be_bytes());
        bytes
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            position: Position(u64_at(bytes, 0)?),
            time: AppendTime(u64_at(bytes, 8)?),
            topic: TopicId(super::keys::u32_at(bytes, 16)?),
            events: u64_at(bytes, 20)?,
            rows: u64_at(bytes, 28)?,
        })
    }
}

/// Where a topic ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// The first offset that is not written.
    pub next: Offset,
    /// Bytes of all events ever appended to it.
    pub bytes: u64,
    /// When the last one was.
    pub time: AppendTime,
    /// Position of the last one.
    pub position: Position,
}

/// Key of a topic's [`End`].
pub fn end_key(topic: TopicId) -> [u8; 8] {
    prefixed(*b"end/", topic)
}

/// Key of a topic's [`TopicRecord`].
pub fn topic_key(topic: TopicId) -> [u8; 8] {
    prefixed(TOPIC_PREFIX, topic)
}

/// What keys of topics begin with.
pub const TOPIC_PREFIX: [u8; 4] = *b"top/";

fn prefixed(prefix: [u8; 4], topic: TopicId) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&prefix);
    key[4..].copy_from_slice(&topic.0.to_be_bytes());
    key
}

impl End {
    /// What it adds to [`State::rows`]: grows with every event.
    pub fn weight(&self) -> u64 {
        self.position.0
    }

    /// `next: u64 | bytes: u64 | time: u64 | position: u64`.
    pub fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.next.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.time.0.to_be_bytes());
        bytes[24..].copy_from_slice(&self.position.0.to_be_bytes());
        bytes
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            next: Offset(u64_at(bytes, 0)?),
            bytes: u64_at(bytes, 8)?,
            time: AppendTime(u64_at(bytes, 16)?),
            position: Position(u64_at(bytes, 24)?),
        })
    }
}

/// A trim, as a late reader has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimMark {
    /// When it was, in the order of everything.
    pub at: u64,
    /// The first offset that it left.
    pub first: u64,
    /// The position of the last event that it removed.
    pub removed: u64,
    /// When that event had been recorded: microseconds since 1970.
    pub time: u64,
}

/// A topic, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Its name.
    pub name: String,
    /// When it was made: microseconds since 1970.
    pub created: u64,
    /// Position of its making, or of its last update: its etag.
    pub revision: u64,
    /// It is gone; what is left of its rows goes with time.
    #[serde(default)]
    pub deleted: bool,
    /// The first offset that is retained.
    pub first: u64,
    /// Bytes of the events before it.
    pub first_bytes: u64,
    /// The last trims, oldest first.
    pub trims: Vec<TrimMark>,
    /// What its owner decided.
    pub config: TopicConfig,
}

impl TopicRecord {
    /// What it adds to [`State::rows`]: grows with every change and every trim.
    pub fn weight(&self) -> u64 {
        self.revision.wrapping_add(self.first)
    }
}

/// Positions that an unclean stop may have taken from BUFFERED events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The last position that was found after the stop.
    pub after: u64,
    /// The position that things went on behind.
    pub until: u64,
}

/// Key of the list of holes, as JSON.
pub const HOLES_KEY: &[u8] = b"holes";

impl Hole {
    /// What it adds to [`State::rows`].
    pub fn weight(&self) -> u64 {
        self.until
    }

    /// Whether a position was lost in it. The last one is nobody's: it is where a reader stands that has everything.
    pub fn contains(&self, position: Position) -> bool {
        position.0 > self.after && position.0 < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_open_at_both_ends() {
        let hole = Hole { after: 5, until: 5 + POSITION_JUMP };
        assert!(!hole.contains(Position(5)), "the last event that was found");
        assert!(hole.contains(Position(6)));
        assert!(!hole.contains(Position(5 + POSITION_JUMP)), "the watermark after the start");
    }
}
