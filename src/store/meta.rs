//! Rows of `meta`: the state of the log, its topics, their tails, and holes in the order of
//! positions.

use serde::{Deserialize, Serialize};

use super::big_endian::{u32_at, u64_at};
use crate::model::{
    numbers::{AppendTime, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// Most trims that a topic records, to report to a late reader which events it lost. Earlier trims
/// are reported with the oldest of these.
pub const TRIM_MARKS_MAX: usize = 64;

/// How many positions are skipped after an unclean stop. Lost BUFFERED events had fewer positions
/// than this.
pub const POSITION_JUMP: u64 = 1 << 32;

/// The state of the log over all topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The last position assigned.
    pub position: Position,
    /// The last append time assigned.
    pub time: AppendTime,
    /// The last topic id assigned.
    pub topic: TopicId,
    /// Events ever appended.
    pub events: u64,
    /// Sum of the weights of all other rows of `meta`, modulo 2^64. At a start it shows whether a
    /// row is missing or older than it should be. A truncated MANIFEST leaves such rows, and
    /// nothing else detects it.
    pub row_weights: u64,
}

/// Key of [`State`].
pub const STATE_KEY: &[u8] = b"state";

impl State {
    /// Updates the sum after a row changed its weight. A missing row has weight 0.
    pub fn replace_row_weight(&mut self, before: u64, after: u64) {
        self.row_weights = self.row_weights.wrapping_sub(before).wrapping_add(after);
    }

    /// `position: u64 | time: u64 | topic: u32 | events: u64 | row_weights: u64`.
    pub fn encode(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.time.0.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.topic.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.events.to_be_bytes());
        bytes[28..].copy_from_slice(&self.row_weights.to_be_bytes());
        bytes
    }

    /// Decodes the state.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            position: Position(u64_at(bytes, 0)?),
            time: AppendTime(u64_at(bytes, 8)?),
            topic: TopicId(u32_at(bytes, 16)?),
            events: u64_at(bytes, 20)?,
            row_weights: u64_at(bytes, 28)?,
        })
    }
}

/// The end of a topic's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicTail {
    /// The first unwritten offset.
    pub next: Offset,
    /// Bytes of all events ever appended.
    pub bytes: u64,
    /// Append time of the last event.
    pub time: AppendTime,
    /// Position of the last event.
    pub position: Position,
}

/// Key of a topic's [`TopicTail`].
pub fn tail_key(topic: TopicId) -> [u8; 8] {
    prefixed(*b"end/", topic)
}

/// Key of a topic's [`TopicRecord`].
pub fn topic_key(topic: TopicId) -> [u8; 8] {
    prefixed(TOPIC_PREFIX, topic)
}

/// The prefix of the keys of topics.
pub const TOPIC_PREFIX: [u8; 4] = *b"top/";

fn prefixed(prefix: [u8; 4], topic: TopicId) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&prefix);
    key[4..].copy_from_slice(&topic.0.to_be_bytes());
    key
}

impl TopicTail {
    /// Its weight in [`State::row_weights`]. It increases with every event.
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

    /// Decodes the tail.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            next: Offset(u64_at(bytes, 0)?),
            bytes: u64_at(bytes, 8)?,
            time: AppendTime(u64_at(bytes, 16)?),
            position: Position(u64_at(bytes, 24)?),
        })
    }
}

/// A trim, as recorded for late readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimMark {
    /// Position of the trim.
    pub at: u64,
    /// The first retained offset after the trim.
    pub first: u64,
    /// Position of the last event that it removed.
    pub removed: u64,
    /// Append time of that event: microseconds since 1970.
    pub time: u64,
}

/// A topic, encoded as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// The name of the topic.
    pub name: String,
    /// When it was created: microseconds since 1970.
    pub created: u64,
    /// Position of its creation or last update: its etag.
    pub revision: u64,
    /// The topic is deleted. Its remaining rows are removed by compactions.
    #[serde(default)]
    pub deleted: bool,
    /// The first retained offset.
    pub first: u64,
    /// Bytes of the events before it.
    pub first_bytes: u64,
    /// The last trims, oldest first.
    pub trims: Vec<TrimMark>,
    /// The settings of the topic.
    pub config: TopicConfig,
}

impl TopicRecord {
    /// Its weight in [`State::row_weights`]. It increases with every change and every trim.
    pub fn weight(&self) -> u64 {
        self.revision.wrapping_add(self.first)
    }
}

/// Positions of BUFFERED events that an unclean stop may have lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The last position recovered after the stop.
    pub after: u64,
    /// The position after which the log continues.
    pub until: u64,
}

/// Key of the list of holes, as JSON.
pub const HOLES_KEY: &[u8] = b"holes";

impl Hole {
    /// Its weight in [`State::row_weights`].
    pub fn weight(&self) -> u64 {
        self.until
    }

    /// Whether a position was lost in the hole. The last position of the hole was never assigned:
    /// it is the watermark after the start.
    pub fn contains(&self, position: Position) -> bool {
        position.0 > self.after && position.0 < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_excludes_both_bounds() {
        let hole = Hole { after: 5, until: 5 + POSITION_JUMP };
        assert!(!hole.contains(Position(5)), "the last event that was found");
        assert!(hole.contains(Position(6)));
        assert!(!hole.contains(Position(5 + POSITION_JUMP)), "the watermark after the start");
    }
}
