//! Commits that are written together.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rocksdb::WriteBatch;

use super::Writer;
use crate::{
    model::{
        event::{ContentHash, HEADER_BYTES, IdentityHash},
        numbers::{Offset, TopicId},
    },
    store::{
        Family, keys,
        meta::{self, State},
        row::Header,
        topics::Topic,
        trim,
    },
};

/// An event that gets its place with the group.
pub(super) struct Appended {
    pub header: Header,
    pub row: Vec<u8>,
}

/// A change of the topics that readers see when the group is written.
pub(super) enum Shown {
    Created(Arc<Topic>),
    Record(TopicId),
    Deleted(TopicId),
    Trimmed(TopicId, Offset),
}

/// Commits that are applied and not yet written.
pub struct Group {
    pub(super) batch: WriteBatch,
    pub(super) state: State,
    pub(super) sync: bool,
    /// New identities, which the database does not have yet.
    pub(super) ids: HashMap<(TopicId, IdentityHash), (Offset, ContentHash)>,
    /// New events by topic, in order. A topic's first one gives the offset that the list begins at.
    pub(super) appended: HashMap<TopicId, Vec<Appended>>,
    pub(super) shown: Vec<Shown>,
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
            shown: Vec::new(),
            changes: 0,
        }
    }

    /// How many things it changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Whether it is to be synced.
    pub fn is_synced(&self) -> bool {
        self.sync
    }

    /// How many events it appends.
    pub fn events(&self) -> usize {
        self.appended.values().map(Vec::len).sum()
    }

    pub(super) fn changed(&mut self, by: u64) {
        self.changes += by;
    }

    /// An event of this group by its place.
    pub(super) fn header(&self, topic: TopicId, offset: Offset) -> Option<Header> {
        let appended = self.appended.get(&topic)?;
        let first = appended.first()?.header.offset;
        let at = usize::try_from(offset.0.checked_sub(first.0)?).ok()?;
        Some(appended.get(at)?.header)
    }

    /// Shows the group to readers; returns the topics that somebody may wait for.
    pub(super) fn show(self, writer: &mut Writer) -> Vec<Arc<Topic>> {
        let mut touched = Vec::with_capacity(self.appended.len() + self.shown.len());
        for change in &self.shown {
            if let Shown::Created(topic) = change {
                writer.store.catalog.insert(Arc::clone(topic));
            }
        }
        for (id, appended) in self.appended {
            let Some(state) = writer.topics.get(&id) else { continue };
            let events = appended
                .into_iter()
                .map(|one| one.header.recorded(Bytes::from(one.row).slice(HEADER_BYTES..)))
                .collect();
            writer.tails.append(&state.shared, events);
            state.shared.set_end(state.end);
            touched.push(Arc::clone(&state.shared));
        }
        for change in self.shown {
            match change {
                Shown::Created(_) => {}
                Shown::Record(id) | Shown::Deleted(id) | Shown::Trimmed(id, _) => {
                    let Some(state) = writer.topics.get(&id) else { continue };
                    state.shared.set_record(&state.record);
                    touched.push(Arc::clone(&state.shared));
                    let (points, shared) = (&writer.store.trims, Arc::clone(&state.shared));
                    match change {
                        Shown::Deleted(_) => {
                            points.set(id, trim::EVERYTHING);
                            writer.store.catalog.remove(&shared);
                            writer.drop_files(id, trim::EVERYTHING);
                        }
                        Shown::Trimmed(_, first) => {
                            points.set(id, first);
                            writer.drop_files(id, first);
                        }
                        Shown::Created(_) | Shown::Record(_) => {}
                    }
                }
            }
        }
        touched
    }
}

impl Writer {
    /// The batch with the ends of what the group touched. None: there is nothing to write.
    pub(super) fn finish(&self, group: &mut Group) -> Option<WriteBatch> {
        if group.is_empty() {
            return None;
        }
        let meta_family = self.store.family(Family::Meta);
        let mut batch = std::mem::take(&mut group.batch);
        for id in group.appended.keys() {
            if let Some(state) = self.topics.get(id) {
                batch.put_cf(meta_family, meta::end_key(*id), state.end.encode());
            }
        }
        batch.put_cf(meta_family, meta::STATE_KEY, group.state.encode());
        Some(batch)
    }

    /// Adds an event's rows.
    pub(super) fn put_event(
        &self,
        batch: &mut WriteBatch,
        topic: TopicId,
        event: &crate::model::event::NewEvent,
        header: &Header,
    ) {
        let (store, offset) = (&self.store, header.offset);
        batch.put_cf(store.family(Family::Log), keys::log(topic, offset), &event.row);
        let mut held = [0; 16];
        held[..8].copy_from_slice(&offset.0.to_be_bytes());
        held[8..].copy_from_slice(&event.content.0.to_be_bytes());
        batch.put_cf(store.family(Family::Ids), keys::ids(topic, event.identity), held);
        if let Some(key) = event.key() {
            let row = keys::keys(topic, key, header.key_version);
            batch.put_cf(store.family(Family::Keys), row, offset.0.to_be_bytes());
        }
        if !event.correlation.is_empty() {
            let mut place = [0; 12];
            place[..4].copy_from_slice(&topic.0.to_be_bytes());
            place[4..].copy_from_slice(&offset.0.to_be_bytes());
            let row = keys::correlation(&event.correlation, header.position);
            batch.put_cf(store.family(Family::Correlation), row, place);
        }
    }
}
