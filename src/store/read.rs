//! Reads of rows. They block: call them on a thread that may wait for a disk.
//!
//! This is the only file with RocksDB iterators. A damaged block ends an iterator silently, so
//! every use ends with a check of its status. A gap in the log where a row must be is damage too.

use bytes::{Bytes, BytesMut};
use rocksdb::{DBRawIterator, ReadOptions};

use super::{
    Family, ReadError, StorageError, Store,
    rows::{
        correlation, ids, keys,
        log::{self, Header},
    },
    tail::{ReadLimit, TailRead},
    topics::Topic,
};
use crate::model::{
    event::{HEADER_BYTES, IdentityHash, Recorded},
    numbers::{KeyVersion, Offset, Position, TopicId},
};

/// Reads of at least this size are scans: they read ahead, and do not fill the cache.
const SCAN_BYTES_MIN: usize = 64 << 10;

/// The direction of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards higher offsets.
    Forward,
    /// Towards lower offsets.
    Backward,
}

impl Store {
    /// Events from the tail cache, without waiting for a disk.
    pub fn read_tail(
        &self,
        topic: &Topic,
        from: Offset,
        until: Position,
        limit: ReadLimit,
    ) -> TailRead {
        topic.tail().lock().read(from, until, limit)
    }

    /// Events of a topic from the disk, within its retained range: forwards from `from`, or
    /// backwards from the event before it.
    ///
    /// # Errors
    /// Returns an error if the first row is damaged or missing. If a later row is, the read ends
    /// before it.
    pub fn read_log(
        &self,
        topic: &Topic,
        from: Offset,
        direction: Direction,
        limit: ReadLimit,
    ) -> Result<Vec<Recorded>, ReadError> {
        let range = topic.range();
        let expected = match direction {
            // A reader that was overtaken by a trim reads nothing, so that the gap is reported
            // first.
            Direction::Forward if from >= range.first && from < range.next => range.next.0 - from.0,
            Direction::Backward if from > range.first => from.min(range.next).0 - range.first.0,
            _ => return Ok(Vec::new()),
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(log::key(topic.id, range.first));
        options.set_iterate_upper_bound(log::key(topic.id, range.next));
        if limit.bytes >= SCAN_BYTES_MIN {
            // The rows are compressed on disk. With a larger readahead, RocksDB would read all of
            // it again for each chunk.
            options.set_readahead_size(limit.bytes / 2);
            options.fill_cache(false);
        }
        let mut rows = self.db.raw_iterator_cf_opt(self.family(Family::Log), options);
        let mut next = match direction {
            Direction::Forward => {
                rows.seek(log::key(topic.id, from));
                from
            }
            Direction::Backward => {
                let start = Offset(from.min(range.next).0 - 1);
                rows.seek_for_prev(log::key(topic.id, start));
                start
            }
        };
        let events_max = limit.events.min(usize::try_from(expected).unwrap_or(usize::MAX));
        let mut chunk = Chunk::new(limit, events_max);
        while chunk.has_room(events_max) {
            let Some((key, row)) = rows.key().zip(rows.value()) else {
                check_status(&rows).map_err(|error| chunk_error(topic, next, error))?;
                // The rows before the damage are returned. The next call reports the damage.
                if chunk.is_empty() && topic.range().first <= next && !topic.is_deleted() {
                    return Err(corrupt(topic, next, "its row is missing"));
                }
                break;
            };
            let header = Header::read(row).and_then(|header| {
                let is_in_place = log::parse_key(key) == Some((topic.id, next));
                if is_in_place && header.offset == next {
                    Ok(header)
                } else {
                    Err("its row is missing or misplaced".into())
                }
            });
            match header {
                Ok(header) => chunk.push(header, &row[HEADER_BYTES..]),
                Err(_) if !chunk.is_empty() => break,
                Err(detail) => return Err(corrupt(topic, next, &detail)),
            }
            match direction {
                Direction::Forward => {
                    next = next.next();
                    rows.next();
                }
                Direction::Backward => {
                    next = Offset(next.0.saturating_sub(1));
                    rows.prev();
                }
            }
        }
        Ok(chunk.finish())
    }

    /// Reads an event.
    ///
    /// # Errors
    /// Returns an error if the row is damaged or missing.
    pub fn event(&self, topic: &Topic, offset: Offset) -> Result<Recorded, ReadError> {
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Log), log::key(topic.id, offset))
            .map_err(|error| chunk_error(topic, offset, error.into()))?
            .ok_or_else(|| corrupt(topic, offset, "its row is missing"))?;
        let header = Header::read(&row).map_err(|detail| corrupt(topic, offset, &detail))?;
        Ok(header.recorded(Bytes::copy_from_slice(&row[HEADER_BYTES..])))
    }

    /// Reads the header of an event.
    ///
    /// # Errors
    /// Returns an error if the row is damaged or missing.
    pub fn header(&self, topic: TopicId, offset: Offset) -> Result<Header, ReadError> {
        let damaged = |detail: &str| ReadError::Corrupt {
            topic: format!("number {topic}"),
            offset,
            detail: detail.into(),
        };
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Log), log::key(topic, offset))
            .map_err(|error| damaged(error.as_ref()))?
            .ok_or_else(|| damaged("its row is missing"))?;
        Header::read(&row).map_err(|detail| damaged(&detail))
    }

    /// The offset of an identity. None: no retained event has it.
    ///
    /// # Errors
    /// Returns an error if the index cannot be read.
    pub fn offset_of(
        &self,
        topic: &Topic,
        identity: IdentityHash,
    ) -> Result<Option<Offset>, ReadError> {
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Ids), ids::key(topic.id, identity))
            .map_err(StorageError::from)?;
        let range = topic.range();
        Ok(row
            .and_then(|row| ids::parse_offset(&row))
            .filter(|offset| *offset >= range.first && *offset < range.next))
    }

    /// The version of a key's last event. 0: the key has none.
    ///
    /// # Errors
    /// Returns an error if the index cannot be read.
    pub fn last_key_version(&self, topic: TopicId, key: &[u8]) -> Result<KeyVersion, StorageError> {
        // The row of the first version is never trimmed, so the Bloom filter recognizes most new
        // keys without a search.
        let first = keys::key(topic, key, KeyVersion(1));
        if self.db.get_pinned_cf(self.family(Family::Keys), first)?.is_none() {
            return Ok(KeyVersion(0));
        }
        let row = self.key_row(topic, key, KeyVersion(u64::MAX))?;
        Ok(row.map_or(KeyVersion(0), |(version, _)| version))
    }

    /// The row of a key with the highest version up to `version`.
    fn key_row(
        &self,
        topic: TopicId,
        key: &[u8],
        version: KeyVersion,
    ) -> Result<Option<(KeyVersion, Offset)>, StorageError> {
        let prefix = keys::prefix(topic, key);
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Keys));
        rows.seek(keys::key(topic, key, version));
        let Some((row_key, value)) = rows.key().zip(rows.value()) else {
            check_status(&rows)?;
            return Ok(None);
        };
        if !row_key.starts_with(&prefix) {
            return Ok(None);
        }
        Ok(keys::parse_version(row_key).zip(keys::parse_value(value)))
    }

    /// Offsets of a key's events: forwards from `from`, or backwards from the event before it.
    ///
    /// # Errors
    /// Returns an error if the index cannot be read.
    pub fn key_offsets(
        &self,
        topic: &Topic,
        key: &[u8],
        from: Offset,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Offset>, ReadError> {
        let range = topic.range();
        let Some(start) = self.key_version_at(topic.id, key, from)? else { return Ok(Vec::new()) };
        let prefix = keys::prefix(topic.id, key);
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Keys));
        match direction {
            // Newer versions are stored before older ones.
            Direction::Forward => rows.seek_for_prev(keys::key(topic.id, key, start)),
            Direction::Backward => rows.seek(keys::key(topic.id, key, KeyVersion(start.0 - 1))),
        }
        let mut offsets = Vec::new();
        while offsets.len() < limit {
            let Some((row_key, value)) = rows.key().zip(rows.value()) else {
                check_status(&rows)?;
                break;
            };
            let Some(offset) = keys::parse_value(value) else { break };
            if !row_key.starts_with(&prefix) || row_key.len() != prefix.len() + 8 {
                break;
            }
            let is_retained = offset >= range.first && offset < range.next;
            match direction {
                Direction::Forward if offset >= from && is_retained => offsets.push(offset),
                Direction::Backward if offset < from && is_retained => offsets.push(offset),
                Direction::Backward if offset < range.first => break,
                _ => {}
            }
            match direction {
                Direction::Forward => rows.prev(),
                Direction::Backward => rows.next(),
            }
        }
        Ok(offsets)
    }

    /// The first version of a key whose event is at or after an offset, or else the version after
    /// the last one. None: the key has no versions.
    fn key_version_at(
        &self,
        topic: TopicId,
        key: &[u8],
        from: Offset,
    ) -> Result<Option<KeyVersion>, StorageError> {
        let last = self.last_key_version(topic, key)?;
        if last.0 == 0 {
            return Ok(None);
        }
        let (mut low, mut high) = (1, last.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            // Trimmed versions may have no row. The row found instead is of an older version, which
            // is before the offset too.
            let is_before = match self.key_row(topic, key, KeyVersion(middle))? {
                Some((version, offset)) => version.0 != middle || offset < from,
                None => true,
            };
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some(KeyVersion(low)))
    }

    /// Locations of the events with a correlation id: forwards after a position, or backwards
    /// before it.
    ///
    /// # Errors
    /// Returns an error if the index cannot be read.
    pub fn correlated(
        &self,
        id: &str,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Position, TopicId, Offset)>, ReadError> {
        let prefix = correlation::prefix(id);
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Correlation));
        match direction {
            Direction::Forward => rows.seek(correlation::key(id, from.next())),
            Direction::Backward if from.0 == 0 => return Ok(Vec::new()),
            Direction::Backward => {
                rows.seek_for_prev(correlation::key(id, Position(from.0 - 1)));
            }
        }
        let mut locations = Vec::new();
        while locations.len() < limit {
            let Some((key, value)) = rows.key().zip(rows.value()) else {
                check_status(&rows)?;
                break;
            };
            let Some(position) = correlation::parse_position(key, &prefix) else { break };
            if let Some((topic, offset)) = correlation::parse_value(value) {
                locations.push((position, topic, offset));
            }
            match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.prev(),
            }
        }
        Ok(locations)
    }

    /// The position at which a reader can resume after a damaged event: the last one before the
    /// next readable event.
    pub fn position_after_damage(&self, topic: &Topic, damaged: Offset) -> Option<Position> {
        let end = topic.range().next;
        self.next_readable(topic, damaged, end)
            .map(|(_, header)| Position(header.position.0 - 1))
            .or_else(|| (damaged.0 + 1 >= end.0).then_some(self.watermark()))
    }
}

fn check_status(rows: &DBRawIterator<'_>) -> Result<(), StorageError> {
    rows.status().map_err(StorageError::from)
}

fn corrupt(topic: &Topic, offset: Offset, detail: &str) -> ReadError {
    ReadError::Corrupt { topic: topic.name.to_string(), offset, detail: detail.into() }
}

fn chunk_error(topic: &Topic, offset: Offset, error: StorageError) -> ReadError {
    if error.corrupt { corrupt(topic, offset, &error.message) } else { error.into() }
}

/// Rows of one read. Their events share one allocation.
struct Chunk {
    limit: ReadLimit,
    bytes: BytesMut,
    headers: Vec<(Header, usize)>,
}

impl Chunk {
    fn new(limit: ReadLimit, events_max: usize) -> Self {
        Self {
            limit,
            bytes: BytesMut::with_capacity(limit.bytes.min(events_max.saturating_mul(1024))),
            headers: Vec::with_capacity(events_max.min(1024)),
        }
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    fn has_room(&self, events_max: usize) -> bool {
        self.headers.len() < events_max && self.bytes.len() < self.limit.bytes
    }

    fn push(&mut self, header: Header, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.headers.push((header, event.len()));
    }

    fn finish(self) -> Vec<Recorded> {
        let mut bytes = self.bytes.freeze();
        self.headers
            .into_iter()
            .map(|(header, length)| header.recorded(bytes.split_to(length)))
            .collect()
    }
}
