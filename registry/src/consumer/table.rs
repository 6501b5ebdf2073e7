//! The requirements of all consumers. They are kept outside of the catalog: streams report every
//! minute that they are open, and that creates no revision.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
};

use jiff::{SignedDuration, Timestamp};
use semver::{Version, VersionReq};

use super::{ConsumerName, ConsumerUpdate, LEASE, Origin, Requirement, TooMany};
use crate::name::SubjectName;

/// Limits the consumers.
pub const CONSUMERS_MAX: usize = 10_000;
/// Limits the requirements of a consumer, for each origin.
pub const REQUIREMENTS_MAX: usize = 100;
/// How often expired requirements are removed.
const SWEEP_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// The key of a requirement within its consumer, in the order of lists.
pub type RequirementKey = (SubjectName, String, Origin);

/// The requirements of all consumers.
#[derive(Debug, Default)]
pub struct ConsumerTable {
    consumers: BTreeMap<ConsumerName, BTreeMap<RequirementKey, Requirement>>,
    readers: HashMap<SubjectName, BTreeSet<ConsumerName>>,
    swept: Option<Timestamp>,
}

/// The changes of an update to the table.
#[derive(Debug, Default)]
pub struct ConsumerChanges {
    /// Requirements that are new or changed.
    pub put: Vec<Requirement>,
    /// Requirements that are removed.
    pub removed: Vec<Requirement>,
    /// Whether a requirement is new, changed or removed, which is worth a sync. That a stream is
    /// still open is not.
    pub needs_sync: bool,
}

impl ConsumerTable {
    /// Computes the changes of an update of a consumer. Changes nothing yet.
    ///
    /// # Errors
    /// Returns an error if there would be too many consumers or requirements.
    pub fn changes(
        &self,
        consumer: &ConsumerName,
        update: ConsumerUpdate,
        requirements: Vec<(SubjectName, VersionReq, Option<Version>)>,
        now: Timestamp,
    ) -> Result<ConsumerChanges, TooMany> {
        let known = self.consumers.get(consumer);
        let known = || known.into_iter().flat_map(BTreeMap::values);
        let mut changes = ConsumerChanges::default();
        let has_no_requirements = requirements.is_empty();
        for (subject, version_req, negotiated) in requirements {
            let origin = match update {
                ConsumerUpdate::Declared => Origin::Declared,
                ConsumerUpdate::Open | ConsumerUpdate::Ended => Origin::Stream,
            };
            let is_same = |known: &&Requirement| {
                known.subject == subject
                    && known.origin == origin
                    && known.version_req == version_req
            };
            let before = known().find(is_same);
            let requirement = match (update, before) {
                // An unknown requirement has expired in the meantime.
                (ConsumerUpdate::Ended, None) => continue,
                (ConsumerUpdate::Ended, Some(before)) => {
                    // The stream was open until now.
                    let seen = if before.is_connected(now) { now } else { before.seen };
                    Requirement { seen, open_until: None, ..before.clone() }
                }
                (ConsumerUpdate::Declared | ConsumerUpdate::Open, _) => Requirement {
                    consumer: consumer.clone(),
                    subject,
                    version_req,
                    origin,
                    negotiated,
                    seen: now,
                    open_until: (update == ConsumerUpdate::Open)
                        .then(|| now.checked_add(LEASE))
                        .and_then(Result::ok),
                },
            };
            changes.needs_sync |=
                before.is_none_or(|before| before.negotiated != requirement.negotiated);
            changes.put.push(requirement);
        }
        let updated: BTreeSet<RequirementKey> = changes.put.iter().map(requirement_key).collect();
        changes.removed = known()
            .filter(|known| !updated.contains(&requirement_key(known)))
            .filter(|known| match update {
                ConsumerUpdate::Declared => {
                    known.origin == Origin::Declared
                        || (has_no_requirements && !known.is_connected(now))
                }
                ConsumerUpdate::Open => {
                    // The streams of the consumer have another requirement now.
                    known.origin == Origin::Stream
                        && now.duration_since(known.seen) > LEASE
                        && changes.put.iter().any(|put| put.subject == known.subject)
                }
                ConsumerUpdate::Ended => false,
            })
            .cloned()
            .collect();
        changes.needs_sync |= !changes.removed.is_empty();
        self.check_limits(consumer, &changes)?;
        if self.swept.is_none_or(|swept| now.duration_since(swept) > SWEEP_INTERVAL) {
            let all = self.consumers.values().flat_map(BTreeMap::values);
            // A requirement of this update does not expire.
            let is_updated = |requirement: &&Requirement| {
                requirement.consumer == *consumer && updated.contains(&requirement_key(requirement))
            };
            let expired = all
                .filter(|requirement| requirement.is_expired(now) && !is_updated(requirement))
                .cloned();
            changes.removed.extend(expired);
        }
        Ok(changes)
    }

    fn check_limits(
        &self,
        consumer: &ConsumerName,
        changes: &ConsumerChanges,
    ) -> Result<(), TooMany> {
        if changes.put.is_empty() {
            return Ok(());
        }
        let Some(known) = self.consumers.get(consumer) else {
            let count = self.consumers.len() + 1;
            return match count > CONSUMERS_MAX {
                true => Err(TooMany::Consumers { count, limit: CONSUMERS_MAX }),
                false => Ok(()),
            };
        };
        let mut keys: BTreeSet<RequirementKey> = known.keys().cloned().collect();
        for removed in &changes.removed {
            keys.remove(&requirement_key(removed));
        }
        keys.extend(changes.put.iter().map(requirement_key));
        for origin in [Origin::Declared, Origin::Stream] {
            let count = keys.iter().filter(|(_, _, key_origin)| *key_origin == origin).count();
            if count > REQUIREMENTS_MAX {
                let consumer = consumer.to_string();
                return Err(TooMany::Requirements { consumer, count, limit: REQUIREMENTS_MAX });
            }
        }
        Ok(())
    }

    /// Applies changes that are on disk.
    pub fn apply(&mut self, changes: ConsumerChanges, now: Timestamp) {
        for requirement in changes.removed {
            self.remove(&requirement);
        }
        for requirement in changes.put {
            self.put(requirement);
        }
        if self.swept.is_none_or(|swept| now.duration_since(swept) > SWEEP_INTERVAL) {
            self.swept = Some(now);
        }
    }

    /// Inserts or replaces a requirement.
    pub fn put(&mut self, requirement: Requirement) {
        let Requirement { consumer, subject, .. } = &requirement;
        self.readers.entry(subject.clone()).or_default().insert(consumer.clone());
        let requirements = self.consumers.entry(consumer.clone()).or_default();
        requirements.insert(requirement_key(&requirement), requirement);
    }

    fn remove(&mut self, requirement: &Requirement) {
        let Requirement { consumer, subject, .. } = requirement;
        let Some(requirements) = self.consumers.get_mut(consumer) else { return };
        requirements.remove(&requirement_key(requirement));
        let still_reads = requirements.keys().any(|(key_subject, ..)| key_subject == subject);
        if requirements.is_empty() {
            self.consumers.remove(consumer);
        }
        if !still_reads && let Some(readers) = self.readers.get_mut(subject) {
            readers.remove(consumer);
            if readers.is_empty() {
                self.readers.remove(subject);
            }
        }
    }

    /// Returns the requirements by consumer, subject and requirement, after a given one.
    pub fn after(
        &self,
        after: Option<&(ConsumerName, RequirementKey)>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Requirement> {
        let from = after.map_or(Unbounded, |(consumer, _)| Included(consumer));
        self.consumers
            .range::<ConsumerName, _>((from, Unbounded))
            .flat_map(move |(consumer, requirements)| {
                let from = match after {
                    Some((after_consumer, key)) if after_consumer == consumer => Excluded(key),
                    Some(_) | None => Unbounded,
                };
                requirements
                    .range::<RequirementKey, _>((from, Unbounded))
                    .map(|(_, requirement)| requirement)
            })
            .filter(move |requirement| !requirement.is_expired(now))
    }

    /// Returns the requirements for a subject, by consumer and requirement.
    pub fn readers(
        &self,
        subject: &SubjectName,
        now: Timestamp,
    ) -> impl Iterator<Item = &Requirement> {
        let consumers = self.readers.get(subject).into_iter().flatten();
        let requirements = consumers
            .filter_map(|consumer| self.consumers.get(consumer))
            .flat_map(BTreeMap::values);
        requirements.filter(move |requirement| {
            requirement.subject == *subject && !requirement.is_expired(now)
        })
    }

    /// Returns the number of consumers.
    pub fn len(&self) -> usize {
        self.consumers.len()
    }

    /// Returns whether there are no consumers.
    pub fn is_empty(&self) -> bool {
        self.consumers.is_empty()
    }
}

/// Returns the key of a requirement within its consumer.
pub fn requirement_key(requirement: &Requirement) -> RequirementKey {
    (requirement.subject.clone(), requirement.version_req.to_string(), requirement.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ConsumerName {
        ConsumerName::parse(text).expect("a name")
    }

    fn requirement(subject: &str, text: &str) -> (SubjectName, VersionReq, Option<Version>) {
        let version_req = VersionReq::parse(text).expect("a requirement");
        (SubjectName::parse(subject).expect("a name"), version_req, None)
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// A table that is updated and listed at given minutes.
    #[derive(Default)]
    struct TestTable(ConsumerTable);

    impl TestTable {
        fn update(
            &mut self,
            minute: i64,
            consumer: &str,
            update: ConsumerUpdate,
            requirements: &[(&str, &str)],
        ) -> ConsumerChanges {
            let requirements =
                requirements.iter().map(|(subject, text)| requirement(subject, text)).collect();
            let changes = self.0.changes(&name(consumer), update, requirements, at(minute));
            let changes = changes.expect("within limits");
            let copy = ConsumerChanges {
                put: changes.put.clone(),
                removed: changes.removed.clone(),
                ..changes
            };
            self.0.apply(changes, at(minute));
            copy
        }

        fn lines(&self, minute: i64) -> Vec<String> {
            let line = |requirement: &Requirement| {
                let state = match requirement.origin {
                    Origin::Declared => "",
                    Origin::Stream if requirement.is_connected(at(minute)) => " open",
                    Origin::Stream => " closed",
                };
                let Requirement { consumer, subject, version_req, .. } = requirement;
                format!("{consumer} {subject} {version_req}{state}")
            };
            self.0.after(None, at(minute)).map(line).collect()
        }
    }

    #[test]
    fn a_declaration_replaces_the_previous_one_and_keeps_streams() {
        let mut table = TestTable::default();
        table.update(0, "billing", ConsumerUpdate::Declared, &[("a", "^1"), ("b", "^2")]);
        table.update(0, "billing", ConsumerUpdate::Open, &[("a", "^1")]);
        table.update(1, "billing", ConsumerUpdate::Declared, &[("b", "^3")]);
        assert_eq!(table.lines(1), ["billing a ^1 open", "billing b ^3"]);
        table.update(1, "billing", ConsumerUpdate::Declared, &[]);
        assert_eq!(table.lines(1), ["billing a ^1 open"], "an open stream would report it again");
        table.update(9, "billing", ConsumerUpdate::Declared, &[]);
        assert_eq!(table.lines(9), Vec::<String>::new());
        assert!(table.0.is_empty() && table.0.readers.is_empty());
    }

    #[test]
    fn a_stream_is_connected_for_two_minutes_after_the_last_update() {
        let mut table = TestTable::default();
        assert!(table.update(0, "billing", ConsumerUpdate::Open, &[("a", "^1")]).needs_sync);
        let again = table.update(1, "billing", ConsumerUpdate::Open, &[("a", "^1")]);
        assert!(!again.needs_sync, "not one sync a minute");
        assert_eq!(table.lines(2), ["billing a ^1 open"]);
        assert_eq!(table.lines(3), ["billing a ^1 closed"]);
        table.update(4, "billing", ConsumerUpdate::Open, &[("a", "^1")]);
        table.update(4, "billing", ConsumerUpdate::Ended, &[("a", "^1")]);
        assert_eq!(table.lines(4), ["billing a ^1 closed"]);
        table.update(5, "billing", ConsumerUpdate::Ended, &[("never", "^1")]);
        assert_eq!(table.lines(5).len(), 1);
        let mut requirements = table.0.consumers[&name("billing")].values();
        assert_eq!(requirements.next().map(|requirement| requirement.seen), Some(at(4)));
    }

    #[test]
    fn while_instances_are_replaced_both_requirements_count() {
        let mut table = TestTable::default();
        table.update(0, "billing", ConsumerUpdate::Open, &[("a", "^1"), ("b", "^1")]);
        table.update(1, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(table.lines(1).len(), 3);
        table.update(2, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(table.lines(2).len(), 3);
        table.update(3, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(table.lines(3), ["billing a ^2 open", "billing b ^1 closed"]);
    }

    #[test]
    fn requirements_of_streams_expire_after_ninety_days_and_declarations_never() {
        let mut table = TestTable::default();
        table.update(0, "job", ConsumerUpdate::Open, &[("a", "^1")]);
        table.update(0, "billing", ConsumerUpdate::Declared, &[("a", "^1")]);
        let days = |days: i64| days * 24 * 60;
        assert_eq!(table.lines(days(90)).len(), 2);
        assert_eq!(table.lines(days(91)), ["billing a ^1"]);
        let subject = SubjectName::parse("a").expect("a name");
        assert_eq!(table.0.readers(&subject, at(days(91))).count(), 1);
        let changes = table.update(days(91), "other", ConsumerUpdate::Open, &[("b", "^1")]);
        assert_eq!(changes.removed.len(), 1, "also removed from the disk");
        assert_eq!(table.0.len(), 2);
    }

    #[test]
    fn consumers_and_requirements_are_limited() {
        let mut table = TestTable::default();
        let names: Vec<String> = (0..REQUIREMENTS_MAX).map(|n| format!("s{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "^1")).collect();
        table.update(0, "billing", ConsumerUpdate::Open, &many);
        table.update(0, "billing", ConsumerUpdate::Declared, &many);
        let more = vec![requirement("more", "^1")];
        let refused = table.0.changes(&name("billing"), ConsumerUpdate::Open, more.clone(), at(1));
        let refused = refused.expect_err("too many").to_string();
        assert!(refused.contains("101") && refused.contains("100"), "{refused}");
        for n in 1..CONSUMERS_MAX {
            table.update(0, &format!("c{n}"), ConsumerUpdate::Declared, &[("a", "^1")]);
        }
        let refused = table.0.changes(&name("new"), ConsumerUpdate::Declared, more, at(1));
        let refused = refused.expect_err("too many").to_string();
        assert!(refused.contains("10000"), "{refused}");
        let empty = table.0.changes(&name("new"), ConsumerUpdate::Declared, Vec::new(), at(1));
        assert!(empty.is_ok());
    }

    #[test]
    fn lists_continue_after_any_requirement() {
        let mut table = TestTable::default();
        table.update(0, "a", ConsumerUpdate::Declared, &[("x", "^1"), ("y", "^1")]);
        table.update(0, "a", ConsumerUpdate::Open, &[("x", "^1")]);
        table.update(0, "b", ConsumerUpdate::Declared, &[("x", "^1")]);
        let all: Vec<Requirement> = table.0.after(None, at(0)).cloned().collect();
        assert_eq!(all.len(), 4);
        for (n, last) in all.iter().enumerate() {
            let after = (last.consumer.clone(), requirement_key(last));
            let rest: Vec<Requirement> = table.0.after(Some(&after), at(0)).cloned().collect();
            assert_eq!(rest, all[n + 1..]);
        }
    }
}
