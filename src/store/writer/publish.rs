//! Appends a batch: checks for duplicates first, then conflicts, then refusals, then conditions,
//! and then assigns placements.

use std::collections::HashMap;

use super::{Group, Writer, group::AppendedEvent};
use crate::{
    model::{
        commit::{Applied, Condition, FailedCondition, IdConflict, Placement, Rejected},
        event::{ContentHash, IdentityHash, NewEvent},
        numbers::{KeyVersion, Offset, Position, TopicId},
    },
    store::{
        Family,
        rows::{ids, log::Header},
    },
};

/// Whether an event of a batch is new.
enum EventStatus {
    /// Recorded before.
    Recorded(Placement),
    /// A repetition of the event with this index of the batch.
    RepeatedInBatch(usize),
    New,
}

impl Writer {
    pub(super) fn publish(
        &mut self,
        group: &mut Group,
        topic: TopicId,
        events: Vec<NewEvent>,
        conditions: &[Condition],
        validate_only: bool,
    ) -> Result<Applied, Rejected> {
        match self.topics.get(&topic) {
            Some(state) if !state.record.deleted => {}
            _ => return Err(Rejected::TopicNotFound),
        }
        let statuses = self.find_duplicates(group, topic, &events)?;
        let mut rejected = Vec::new();
        let mut has_new = false;
        for (index, (event, status)) in events.iter().zip(&statuses).enumerate() {
            if matches!(status, EventStatus::New) {
                has_new = true;
                rejected.extend(event.refusal.clone().map(|refusal| (index, refusal)));
            }
        }
        if !rejected.is_empty() {
            return Err(Rejected::Refused(rejected));
        }
        if has_new {
            self.check(topic, conditions)?;
        }
        if validate_only {
            return self
                .preview_placements(group, topic, &events, &statuses)
                .map(Applied::Published);
        }
        self.append(group, topic, events, &statuses).map(Applied::Published)
    }

    fn find_duplicates(
        &self,
        group: &Group,
        topic: TopicId,
        events: &[NewEvent],
    ) -> Result<Vec<EventStatus>, Rejected> {
        let mut statuses = Vec::with_capacity(events.len());
        let mut conflicts = Vec::new();
        let mut in_batch: HashMap<IdentityHash, (usize, ContentHash)> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            let mut conflict = |first| {
                conflicts.push(IdConflict { index, id: event.id.clone(), first });
                EventStatus::New
            };
            let status = match self.find_identity(group, topic, event.identity)? {
                Some((offset, content)) => {
                    let placement =
                        Placement { duplicate: true, ..self.placement(group, topic, offset)? };
                    if content == event.content {
                        EventStatus::Recorded(placement)
                    } else {
                        conflict(Some(placement))
                    }
                }
                None if events.len() == 1 => EventStatus::New,
                None => match in_batch.get(&event.identity) {
                    Some((first, content)) if *content == event.content => {
                        EventStatus::RepeatedInBatch(*first)
                    }
                    Some(_) => conflict(None),
                    None => {
                        in_batch.insert(event.identity, (index, event.content));
                        EventStatus::New
                    }
                },
            };
            statuses.push(status);
        }
        if conflicts.is_empty() { Ok(statuses) } else { Err(Rejected::IdConflict(conflicts)) }
    }

    /// The offset and content of the recorded event with an identity.
    fn find_identity(
        &self,
        group: &Group,
        topic: TopicId,
        identity: IdentityHash,
    ) -> Result<Option<(Offset, ContentHash)>, Rejected> {
        let first = self.topics.get(&topic).map_or(0, |state| state.record.first);
        let identity_row = match group.ids.get(&(topic, identity)) {
            Some(identity_row) => Some(*identity_row),
            None => {
                let family = self.store.family(Family::Ids);
                let row = self
                    .store
                    .db
                    .get_pinned_cf(family, ids::key(topic, identity))
                    .map_err(|error| Rejected::Corrupt(format!("an identity: {error}")))?;
                row.and_then(|row| ids::parse_value(&row))
            }
        };
        // The identity of a trimmed event is unknown, whether or not its row still exists.
        Ok(identity_row.filter(|(offset, _)| offset.0 >= first))
    }

    fn placement(
        &self,
        group: &Group,
        topic: TopicId,
        offset: Offset,
    ) -> Result<Placement, Rejected> {
        let header = match group.header(topic, offset) {
            Some(header) => header,
            None => self
                .store
                .header(topic, offset)
                .map_err(|error| Rejected::Corrupt(error.to_string()))?,
        };
        Ok(placement(&header))
    }

    /// The version of a key after all commits applied so far.
    fn key_version(&mut self, topic: TopicId, key: &[u8]) -> Result<KeyVersion, Rejected> {
        if let Some(version) = self.key_versions.get(topic, key) {
            return Ok(version);
        }
        let version = self
            .store
            .last_key_version(topic, key)
            .map_err(|error| Rejected::Corrupt(format!("the versions of a key: {error}")))?;
        self.key_versions.set(topic, key, version);
        Ok(version)
    }

    fn check(&mut self, topic: TopicId, conditions: &[Condition]) -> Result<(), Rejected> {
        let mut failed = Vec::new();
        for condition in conditions {
            match condition {
                Condition::KeyVersion { key, version: expected } => {
                    let actual = self.key_version(topic, key.as_bytes())?;
                    if actual != *expected {
                        failed.push(FailedCondition::KeyVersion {
                            key: key.clone(),
                            expected: *expected,
                            actual,
                        });
                    }
                }
                Condition::TopicEnd(expected) => {
                    let actual = self.topics.get(&topic).map_or(Offset(0), |state| state.tail.next);
                    if actual != *expected {
                        failed.push(FailedCondition::TopicEnd { expected: *expected, actual });
                    }
                }
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Rejected::Conditions(failed)) }
    }

    fn append(
        &mut self,
        group: &mut Group,
        topic: TopicId,
        events: Vec<NewEvent>,
        statuses: &[EventStatus],
    ) -> Result<Vec<Placement>, Rejected> {
        // Lookups that may fail come first, because a commit is applied completely or not at all.
        // The versions looked up here are cached, so that no version is incremented before all of
        // them are known.
        for (event, status) in events.iter().zip(statuses) {
            if let (EventStatus::New, Some(key)) = (status, event.key()) {
                self.key_version(topic, key)?;
            }
        }
        let mut versions = Vec::with_capacity(events.len());
        for (event, status) in events.iter().zip(statuses) {
            versions.push(match (status, event.key()) {
                (EventStatus::New, Some(key)) => {
                    let version = KeyVersion(self.key_version(topic, key)?.0 + 1);
                    self.key_versions.set(topic, key, version);
                    version
                }
                _ => KeyVersion(0),
            });
        }
        let mut batch = std::mem::take(&mut group.batch);
        let mut appended = group.appended.remove(&topic).unwrap_or_default();
        let mut placements = Vec::with_capacity(events.len());
        let Some(mut tail) = self.topics.get(&topic).map(|state| state.tail) else {
            return Err(Rejected::TopicNotFound);
        };
        for ((mut event, status), key_version) in events.into_iter().zip(statuses).zip(versions) {
            let placement = match status {
                EventStatus::Recorded(placement) => *placement,
                EventStatus::RepeatedInBatch(first) => {
                    Placement { duplicate: true, ..placements[*first] }
                }
                EventStatus::New => {
                    group.state.position = group.state.position.next();
                    group.state.events += 1;
                    tail.bytes += event.encoded().len() as u64;
                    let header = Header {
                        key: event.key,
                        schema_id: event.schema_id,
                        times_checked: event.times_checked,
                        position: group.state.position,
                        key_version,
                        append_time: group.state.time,
                        topic_bytes: tail.bytes,
                        offset: tail.next,
                    };
                    header.write(&mut event.row);
                    self.put_event(&mut batch, topic, &event, &header);
                    group.ids.insert((topic, event.identity), (tail.next, event.content));
                    tail.next = tail.next.next();
                    tail.time = header.append_time;
                    tail.position = header.position;
                    appended.push(AppendedEvent { header, row: event.row });
                    group.changed(1);
                    placement(&header)
                }
            };
            placements.push(placement);
        }
        group.batch = batch;
        if !appended.is_empty() {
            group.appended.insert(topic, appended);
        }
        if let Some(state) = self.topics.get_mut(&topic) {
            group.state.replace_row_weight(state.tail.weight(), tail.weight());
            state.tail = tail;
        }
        Ok(placements)
    }

    /// The placements that a batch would get if it were appended now.
    fn preview_placements(
        &mut self,
        group: &Group,
        topic: TopicId,
        events: &[NewEvent],
        statuses: &[EventStatus],
    ) -> Result<Vec<Placement>, Rejected> {
        let mut next = self.topics.get(&topic).map_or(Offset(0), |state| state.tail.next);
        let mut versions: HashMap<&[u8], KeyVersion> = HashMap::new();
        let mut placements: Vec<Placement> = Vec::with_capacity(events.len());
        for (event, status) in events.iter().zip(statuses) {
            let placement = match status {
                EventStatus::Recorded(placement) => *placement,
                EventStatus::RepeatedInBatch(first) => {
                    Placement { duplicate: true, ..placements[*first] }
                }
                EventStatus::New => {
                    let offset = next;
                    next = next.next();
                    let key_version = match event.key() {
                        None => KeyVersion(0),
                        Some(key) => {
                            let before = match versions.get(key) {
                                Some(version) => *version,
                                None => self.key_version(topic, key)?,
                            };
                            versions.insert(key, KeyVersion(before.0 + 1));
                            KeyVersion(before.0 + 1)
                        }
                    };
                    Placement {
                        offset,
                        key_version,
                        position: Position(0),
                        append_time: group.state.time,
                        duplicate: false,
                        schema_id: event.schema_id,
                    }
                }
            };
            placements.push(placement);
        }
        Ok(placements)
    }
}

fn placement(header: &Header) -> Placement {
    Placement {
        offset: header.offset,
        position: header.position,
        key_version: header.key_version,
        append_time: header.append_time,
        duplicate: false,
        schema_id: header.schema_id,
    }
}
