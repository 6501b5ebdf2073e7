//! Removal of trimmed rows from disk, by compaction filters.
//!
//! They run whenever RocksDB rewrites a file anyway, and remove only rows that no reader can see:
//! readers are bounded by the trim point itself.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    sync::{Arc, RwLock},
};

use rocksdb::{
    CompactionDecision as Decision, Options,
    compaction_filter::CompactionFilter,
    compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory},
};

use super::{
    Family,
    big_endian::u32_at,
    rows::{correlation, ids, keys, log},
};
use crate::model::numbers::{KeyVersion, Offset, TopicId};

/// The durable first retained offset of each topic that was ever trimmed. A deleted topic retains
/// nothing.
#[derive(Debug, Default)]
pub struct TrimPoints(RwLock<Arc<HashMap<TopicId, Offset>>>);

/// The trim point of a deleted topic.
pub const EVERYTHING: Offset = Offset(u64::MAX);

impl TrimPoints {
    /// Moves a topic's trim point.
    pub fn set(&self, topic: TopicId, first: Offset) {
        let mut points = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::make_mut(&mut points).insert(topic, first);
    }

    fn snapshot(&self) -> Arc<HashMap<TopicId, Offset>> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Sets the compaction filter of a family.
pub fn install(family: Family, options: &mut Options, points: &Arc<TrimPoints>) {
    if family == Family::Meta {
        return;
    }
    options.set_compaction_filter_factory(Factory {
        family,
        points: Arc::clone(points),
        name: name(family),
    });
}

fn name(family: Family) -> CString {
    CString::new(format!("trim-{}", family.name())).unwrap_or_default()
}

struct Factory {
    family: Family,
    points: Arc<TrimPoints>,
    name: CString,
}

impl CompactionFilterFactory for Factory {
    type Filter = Filter;

    fn create(&mut self, _context: CompactionFilterContext) -> Filter {
        Filter {
            family: self.family,
            points: self.points.snapshot(),
            newest: Vec::new(),
            name: name(self.family),
        }
    }

    fn name(&self) -> &CStr {
        &self.name
    }
}

struct Filter {
    family: Family,
    points: Arc<HashMap<TopicId, Offset>>,
    /// The key of the newest row seen last.
    newest: Vec<u8>,
    name: CString,
}

impl Filter {
    fn is_trimmed(&self, topic: TopicId, offset: Offset) -> bool {
        self.points.get(&topic).is_some_and(|first| offset < *first)
    }

    fn is_deleted(&self, topic: TopicId) -> bool {
        self.points.get(&topic) == Some(&EVERYTHING)
    }

    fn removes(&mut self, key: &[u8], value: &[u8]) -> Option<bool> {
        if self.points.is_empty() {
            return None;
        }
        Some(match self.family {
            Family::Log => {
                let (topic, offset) = log::parse_key(key)?;
                self.is_trimmed(topic, offset)
            }
            Family::Ids => self.is_trimmed(TopicId(u32_at(key, 0)?), ids::parse_offset(value)?),
            Family::Correlation => {
                let (topic, offset) = correlation::parse_value(value)?;
                self.is_trimmed(topic, offset)
            }
            Family::Keys => {
                let topic = TopicId(u32_at(key, 0)?);
                let prefix = key.get(..key.len().checked_sub(8)?)?;
                let is_newest = self.newest != prefix;
                if is_newest {
                    self.newest.clear();
                    self.newest.extend_from_slice(prefix);
                }
                // The newest row keeps the version. The first one shows that the key exists (see
                // `Store::last_key_version`).
                let is_kept = is_newest || keys::parse_version(key) == Some(KeyVersion(1));
                self.is_deleted(topic)
                    || (!is_kept && self.is_trimmed(topic, keys::parse_value(value)?))
            }
            Family::Meta => false,
        })
    }
}

impl CompactionFilter for Filter {
    fn filter(&mut self, _level: u32, key: &[u8], value: &[u8]) -> Decision {
        match self.removes(key, value) {
            Some(true) => Decision::Remove,
            Some(false) | None => Decision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(family: Family) -> Filter {
        let points = TrimPoints::default();
        points.set(TopicId(1), Offset(10));
        points.set(TopicId(2), EVERYTHING);
        Filter { family, points: points.snapshot(), newest: Vec::new(), name: name(family) }
    }

    #[test]
    fn trimmed_rows_of_a_key_are_removed_except_the_newest_and_the_first() {
        let mut filter = filter(Family::Keys);
        let mut row = |topic, key: &[u8], version, offset: u64| {
            let key = keys::key(TopicId(topic), key, KeyVersion(version));
            filter.removes(&key, &offset.to_be_bytes())
        };
        assert_eq!(row(1, b"a", 4, 9), Some(false));
        assert_eq!(row(1, b"a", 3, 8), Some(true));
        assert_eq!(row(1, b"a", 1, 2), Some(false));
        assert_eq!(row(1, b"b", 2, 12), Some(false));
        assert_eq!(row(2, b"b", 2, 12), Some(true));
    }

    #[test]
    fn events_before_the_trim_point_are_removed() {
        let mut filter = filter(Family::Log);
        assert_eq!(filter.removes(&log::key(TopicId(1), Offset(9)), &[]), Some(true));
        assert_eq!(filter.removes(&log::key(TopicId(1), Offset(10)), &[]), Some(false));
        assert_eq!(filter.removes(&log::key(TopicId(3), Offset(0)), &[]), Some(false));
    }
}
