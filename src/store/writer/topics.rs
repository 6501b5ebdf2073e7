//! Creates, updates, trims and deletes topics.

use std::sync::Arc;

use super::{Group, TopicState, Writer, group::TopicChange};
use crate::{
    model::{
        commit::{Applied, Rejected},
        name::TopicName,
        numbers::{Offset, TopicId},
        topic::TopicConfig,
    },
    store::{
        Family,
        meta::{self, TRIM_MARKS_MAX, TopicRecord, TopicTail, TrimMark},
        topics::Topic,
    },
};

impl Writer {
    pub(super) fn create_topic(
        &mut self,
        group: &mut Group,
        name: TopicName,
        config: TopicConfig,
    ) -> Result<Applied, Rejected> {
        if self.names.contains_key(name.as_str()) {
            return Err(Rejected::TopicExists);
        }
        group.state.position = group.state.position.next();
        group.state.topic = TopicId(group.state.topic.0 + 1);
        let id = group.state.topic;
        let record = TopicRecord {
            name: name.to_string(),
            created: group.state.time.0,
            revision: group.state.position.0,
            deleted: false,
            first: 0,
            first_bytes: 0,
            trims: Vec::new(),
            config,
        };
        let shared =
            Arc::new(Topic::new(id, Arc::new(name.clone()), &record, TopicTail::default()));
        shared.set_predecessor(self.predecessor(&name));
        self.put_topic(group, id, &record);
        group.topic_changes.push(TopicChange::Created(Arc::clone(&shared)));
        self.names.insert(name, id);
        let state = TopicState { shared, record, tail: TopicTail::default() };
        self.topics.insert(id, state);
        Ok(Applied::Topic(id))
    }

    pub(super) fn update_topic(
        &mut self,
        group: &mut Group,
        topic: TopicId,
        config: TopicConfig,
        revision: Option<u64>,
    ) -> Result<Applied, Rejected> {
        let mut record = self.current(topic, revision)?;
        group.state.position = group.state.position.next();
        record.config = config;
        record.revision = group.state.position.0;
        self.put_topic(group, topic, &record);
        self.replace(topic, record);
        group.topic_changes.push(TopicChange::Updated(topic));
        Ok(Applied::Topic(topic))
    }

    pub(super) fn delete_topic(
        &mut self,
        group: &mut Group,
        topic: TopicId,
        revision: Option<u64>,
    ) -> Result<Applied, Rejected> {
        let mut record = self.current(topic, revision)?;
        group.state.position = group.state.position.next();
        record.deleted = true;
        record.revision = group.state.position.0;
        record.trims.clear();
        self.names.remove(record.name.as_str());
        self.put_topic(group, topic, &record);
        self.replace(topic, record);
        group.topic_changes.push(TopicChange::Deleted(topic));
        Ok(Applied::Deleted)
    }

    pub(super) fn trim(
        &mut self,
        group: &mut Group,
        topic: TopicId,
        before: Offset,
    ) -> Result<Applied, Rejected> {
        let mut record = self.current(topic, None)?;
        let Some(tail) = self.topics.get(&topic).map(|state| state.tail) else {
            return Err(Rejected::TopicNotFound);
        };
        let before = before.min(tail.next);
        if before.0 <= record.first {
            return Ok(Applied::Trimmed { events: 0, first: Offset(record.first) });
        }
        let last = Offset(before.0 - 1);
        let header = match group.header(topic, last) {
            Some(header) => header,
            None => self
                .store
                .header(topic, last)
                .map_err(|error| Rejected::Corrupt(error.to_string()))?,
        };
        group.state.position = group.state.position.next();
        let events = before.0 - record.first;
        record.first = before.0;
        record.first_bytes = header.topic_bytes;
        record.trims.push(TrimMark {
            at: group.state.position.0,
            first: before.0,
            removed: header.position.0,
            time: header.append_time.0,
        });
        if record.trims.len() > TRIM_MARKS_MAX {
            record.trims.remove(0);
        }
        self.put_topic(group, topic, &record);
        self.replace(topic, record);
        group.topic_changes.push(TopicChange::Trimmed(topic, before));
        Ok(Applied::Trimmed { events, first: before })
    }

    fn current(&self, topic: TopicId, revision: Option<u64>) -> Result<TopicRecord, Rejected> {
        let record = match self.topics.get(&topic) {
            Some(state) if !state.record.deleted => &state.record,
            _ => return Err(Rejected::TopicNotFound),
        };
        match revision {
            Some(revision) if revision != record.revision => {
                Err(Rejected::RevisionMismatch { actual: record.revision })
            }
            _ => Ok(record.clone()),
        }
    }

    fn replace(&mut self, topic: TopicId, record: TopicRecord) {
        if let Some(state) = self.topics.get_mut(&topic) {
            state.record = record;
        }
    }

    fn put_topic(&self, group: &mut Group, topic: TopicId, record: &TopicRecord) {
        let json = serde_json::to_vec(record).unwrap_or_default();
        assert!(!json.is_empty(), "a topic's record has no value that JSON cannot hold");
        group.batch.put_cf(self.store.family(Family::Meta), meta::topic_key(topic), json);
        let old_weight = self.topics.get(&topic).map_or(0, |state| state.record.weight());
        group.state.replace_row_weight(old_weight, record.weight());
        group.changed(1);
    }
}
