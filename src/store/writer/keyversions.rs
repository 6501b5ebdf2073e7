//! The last versions of the keys that were written lately.

use std::collections::HashMap;

use crate::model::numbers::{KeyVersion, TopicId};

/// Keys in one generation; two are kept. With keys of 32 bytes that is about 16 MiB at the most.
const GENERATION_KEYS: usize = 64 << 10;

type Key = (TopicId, Box<[u8]>);

/// A cache in two generations: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub struct KeyVersions {
    young: HashMap<Key, KeyVersion>,
    old: HashMap<Key, KeyVersion>,
}

impl KeyVersions {
    /// The version, where it is known.
    pub fn get(&self, topic: TopicId, key: &[u8]) -> Option<KeyVersion> {
        let key = (topic, Box::from(key));
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Remembers a version.
    pub fn set(&mut self, topic: TopicId, key: &[u8], version: KeyVersion) {
        self.young.insert((topic, Box::from(key)), version);
    }

    /// Forgets the oldest, between groups: within a group nothing is forgotten, for it is not on disk yet.
    pub fn trim(&mut self) {
        if self.young.len() >= GENERATION_KEYS {
            self.old = std::mem::take(&mut self.young);
        }
    }
}
