//! A cache of the last versions of recently written keys.

use std::collections::HashMap;

use crate::model::numbers::{KeyVersion, TopicId};

/// Keys per generation. Two generations are kept. With keys of 32 bytes that is at most about 16
/// MiB.
const GENERATION_KEYS: usize = 64 << 10;

type Key = (TopicId, Box<[u8]>);

/// A cache in two generations: a full young generation becomes the old one, and the old one is
/// dropped.
#[derive(Debug, Default)]
pub struct KeyVersions {
    young: HashMap<Key, KeyVersion>,
    old: HashMap<Key, KeyVersion>,
}

impl KeyVersions {
    /// The cached version of a key.
    pub fn get(&self, topic: TopicId, key: &[u8]) -> Option<KeyVersion> {
        let key = (topic, Box::from(key));
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Caches the version of a key.
    pub fn set(&mut self, topic: TopicId, key: &[u8], version: KeyVersion) {
        self.young.insert((topic, Box::from(key)), version);
    }

    /// Drops the old generation, between groups only: versions of the current group are not on disk
    /// yet.
    pub fn trim(&mut self) {
        if self.young.len() >= GENERATION_KEYS {
            self.old = std::mem::take(&mut self.young);
        }
    }
}
