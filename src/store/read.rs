//! Reading rows. Blocking: call it where a thread may wait for a disk.
//!
//! The only place with RocksDB iterators. A damaged block ends one silently, so each of them ends with a look at its
//! status, and a log without a row where one has to be is damage too.

use bytes::{Bytes, BytesMut};
use rocksdb::{DBRawIterator, Direction, ReadOptions};

use super::{
    Family, ReadError, StorageError, Store, keys,
    row::Header,
    tail::{Bounds, TailRead},
    topics::Topic,
};
use crate::model::{
    event::{HEADER_BYTES, Recorded},
    numbers::{KeyVersion, Offset, Position, TopicId},
};

/// Reads of so many bytes are part of a scan: they read ahead what they will use, and leave the cache to others.
const SCAN_BYTES_MIN: usize = 64 << 10;

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Towards the end.
    Forward,
    /// Towards the beginning.
    Backward,
}

impl Store {
    /// Events from the tail, without waiting for a disk.
    pub fn read_tail(
        &self,
        topic: &Topic,
        from: Offset,
        upto: Position,
        bounds: Bounds,
    ) -> TailRead {
        topic.tail().read(from, upto, bounds)
    }

    /// Events of a topic from the disk: forwards from `from`, backwards from before it, within `first..next`.
    ///
    /// # Errors
    /// Where a row is damaged or missing: the rows before it were read by the call before, which ended there.
    pub fn read_log(
        &self,
        topic: &Topic,
        from: Offset,
        way: Way,
        bounds: Bounds,
    ) -> Result<Vec<Recorded>, ReadError> {
        let extent = topic.extent();
        let expected = match way {
            // A reader that a trim has overtaken is told so before it reads on.
            Way::Forward if from >= extent.first && from < extent.next => extent.next.0 - from.0,
            Way::Backward if from > extent.first => from.min(extent.next).0 - extent.first.0,
            _ => return Ok(Vec::new()),
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(keys::log(topic.id, extent.first));
        options.set_iterate_upper_bound(keys::log(topic.id, extent.next));
        if bounds.bytes >= SCAN_BYTES_MIN {
            // Compressed it is less; RocksDB would read the whole of a larger readahead for each chunk again.
            options.set_readahead_size(bounds.bytes / 2);
            options.fill_cache(false);
        }
        let mut rows = self.db.raw_iterator_cf_opt(self.family(Family::Log), options);
        let mut next = match way {
            Way::Forward => {
                rows.seek(keys::log(topic.id, from));
                from
            }
            Way::Backward => {
                let start = Offset(from.min(extent.next).0 - 1);
                rows.seek_for_prev(keys::log(topic.id, start));
                start
            }
        };
        let wanted = bounds.events.min(usize::try_from(expected).unwrap_or(usize::MAX));
        let mut chunk = Chunk::new(bounds, wanted);
        while chunk.wants_more(wanted) {
            let Some((key, row)) = rows.key().zip(rows.value()) else {
                ended(&rows).map_err(|error| chunk_error(topic, next, error))?;
                // Everything before it is good, and read first; the damage is met by the next call.
                if chunk.is_empty() && topic.extent().first <= next && !topic.is_deleted() {
                    return Err(corrupt(topic, next, "it is not there"));
                }
                break;
            };
            let header = Header::read(row).and_then(|header| {
                let is_in_place = keys::parse_log(key) == Some((topic.id, next));
                if is_in_place && header.offset == next {
                    Ok(header)
                } else {
                    Err("it is not there, or in a wrong place".into())
                }
            });
            match header {
                Ok(header) => chunk.push(header, &row[HEADER_BYTES..]),
                Err(_) if !chunk.is_empty() => break,
                Err(detail) => return Err(corrupt(topic, next, &detail)),
            }
            match way {
                Way::Forward => {
                    next = next.next();
                    rows.next();
                }
                Way::Backward => {
                    next = Offset(next.0.saturating_sub(1));
                    rows.prev();
                }
            }
        }
        Ok(chunk.finish())
    }

    /// One event.
    ///
    /// # Errors
    /// Where it is damaged or not there.
    pub fn event(&self, topic: &Topic, offset: Offset) -> Result<Recorded, ReadError> {
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Log), keys::log(topic.id, offset))
            .map_err(|error| chunk_error(topic, offset, error.into()))?
            .ok_or_else(|| corrupt(topic, offset, "it is not there"))?;
        let header = Header::read(&row).map_err(|detail| corrupt(topic, offset, &detail))?;
        Ok(header.recorded(Bytes::copy_from_slice(&row[HEADER_BYTES..])))
    }

    /// The header of an event.
    ///
    /// # Errors
    /// Where it is damaged or not there.
    pub fn header(&self, topic: TopicId, offset: Offset) -> Result<Header, ReadError> {
        let damaged = |detail: &str| ReadError::Corrupt {
            topic: format!("number {topic}"),
            offset,
            detail: detail.into(),
        };
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Log), keys::log(topic, offset))
            .map_err(|error| damaged(error.as_ref()))?
            .ok_or_else(|| damaged("it is not there"))?;
        Header::read(&row).map_err(|detail| damaged(&detail))
    }

    /// Where an identity is recorded.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn offset_of(
        &self,
        topic: &Topic,
        identity: crate::model::event::IdentityHash,
    ) -> Result<Option<Offset>, ReadError> {
        let row = self
            .db
            .get_pinned_cf(self.family(Family::Ids), keys::ids(topic.id, identity))
            .map_err(StorageError::from)?;
        let extent = topic.extent();
        Ok(row
            .and_then(|row| keys::u64_at(&row, 0).map(Offset))
            .filter(|offset| *offset >= extent.first && *offset < extent.next))
    }

    /// The version of a key's last event; 0: it has none.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn last_key_version(&self, topic: TopicId, key: &[u8]) -> Result<KeyVersion, StorageError> {
        // The first version's row is never trimmed, so most new keys are told apart by a filter, without a search.
        let first = keys::keys(topic, key, KeyVersion(1));
        if self.db.get_pinned_cf(self.family(Family::Keys), first)?.is_none() {
            return Ok(KeyVersion(0));
        }
        let row = self.key_row(topic, key, KeyVersion(u64::MAX))?;
        Ok(row.map_or(KeyVersion(0), |(version, _)| version))
    }

    /// The row of a key with the highest version up to one.
    fn key_row(
        &self,
        topic: TopicId,
        key: &[u8],
        version: KeyVersion,
    ) -> Result<Option<(KeyVersion, Offset)>, StorageError> {
        let prefix = keys::keys_prefix(topic, key);
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Keys));
        rows.seek(keys::keys(topic, key, version));
        let Some((found, value)) = rows.key().zip(rows.value()) else {
            ended(&rows)?;
            return Ok(None);
        };
        if !found.starts_with(&prefix) {
            return Ok(None);
        }
        Ok(keys::parse_keys_version(found).zip(keys::u64_at(value, 0).map(Offset)))
    }

    /// Offsets of a key's events: forwards from `from`, backwards from before it.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn key_offsets(
        &self,
        topic: &Topic,
        key: &[u8],
        from: Offset,
        way: Way,
        most: usize,
    ) -> Result<Vec<Offset>, ReadError> {
        let extent = topic.extent();
        let Some(start) = self.key_version_at(topic.id, key, from)? else { return Ok(Vec::new()) };
        let prefix = keys::keys_prefix(topic.id, key);
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Keys));
        match way {
            // Newer versions come before older ones.
            Way::Forward => rows.seek_for_prev(keys::keys(topic.id, key, start)),
            Way::Backward => rows.seek(keys::keys(topic.id, key, KeyVersion(start.0 - 1))),
        }
        let mut offsets = Vec::new();
        while offsets.len() < most {
            let Some((found, value)) = rows.key().zip(rows.value()) else {
                ended(&rows)?;
                break;
            };
            let Some(offset) = keys::u64_at(value, 0).map(Offset) else { break };
            if !found.starts_with(&prefix) || found.len() != prefix.len() + 8 {
                break;
            }
            let is_retained = offset >= extent.first && offset < extent.next;
            match way {
                Way::Forward if offset >= from && is_retained => offsets.push(offset),
                Way::Backward if offset < from && is_retained => offsets.push(offset),
                Way::Backward if offset < extent.first => break,
                _ => {}
            }
            match way {
                Way::Forward => rows.prev(),
                Way::Backward => rows.next(),
            }
        }
        Ok(offsets)
    }

    /// The first version of a key whose event is at or behind an offset; the version behind the last where none is.
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
            // Trimmed versions may have no row; what is found instead is older still, and before the offset too.
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

    /// Places of the events of a flow: forwards behind a position, backwards before it.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn correlated(
        &self,
        id: &str,
        from: Position,
        way: Way,
        most: usize,
    ) -> Result<Vec<(Position, TopicId, Offset)>, ReadError> {
        let prefix = keys::correlation_prefix(id);
        let direction = match way {
            Way::Forward => Direction::Forward,
            Way::Backward => Direction::Reverse,
        };
        let mut rows = self.db.raw_iterator_cf(self.family(Family::Correlation));
        match direction {
            Direction::Forward => rows.seek(keys::correlation(id, from.next())),
            Direction::Reverse if from.0 == 0 => return Ok(Vec::new()),
            Direction::Reverse => rows.seek_for_prev(keys::correlation(id, Position(from.0 - 1))),
        }
        let mut places = Vec::new();
        while places.len() < most {
            let Some((key, value)) = rows.key().zip(rows.value()) else {
                ended(&rows)?;
                break;
            };
            let position = key.strip_prefix(prefix.as_slice()).filter(|rest| rest.len() == 8);
            let Some(position) = position.and_then(|rest| keys::u64_at(rest, 0)) else { break };
            let place = keys::u32_at(value, 0).zip(keys::u64_at(value, 4));
            if let Some((topic, offset)) = place {
                places.push((Position(position), TopicId(topic), Offset(offset)));
            }
            match way {
                Way::Forward => rows.next(),
                Way::Backward => rows.prev(),
            }
        }
        Ok(places)
    }

    /// Where a reader can go on behind a damaged event: the last position before the next event that can be read.
    pub fn behind_damage(&self, topic: &Topic, damaged: Offset) -> Option<Position> {
        let end = topic.extent().next;
        self.readable_behind(topic, damaged, end)
            .map(|(_, header)| Position(header.position.0 - 1))
            .or_else(|| (damaged.0 + 1 >= end.0).then_some(self.watermark()))
    }
}

fn ended(rows: &DBRawIterator<'_>) -> Result<(), StorageError> {
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
    bounds: Bounds,
    bytes: BytesMut,
    headers: Vec<(Header, usize)>,
}

impl Chunk {
    fn new(bounds: Bounds, wanted: usize) -> Self {
        Self {
            bounds,
            bytes: BytesMut::with_capacity(bounds.bytes.min(wanted.saturating_mul(1024))),
            headers: Vec::with_capacity(wanted.min(1024)),
        }
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    fn wants_more(&self, wanted: usize) -> bool {
        self.headers.len() < wanted && self.bytes.len() < self.bounds.bytes
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
