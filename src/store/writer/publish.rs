//! Appending a batch: duplicates first, then conflicts, then refusals, then conditions, then places.

use std::collections::HashMap;

use super::{Group, Writer, group::Appended};
use crate::{
    model::{
        commit::{Applied, Condition, FailedCondition, IdConflict, Place, Rejected},
        event::{ContentHash, IdentityHash, NewEvent},
        numbers::{KeyVersion, Offset, TopicId},
    },
    store::{Family, keys, row::Header},
};

/// What an event of a batch turned out to be.
enum Found {
    /// Recorded before.
    Before(Place),
    /// The same as an earlier one of the batch.
    Within(usize),
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
            _ => return Err(Rejected::TopicGone),
        }
        let found = self.recognise(group, topic, &events)?;
        let mut refused = Vec::new();
        let mut is_new = false;
        for (index, (event, found)) in events.iter().zip(&found).enumerate() {
            if matches!(found, Found::New) {
                is_new = true;
                refused.extend(event.refusal.clone().map(|refusal| (index, refusal)));
            }
        }
        if !refused.is_empty() {
            return Err(Rejected::Refused(refused));
        }
        if is_new {
            self.check(topic, conditions)?;
        }
        if validate_only {
            return self.foresee(group, topic, &events, &found).map(Applied::Published);
        }
        self.append(group, topic, events, &found).map(Applied::Published)
    }

    fn recognise(
        &self,
        group: &Group,
        topic: TopicId,
        events: &[NewEvent],
    ) -> Result<Vec<Found>, Rejected> {
        let mut found = Vec::with_capacity(events.len());
        let mut conflicts = Vec::new();
        let mut within: HashMap<IdentityHash, (usize, ContentHash)> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            let mut conflict = |first| {
                conflicts.push(IdConflict { index, id: event.id.clone(), first });
                Found::New
            };
            let one = match self.recorded(group, topic, event.identity)? {
                Some((offset, content)) => {
                    let place = Place { duplicate: true, ..self.place(group, topic, offset)? };
                    if content == event.content {
                        Found::Before(place)
                    } else {
                        conflict(Some(place))
                    }
                }
                None if events.len() == 1 => Found::New,
                None => match within.get(&event.identity) {
                    Some((first, content)) if *content == event.content => Found::Within(*first),
                    Some(_) => conflict(None),
                    None => {
                        within.insert(event.identity, (index, event.content));
                        Found::New
                    }
                },
            };
            found.push(one);
        }
        if conflicts.is_empty() { Ok(found) } else { Err(Rejected::IdConflict(conflicts)) }
    }

    /// Where an identity is recorded, with its content.
    fn recorded(
        &self,
        group: &Group,
        topic: TopicId,
        identity: IdentityHash,
    ) -> Result<Option<(Offset, ContentHash)>, Rejected> {
        let first = self.topics.get(&topic).map_or(0, |state| state.record.first);
        let held = match group.ids.get(&(topic, identity)) {
            Some(held) => Some(*held),
            None => {
                let family = self.store.family(Family::Ids);
                let row = self
                    .store
                    .db
                    .get_pinned_cf(family, keys::ids(topic, identity))
                    .map_err(|error| Rejected::Corrupt(format!("an identity: {error}")))?;
                row.and_then(|row| {
                    let offset = Offset(keys::u64_at(&row, 0)?);
                    Some((offset, ContentHash(keys::u64_at(&row, 8)?)))
                })
            }
        };
        // What was trimmed is not known any more, whether or not its row is still there.
        Ok(held.filter(|(offset, _)| offset.0 >= first))
    }

    fn place(&self, group: &Group, topic: TopicId, offset: Offset) -> Result<Place, Rejected> {
        let header = match group.header(topic, offset) {
            Some(header) => header,
            None => self
                .store
                .header(topic, offset)
                .map_err(|error| Rejected::Corrupt(error.to_string()))?,
        };
        Ok(place(&header))
    }

    /// The version of a key behind everything applied so far.
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
                    let actual = self.topics.get(&topic).map_or(Offset(0), |state| state.end.next);
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
        found: &[Found],
    ) -> Result<Vec<Place>, Rejected> {
        // Everything that may fail comes first: a commit is applied whole or not at all. Versions that are looked up here
        // are remembered, so that none is counted on before all of them are known.
        for (event, found) in events.iter().zip(found) {
            if let (Found::New, Some(key)) = (found, event.key()) {
                self.key_version(topic, key)?;
            }
        }
        let mut versions = Vec::with_capacity(events.len());
        for (event, found) in events.iter().zip(found) {
            versions.push(match (found, event.key()) {
                (Found::New, Some(key)) => {
                    let version = KeyVersion(self.key_version(topic, key)?.0 + 1);
                    self.key_versions.set(topic, key, version);
                    version
                }
                _ => KeyVersion(0),
            });
        }
        let mut batch = std::mem::take(&mut group.batch);
        let mut appended = group.appended.remove(&topic).unwrap_or_default();
        let mut places = Vec::with_capacity(events.len());
        let Some(mut end) = self.topics.get(&topic).map(|state| state.end) else {
            return Err(Rejected::TopicGone);
        };
        for ((mut event, found), key_version) in events.into_iter().zip(found).zip(versions) {
            let place = match found {
                Found::Before(place) => *place,
                Found::Within(first) => Place { duplicate: true, ..places[*first] },
                Found::New => {
                    group.state.position = group.state.position.next();
                    group.state.events += 1;
                    end.bytes += event.encoded().len() as u64;
                    let header = Header {
                        key: event.key,
                        schema_id: event.schema_id,
                        times_checked: event.times_checked,
                        position: group.state.position,
                        key_version,
                        append_time: group.state.time,
                        topic_bytes: end.bytes,
                        offset: end.next,
                    };
                    header.write(&mut event.row);
                    self.put_event(&mut batch, topic, &event, &header);
                    group.ids.insert((topic, event.identity), (end.next, event.content));
                    end.next = end.next.next();
                    end.time = header.append_time;
                    end.position = header.position;
                    appended.push(Appended { header, row: event.row });
                    group.changed(1);
                    place(&header)
                }
            };
            places.push(place);
        }
        group.batch = batch;
        if !appended.is_empty() {
            group.appended.insert(topic, appended);
        }
        if let Some(state) = self.topics.get_mut(&topic) {
            group.state.weigh(state.end.weight(), end.weight());
            state.end = end;
        }
        Ok(places)
    }

    /// The places that a batch would get if nothing else came first.
    fn foresee(
        &mut self,
        group: &Group,
        topic: TopicId,
        events: &[NewEvent],
        found: &[Found],
    ) -> Result<Vec<Place>, Rejected> {
        let mut next = self.topics.get(&topic).map_or(Offset(0), |state| state.end.next);
        let mut versions: HashMap<&[u8], KeyVersion> = HashMap::new();
        let mut places: Vec<Place> = Vec::with_capacity(events.len());
        for (event, found) in events.iter().zip(found) {
            let place = match found {
                Found::Before(place) => *place,
                Found::Within(first) => Place { duplicate: true, ..places[*first] },
                Found::New => {
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
                    Place {
                        offset,
                        key_version,
                        position: crate::model::numbers::Position(0),
                        append_time: group.state.time,
                        duplicate: false,
                        schema_id: event.schema_id,
                    }
                }
            };
            places.push(place);
        }
        Ok(places)
    }
}

fn place(header: &Header) -> Place {
    Place {
        offset: header.offset,
        position: header.position,
        key_version: header.key_version,
        append_time: header.append_time,
        duplicate: false,
        schema_id: header.schema_id,
    }
}
