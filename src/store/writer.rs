//! Applying commits: strictly in order, deterministically, in groups of which each becomes one batch of RocksDB.
//!
//! A commit is applied against the state behind the commits before it, also those of its own group that are not
//! written yet: the writer keeps the ends of topics, and the group its new identities, in memory.

mod group;
mod keyversions;
mod publish;
mod topics;

use std::{collections::HashMap, sync::Arc};

use rocksdb::WriteOptions;

use super::{
    StorageError, Store, keys,
    meta::{End, State, TopicRecord},
    tail::Tails,
    topics::{Predecessor, Topic},
    witness::Witness,
};
use crate::model::{
    commit::{Action, Applied, Commit, Durability, Rejected},
    name::TopicName,
    numbers::{Offset, TopicId},
};

pub use group::Group;
use keyversions::KeyVersions;

/// A topic as the writer knows it: ahead of what readers see by the group that is being built.
struct TopicState {
    shared: Arc<Topic>,
    record: TopicRecord,
    end: End,
}

/// The one who writes.
pub struct Writer {
    store: Arc<Store>,
    state: State,
    topics: HashMap<TopicId, TopicState>,
    names: HashMap<TopicName, TopicId>,
    key_versions: KeyVersions,
    tails: Tails,
    witness: Witness,
    /// Something is written that is not synced.
    unsynced: bool,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        state: State,
        topics: Vec<(Arc<Topic>, TopicRecord, End)>,
        witness: Witness,
        tail_bytes: usize,
    ) -> Self {
        let mut writer = Self {
            store,
            state,
            topics: HashMap::new(),
            names: HashMap::new(),
            key_versions: KeyVersions::default(),
            tails: Tails::new(tail_bytes),
            witness,
            unsynced: true,
        };
        writer.load(topics);
        writer
    }

    fn load(&mut self, topics: Vec<(Arc<Topic>, TopicRecord, End)>) {
        for (shared, record, end) in topics {
            if !record.deleted {
                self.names.insert(TopicName::clone(&shared.name), shared.id);
            }
            self.topics.insert(shared.id, TopicState { shared, record, end });
        }
        let mut deleted: HashMap<&str, Predecessor> = HashMap::new();
        for state in self.topics.values() {
            let Some(one) = Predecessor::of(&state.record, &state.end) else { continue };
            let last = deleted.entry(&state.record.name).or_insert(one);
            if last.deleted < one.deleted {
                *last = one;
            }
        }
        for id in self.names.values() {
            let Some(state) = self.topics.get(id) else { continue };
            state.shared.set_predecessor(deleted.get(state.record.name.as_str()).copied());
        }
    }

    /// The last deleted topic of a name that had events.
    fn predecessor(&self, name: &TopicName) -> Option<Predecessor> {
        let of_name = self.topics.values().filter(|state| state.record.name == name.as_str());
        of_name
            .filter_map(|state| Predecessor::of(&state.record, &state.end))
            .max_by_key(|it| it.deleted)
    }

    /// What is written to.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Begins a group.
    pub fn begin(&mut self) -> Group {
        self.key_versions.trim();
        Group::new(self.state)
    }

    /// Applies a commit behind those that the group has.
    ///
    /// # Errors
    /// Why it changed nothing.
    pub fn apply(&mut self, group: &mut Group, commit: Commit) -> Result<Applied, Rejected> {
        let Commit { action, time, durability } = commit;
        if durability == Durability::Synced {
            // Also where nothing is new: a repetition is answered when what it repeats is on disk.
            group.sync |= self.unsynced || !group.is_empty();
        }
        // Time never goes back over positions.
        group.state.time = group.state.time.max(time);
        let before = group.changes();
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
        if durability == Durability::Synced && group.changes() > before {
            group.sync = true;
        }
        applied
    }

    /// Writes a group in one batch, and syncs it where one of its commits asks for that.
    ///
    /// # Errors
    /// Where the disk fails: nobody knows then what of the group is on it.
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
            self.witness.note(group.state.position, group.state.events)?;
        }
        Ok(())
    }

    /// Shows a written group to readers: tails first, then the ends of topics, then the watermark.
    pub fn show(&mut self, group: Group) {
        self.state = group.state;
        let touched = group.show(self);
        self.store.watermark.send_replace(self.state.position);
        for topic in touched {
            topic.notify();
        }
    }

    /// Reads everything again from the store, after a group of which nobody knows what became of it.
    ///
    /// # Errors
    /// Where that fails too.
    pub fn reload(&mut self) -> Result<(), StorageError> {
        let loaded = super::open::load(&self.store.db).map_err(|error| StorageError {
            message: error.to_string(),
            no_space: false,
            corrupt: true,
        })?;
        self.key_versions = KeyVersions::default();
        self.names.clear();
        let known = std::mem::take(&mut self.topics);
        let mut topics = Vec::new();
        for (id, record, end) in loaded.topics {
            let shared = match known.get(&id) {
                Some(state) => Arc::clone(&state.shared),
                None => {
                    let topic = super::open::topic(id, &record, end);
                    if !record.deleted {
                        self.store.catalog.insert(Arc::clone(&topic));
                    }
                    topic
                }
            };
            shared.set_record(&record);
            shared.set_end(end);
            shared.tail().restart(end.next);
            topics.push((shared, record, end));
        }
        self.tails.forget();
        self.state = loaded.state;
        self.load(topics);
        self.store.watermark.send_replace(self.state.position);
        self.unsynced = true;
        Ok(())
    }

    /// The last position, and how many events there ever were.
    pub fn state(&self) -> State {
        self.state
    }

    /// What syncs the witness from another thread.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn witness_handle(&self) -> std::io::Result<std::fs::File> {
        self.witness.handle()
    }

    /// Puts everything on disk, for a close in order.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.store.sync()?;
        let families = super::Family::ALL.map(|family| family.of(&self.store.db));
        self.store.db.flush_cfs_opt(&families, &rocksdb::FlushOptions::default())?;
        self.witness.note(self.state.position, self.state.events)?;
        self.witness.sync()?;
        self.store.directory.write_clean(self.store.server, self.state.position)?;
        Ok(())
    }

    /// Gives back the space of whole files in which nothing is retained.
    fn drop_files(&self, topic: TopicId, before: Offset) {
        // RocksDB takes the range with both of its ends: the first retained event must not be in it.
        let last = Offset(before.0.saturating_sub(1));
        let (from, to) = (keys::log(topic, Offset(0)), keys::log(topic, last));
        if let Err(error) =
            self.store.db.delete_file_in_range_cf(self.store.family(super::Family::Log), from, to)
        {
            tracing::warn!(%topic, %error, "space of trimmed events was not given back yet");
        }
    }
}
