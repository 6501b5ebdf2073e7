//! Commits that are written together in one batch.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rocksdb::WriteBatch;

use super::Writer;
use crate::{
    model::{
        event::{ContentHash, HEADER_BYTES, IdentityHash, NewEvent},
        numbers::{Offset, TopicId},
    },
    store::{
        Family,
        meta::{self, State},
        rows::{
            correlation, ids, keys,
            log::{self, Header},
        },
        topics::Topic,
        trim,
    },
};

/// An event that the group appends.
pub(super) struct AppendedEvent {
    pub header: Header,
    pub row: Vec<u8>,
}

/// A change of a topic that becomes visible when the group is written.
pub(super) enum TopicChange {
    Created(Arc<Topic>),
    Updated(TopicId),
    Deleted(TopicId),
    Trimmed(TopicId, Offset),
}

/// Commits that are applied but not written.
pub struct Group {
    pub(super) batch: WriteBatch,
    pub(super) state: State,
    pub(super) sync: bool,
    /// New identities, which are not in the database yet.
    pub(super) ids: HashMap<(TopicId, IdentityHash), (Offset, ContentHash)>,
    /// New events by topic, in order of offsets.
    pub(super) appended: HashMap<TopicId, Vec<AppendedEvent>>,
    pub(super) topic_changes: Vec<TopicChange>,
    changes: u64,
}

impl Group {
    pub(super) fn new(state: State) -> Self {
        Self {
            batch: WriteBatch::default(),
            state,
            sync: false,
            ids: HashMap::new(),
            appended: HashMap::new(),
            topic_changes: Vec::new(),
            changes: 0,
        }
    }

    /// Number of changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether the group changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Whether the group must be synced.
    pub fn is_synced(&self) -> bool {
        self.sync
    }

    /// Number of events that it appends.
    pub fn events(&self) -> usize {
        self.appended.values().map(Vec::len).sum()
    }

    pub(super) fn changed(&mut self, count: u64) {
        self.changes += count;
    }

    /// The header of an event of this group.
    pub(super) fn header(&self, topic: TopicId, offset: Offset) -> Option<Header> {
        let appended = self.appended.get(&topic)?;
        let first = appended.first()?.header.offset;
        let at = usize::try_from(offset.0.checked_sub(first.0)?).ok()?;
        Some(appended.get(at)?.header)
    }

    /// Makes the group visible to readers. Returns the topics whose listeners must be notified.
    pub(super) fn make_visible(self, writer: &mut Writer) -> Vec<Arc<Topic>> {
        let mut changed_topics = Vec::with_capacity(self.appended.len() + self.topic_changes.len());
        for change in &self.topic_changes {
            if let TopicChange::Created(topic) = change {
                writer.store.catalog.insert(Arc::clone(topic));
            }
        }
        for (id, appended) in self.appended {
            let Some(state) = writer.topics.get(&id) else { continue };
            let events = appended
                .into_iter()
                .map(|event| event.header.recorded(Bytes::from(event.row).slice(HEADER_BYTES..)))
                .collect();
            writer.tails.append(state.shared.tail(), events);
            state.shared.set_topic_tail(state.tail);
            changed_topics.push(Arc::clone(&state.shared));
        }
        for change in self.topic_changes {
            match change {
                TopicChange::Created(_) => {}
                TopicChange::Updated(id)
                | TopicChange::Deleted(id)
                | TopicChange::Trimmed(id, _) => {
                    let Some(state) = writer.topics.get(&id) else { continue };
                    state.shared.set_record(&state.record);
                    changed_topics.push(Arc::clone(&state.shared));
                    let (points, shared) = (&writer.store.trims, Arc::clone(&state.shared));
                    match change {
                        TopicChange::Deleted(_) => {
                            points.set(id, trim::EVERYTHING);
                            writer.store.catalog.remove(&shared);
                            writer.drop_files(id, trim::EVERYTHING);
                        }
                        TopicChange::Trimmed(_, first) => {
                            points.set(id, first);
                            writer.drop_files(id, first);
                        }
                        TopicChange::Created(_) | TopicChange::Updated(_) => {}
                    }
                }
            }
        }
        changed_topics
    }
}

impl Writer {
    /// The batch, completed with the tails of the changed topics and the state. None: there is
    /// nothing to write.
    pub(super) fn finish(&self, group: &mut Group) -> Option<WriteBatch> {
        if group.is_empty() {
            return None;
        }
        let meta_family = self.store.family(Family::Meta);
        let mut batch = std::mem::take(&mut group.batch);
        for id in group.appended.keys() {
            if let Some(state) = self.topics.get(id) {
                batch.put_cf(meta_family, meta::tail_key(*id), state.tail.encode());
            }
        }
        batch.put_cf(meta_family, meta::STATE_KEY, group.state.encode());
        Some(batch)
    }

    /// Adds the rows of an event.
    pub(super) fn put_event(
        &self,
        batch: &mut WriteBatch,
        topic: TopicId,
        event: &NewEvent,
        header: &Header,
    ) {
        let (store, offset) = (&self.store, header.offset);
        batch.put_cf(store.family(Family::Log), log::key(topic, offset), &event.row);
        let (key, value) = (ids::key(topic, event.identity), ids::value(offset, event.content));
        batch.put_cf(store.family(Family::Ids), key, value);
        if let Some(key) = event.key() {
            let key = keys::key(topic, key, header.key_version);
            batch.put_cf(store.family(Family::Keys), key, keys::value(offset));
        }
        if !event.correlation.is_empty() {
            let key = correlation::key(&event.correlation, header.position);
            let value = correlation::value(topic, offset);
            batch.put_cf(store.family(Family::Correlation), key, value);
        }
    }
}
