//! Applies commits: strictly in order, deterministically, in groups that each become one batch of
//! RocksDB.
//!
//! A commit is applied to the state after all commits before it, including those of its own group
//! that are not written yet: the writer keeps the tails of topics in memory, and the group its new
//! identities.

mod group;
mod keyversions;
mod publish;
mod topics;

use std::{collections::HashMap, sync::Arc};

use rocksdb::WriteOptions;

use super::{
    StorageError, Store,
    durable_mark::DurableMarkFile,
    meta::{State, TopicRecord, TopicTail},
    rows::log,
    tail::TailCaches,
    topics::{Predecessor, Topic},
};
use crate::model::{
    commit::{Action, Applied, Commit, Durability, Rejected},
    name::TopicName,
    numbers::{Offset, TopicId},
};

pub use group::Group;
use keyversions::KeyVersions;

/// The state of a topic in the writer: ahead of the visible state by the group that is being built.
struct TopicState {
    shared: Arc<Topic>,
    record: TopicRecord,
    tail: TopicTail,
}

/// Applies commits and writes them.
pub struct Writer {
    store: Arc<Store>,
    state: State,
    topics: HashMap<TopicId, TopicState>,
    names: HashMap<TopicName, TopicId>,
    key_versions: KeyVersions,
    tails: TailCaches,
    durable_mark: DurableMarkFile,
    /// Whether a write is not synced yet.
    unsynced: bool,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        state: State,
        topics: Vec<(Arc<Topic>, TopicRecord, TopicTail)>,
        durable_mark: DurableMarkFile,
        tail_bytes: usize,
    ) -> Self {
        let mut writer = Self {
            store,
            state,
            topics: HashMap::new(),
            names: HashMap::new(),
            key_versions: KeyVersions::default(),
            tails: TailCaches::new(tail_bytes),
            durable_mark,
            unsynced: true,
        };
        writer.load(topics);
        writer
    }

    fn load(&mut self, topics: Vec<(Arc<Topic>, TopicRecord, TopicTail)>) {
        for (shared, record, tail) in topics {
            if !record.deleted {
                self.names.insert(TopicName::clone(&shared.name), shared.id);
            }
            self.topics.insert(shared.id, TopicState { shared, record, tail });
        }
        let mut deleted: HashMap<&str, Predecessor> = HashMap::new();
        for state in self.topics.values() {
            let Some(topic) = Predecessor::of(&state.record, &state.tail) else { continue };
            let last = deleted.entry(&state.record.name).or_insert(topic);
            if last.deleted < topic.deleted {
                *last = topic;
            }
        }
        for id in self.names.values() {
            let Some(state) = self.topics.get(id) else { continue };
            state.shared.set_predecessor(deleted.get(state.record.name.as_str()).copied());
        }
    }

    /// The last deleted topic with a name that had events.
    fn predecessor(&self, name: &TopicName) -> Option<Predecessor> {
        let of_name = self.topics.values().filter(|state| state.record.name == name.as_str());
        of_name
            .filter_map(|state| Predecessor::of(&state.record, &state.tail))
            .max_by_key(|topic| topic.deleted)
    }

    /// The store that it writes.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Begins a group.
    pub fn begin(&mut self) -> Group {
        self.key_versions.trim();
        Group::new(self.state)
    }

    /// Applies a commit after those of the group.
    ///
    /// # Errors
    /// Returns why the commit changed nothing.
    pub fn apply(&mut self, group: &mut Group, commit: Commit) -> Result<Applied, Rejected> {
        let Commit { action, time, durability } = commit;
        if durability == Durability::Synced {
            // Also if nothing is new: a duplicate is acknowledged only when the event that it
            // repeats is synced.
            group.sync |= self.unsynced || !group.is_empty();
        }
        // Append time never decreases over positions.
        group.state.time = group.state.time.max(time);
        let changes_before = group.changes();
        let applied = match action {
            Action::Publish { topic, events, conditions, validate_only } => {
                self.publish(group, topic, events, &conditions, validate_only)
            }
            Action::CreateTopic { name, config } => self.create_topic(group, name, config),
            Action::UpdateTopic { topic, config, revision } => {
                self.update_topic(group, topic, config, revision)
            }
            Action::DeleteTopic { topic, revision } => self.delete_topic(group, topic, revision),
            Action::Trim { topic, before } => self.trim(group, topic, before),
        };
        if durability == Durability::Synced && group.changes() > changes_before {
            group.sync = true;
        }
        applied
    }

    /// Writes a group in one batch, and syncs it if one of its commits requires that.
    ///
    /// # Errors
    /// Returns the error of the disk. It is unknown then how much of the group is on disk.
    pub fn write(&mut self, group: &mut Group) -> Result<(), StorageError> {
        let batch = self.finish(group);
        if let Some(batch) = batch {
            let mut options = WriteOptions::default();
            options.set_sync(group.sync);
            self.store.db.write_opt(batch, &options)?;
            self.unsynced = !group.sync;
        } else if group.sync && self.unsynced {
            self.store.sync()?;
            self.unsynced = false;
        }
        if group.sync {
            self.durable_mark.write(group.state.position, group.state.events)?;
        }
        Ok(())
    }

    /// Makes a written group visible to readers: first the tail caches, then the topic tails, then
    /// the watermark.
    pub fn make_visible(&mut self, group: Group) {
        self.state = group.state;
        let changed_topics = group.make_visible(self);
        self.store.watermark.send_replace(self.state.position);
        for topic in changed_topics {
            topic.notify();
        }
    }

    /// Reloads the state from the store, after a group whose result is unknown.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub fn reload(&mut self) -> Result<(), StorageError> {
        let loaded = super::open::load(&self.store.db).map_err(|error| StorageError {
            message: error.to_string(),
            no_space: false,
            corrupt: true,
        })?;
        self.key_versions = KeyVersions::default();
        self.names.clear();
        let previous = std::mem::take(&mut self.topics);
        let mut topics = Vec::new();
        for (id, record, tail) in loaded.topics {
            let shared = match previous.get(&id) {
                Some(state) => Arc::clone(&state.shared),
                None => {
                    let topic = super::open::topic(id, &record, tail);
                    if !record.deleted {
                        self.store.catalog.insert(Arc::clone(&topic));
                    }
                    topic
                }
            };
            shared.set_record(&record);
            shared.set_topic_tail(tail);
            shared.tail().lock().restart(tail.next);
            topics.push((shared, record, tail));
        }
        self.tails.clear();
        self.state = loaded.state;
        self.load(topics);
        self.store.watermark.send_replace(self.state.position);
        self.unsynced = true;
        Ok(())
    }

    /// The last position, and the number of events ever appended.
    pub fn state(&self) -> State {
        self.state
    }

    /// A file handle to sync the durable mark from another thread.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn durable_mark_handle(&self) -> std::io::Result<std::fs::File> {
        self.durable_mark.handle()
    }

    /// Syncs and flushes everything, for a clean close.
    ///
    /// # Errors
    /// Returns the error of the disk.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.store.sync()?;
        let families = super::Family::ALL.map(|family| family.of(&self.store.db));
        self.store.db.flush_cfs_opt(&families, &rocksdb::FlushOptions::default())?;
        self.durable_mark.write(self.state.position, self.state.events)?;
        self.durable_mark.sync()?;
        self.store.directory.write_clean(self.store.server, self.state.position)?;
        Ok(())
    }

    /// Deletes whole files that have only trimmed events.
    fn drop_files(&self, topic: TopicId, before: Offset) {
        // RocksDB deletes an inclusive range: the first retained event must not be in it.
        let last = Offset(before.0.saturating_sub(1));
        let (from, to) = (log::key(topic, Offset(0)), log::key(topic, last));
        if let Err(error) =
            self.store.db.delete_file_in_range_cf(self.store.family(super::Family::Log), from, to)
        {
            tracing::warn!(%topic, %error, "space of trimmed events was not freed yet");
        }
    }
}
