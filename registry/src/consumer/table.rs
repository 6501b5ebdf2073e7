//! All that is known of consumers. Beside the catalog, not in it: streams say every minute that they are there, and that
//! makes no revision.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
};

use jiff::{SignedDuration, Timestamp};
use semver::{Version, VersionReq};

use super::{ConsumerName, ConsumerUpdate, LEASE, Origin, Requirement};
use crate::{error::TooMany, subject::SubjectName};

/// Most consumers.
pub const CONSUMERS_MAX: usize = 10_000;
/// Most needs of a consumer, of each origin.
pub const NEEDS_MAX: usize = 100;
/// How often what is forgotten is looked for.
const SWEEP: SignedDuration = SignedDuration::from_hours(1);

/// Which need of a consumer; in the order of lists.
pub type RequirementKey = (SubjectName, String, Origin);

/// What is known of consumers.
#[derive(Debug, Default)]
pub struct ConsumerTable {
    needs: BTreeMap<ConsumerName, BTreeMap<RequirementKey, Requirement>>,
    readers: HashMap<SubjectName, BTreeSet<ConsumerName>>,
    swept: Option<Timestamp>,
}

/// What a word changes in the book.
#[derive(Debug, Default)]
pub struct Entries {
    /// New or changed.
    pub put: Vec<Requirement>,
    /// Not known any more.
    pub removed: Vec<Requirement>,
    /// Somebody's needs are others now: worth a sync. That a stream is still open is not.
    pub is_news: bool,
}

impl ConsumerTable {
    /// What a word of a consumer changes. Changes nothing yet.
    ///
    /// # Errors
    /// Where there would be too many.
    pub fn entries(
        &self,
        consumer: &ConsumerName,
        word: ConsumerUpdate,
        needs: Vec<(SubjectName, VersionReq, Option<Version>)>,
        now: Timestamp,
    ) -> Result<Entries, TooMany> {
        let known = self.needs.get(consumer);
        let known = || known.into_iter().flat_map(BTreeMap::values);
        let mut entries = Entries::default();
        let is_void = needs.is_empty();
        for (subject, requirement, negotiated) in needs {
            let origin = match word {
                ConsumerUpdate::Declared => Origin::Declared,
                ConsumerUpdate::Open | ConsumerUpdate::Ended => Origin::Stream,
            };
            let same = |it: &&Requirement| {
                it.subject == subject && it.origin == origin && it.requirement == requirement
            };
            let before = known().find(same);
            let need = match (word, before) {
                // It was open till now; one that is not known was forgotten meanwhile.
                (ConsumerUpdate::Ended, None) => continue,
                (ConsumerUpdate::Ended, Some(before)) => {
                    let seen = if before.is_connected(now) { now } else { before.seen };
                    Requirement { seen, open_until: None, ..before.clone() }
                }
                (ConsumerUpdate::Declared | ConsumerUpdate::Open, _) => Requirement {
                    consumer: consumer.clone(),
                    subject,
                    requirement,
                    origin,
                    negotiated,
                    seen: now,
                    open_until: (word == ConsumerUpdate::Open)
                        .then(|| now.checked_add(LEASE))
                        .and_then(Result::ok),
                },
            };
            entries.is_news |= before.is_none_or(|it| it.negotiated != need.negotiated);
            entries.put.push(need);
        }
        let told: BTreeSet<RequirementKey> = entries.put.iter().map(place).collect();
        entries.removed = known()
            .filter(|it| !told.contains(&place(it)))
            .filter(|it| match word {
                ConsumerUpdate::Declared => {
                    it.origin == Origin::Declared || (is_void && !it.is_connected(now))
                }
                ConsumerUpdate::Open => {
                    // Its streams ask for something else by now.
                    it.origin == Origin::Stream
                        && now.duration_since(it.seen) > LEASE
                        && entries.put.iter().any(|put| put.subject == it.subject)
                }
                ConsumerUpdate::Ended => false,
            })
            .cloned()
            .collect();
        entries.is_news |= !entries.removed.is_empty();
        self.check_bounds(consumer, &entries)?;
        if self.swept.is_none_or(|swept| now.duration_since(swept) > SWEEP) {
            let all = self.needs.values().flat_map(BTreeMap::values);
            // What is said of it again is known again.
            let is_told = |it: &&Requirement| it.consumer == *consumer && told.contains(&place(it));
            let forgotten = all.filter(|it| it.is_forgotten(now) && !is_told(it)).cloned();
            entries.removed.extend(forgotten);
        }
        Ok(entries)
    }

    fn check_bounds(&self, consumer: &ConsumerName, entries: &Entries) -> Result<(), TooMany> {
        if entries.put.is_empty() {
            return Ok(());
        }
        let Some(known) = self.needs.get(consumer) else {
            let count = self.needs.len() + 1;
            return match count > CONSUMERS_MAX {
                true => Err(TooMany::Consumers { count, limit: CONSUMERS_MAX }),
                false => Ok(()),
            };
        };
        let mut places: BTreeSet<RequirementKey> = known.keys().cloned().collect();
        for removed in &entries.removed {
            places.remove(&place(removed));
        }
        places.extend(entries.put.iter().map(place));
        for origin in [Origin::Declared, Origin::Stream] {
            let count = places.iter().filter(|(_, _, of)| *of == origin).count();
            if count > NEEDS_MAX {
                let consumer = consumer.to_string();
                return Err(TooMany::Needs { consumer, count, limit: NEEDS_MAX });
            }
        }
        Ok(())
    }

    /// Takes changes in that are on disk.
    pub fn take(&mut self, entries: Entries, now: Timestamp) {
        for need in entries.removed {
            self.remove(&need);
        }
        for need in entries.put {
            self.put(need);
        }
        if self.swept.is_none_or(|swept| now.duration_since(swept) > SWEEP) {
            self.swept = Some(now);
        }
    }

    /// Puts one in, in place of what it was.
    pub fn put(&mut self, need: Requirement) {
        self.readers.entry(need.subject.clone()).or_default().insert(need.consumer.clone());
        self.needs.entry(need.consumer.clone()).or_default().insert(place(&need), need);
    }

    fn remove(&mut self, need: &Requirement) {
        let Some(needs) = self.needs.get_mut(&need.consumer) else { return };
        needs.remove(&place(need));
        let reads_on = needs.keys().any(|(subject, ..)| *subject == need.subject);
        if needs.is_empty() {
            self.needs.remove(&need.consumer);
        }
        if !reads_on && let Some(readers) = self.readers.get_mut(&need.subject) {
            readers.remove(&need.consumer);
            if readers.is_empty() {
                self.readers.remove(&need.subject);
            }
        }
    }

    /// What is known, by name, subject and requirement, behind a place.
    pub fn behind(
        &self,
        place: Option<&(ConsumerName, RequirementKey)>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Requirement> {
        let from = place.map_or(Unbounded, |(name, _)| Included(name));
        self.needs
            .range::<ConsumerName, _>((from, Unbounded))
            .flat_map(move |(name, needs)| {
                let from = match place {
                    Some((behind, place)) if behind == name => Excluded(place),
                    Some(_) | None => Unbounded,
                };
                needs.range::<RequirementKey, _>((from, Unbounded)).map(|(_, need)| need)
            })
            .filter(move |need| !need.is_forgotten(now))
    }

    /// Who needs something of a subject, by name and requirement.
    pub fn readers(
        &self,
        subject: &SubjectName,
        now: Timestamp,
    ) -> impl Iterator<Item = &Requirement> {
        let names = self.readers.get(subject).into_iter().flatten();
        let needs = names.filter_map(|name| self.needs.get(name)).flat_map(BTreeMap::values);
        needs.filter(move |it| it.subject == *subject && !it.is_forgotten(now))
    }

    /// How many consumers there are.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }
}

/// Where a need stands among those of its consumer.
pub fn place(need: &Requirement) -> RequirementKey {
    (need.subject.clone(), need.requirement.to_string(), need.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ConsumerName {
        ConsumerName::parse(text).expect("a name")
    }

    fn need(subject: &str, requirement: &str) -> (SubjectName, VersionReq, Option<Version>) {
        let requirement = VersionReq::parse(requirement).expect("a requirement");
        (SubjectName::parse(subject).expect("a name"), requirement, None)
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// What a book knows, in lines, at a minute.
    struct Told(ConsumerTable);

    impl Told {
        fn say(
            &mut self,
            minute: i64,
            who: &str,
            word: ConsumerUpdate,
            needs: &[(&str, &str)],
        ) -> Entries {
            let needs = needs.iter().map(|(subject, it)| need(subject, it)).collect();
            let entries = self.0.entries(&name(who), word, needs, at(minute)).expect("in bounds");
            let said =
                Entries { put: entries.put.clone(), removed: entries.removed.clone(), ..entries };
            self.0.take(entries, at(minute));
            said
        }

        fn knows(&self, minute: i64) -> Vec<String> {
            let line = |it: &Requirement| {
                let origin = match it.origin {
                    Origin::Declared => "",
                    Origin::Stream if it.is_connected(at(minute)) => " open",
                    Origin::Stream => " gone",
                };
                format!("{} {} {}{origin}", it.consumer, it.subject, it.requirement)
            };
            self.0.behind(None, at(minute)).map(line).collect()
        }
    }

    fn told() -> Told {
        Told(ConsumerTable::default())
    }

    #[test]
    fn what_is_declared_replaces_what_was_and_leaves_streams_alone() {
        let mut told = told();
        told.say(0, "billing", ConsumerUpdate::Declared, &[("a", "^1"), ("b", "^2")]);
        told.say(0, "billing", ConsumerUpdate::Open, &[("a", "^1")]);
        told.say(1, "billing", ConsumerUpdate::Declared, &[("b", "^3")]);
        assert_eq!(told.knows(1), ["billing a ^1 open", "billing b ^3"]);
        told.say(1, "billing", ConsumerUpdate::Declared, &[]);
        assert_eq!(told.knows(1), ["billing a ^1 open"], "an open stream would come back anyway");
        told.say(9, "billing", ConsumerUpdate::Declared, &[]);
        assert_eq!(told.knows(9), Vec::<String>::new());
        assert!(told.0.is_empty() && told.0.readers.is_empty());
    }

    #[test]
    fn a_stream_is_connected_for_two_minutes_behind_the_last_word() {
        let mut told = told();
        assert!(told.say(0, "billing", ConsumerUpdate::Open, &[("a", "^1")]).is_news);
        assert!(
            !told.say(1, "billing", ConsumerUpdate::Open, &[("a", "^1")]).is_news,
            "no sync a minute"
        );
        assert_eq!(told.knows(2), ["billing a ^1 open"]);
        assert_eq!(told.knows(3), ["billing a ^1 gone"]);
        told.say(4, "billing", ConsumerUpdate::Open, &[("a", "^1")]);
        told.say(4, "billing", ConsumerUpdate::Ended, &[("a", "^1")]);
        assert_eq!(told.knows(4), ["billing a ^1 gone"]);
        told.say(5, "billing", ConsumerUpdate::Ended, &[("never", "^1")]);
        assert_eq!(told.knows(5).len(), 1);
        assert_eq!(told.0.needs[&name("billing")].values().next().map(|it| it.seen), Some(at(4)));
    }

    #[test]
    fn while_instances_are_replaced_both_requirements_count() {
        let mut told = told();
        told.say(0, "billing", ConsumerUpdate::Open, &[("a", "^1"), ("b", "^1")]);
        told.say(1, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(told.knows(1).len(), 3);
        told.say(2, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(told.knows(2).len(), 3);
        told.say(3, "billing", ConsumerUpdate::Open, &[("a", "^2")]);
        assert_eq!(told.knows(3), ["billing a ^2 open", "billing b ^1 gone"]);
    }

    #[test]
    fn streams_are_forgotten_after_ninety_days_and_declarations_never() {
        let mut told = told();
        told.say(0, "job", ConsumerUpdate::Open, &[("a", "^1")]);
        told.say(0, "billing", ConsumerUpdate::Declared, &[("a", "^1")]);
        let days = |days: i64| days * 24 * 60;
        assert_eq!(told.knows(days(90)).len(), 2);
        assert_eq!(told.knows(days(91)), ["billing a ^1"]);
        let subject = SubjectName::parse("a").expect("a name");
        assert_eq!(told.0.readers(&subject, at(days(91))).count(), 1);
        let entries = told.say(days(91), "other", ConsumerUpdate::Open, &[("b", "^1")]);
        assert_eq!(entries.removed.len(), 1, "swept from the disk as well");
        assert_eq!(told.0.len(), 2);
    }

    #[test]
    fn there_are_bounds_and_they_are_told() {
        let mut told = told();
        let names: Vec<String> = (0..NEEDS_MAX).map(|n| format!("s{n}")).collect();
        let many: Vec<_> = names.iter().map(|it| (it.as_str(), "^1")).collect();
        told.say(0, "billing", ConsumerUpdate::Open, &many);
        told.say(0, "billing", ConsumerUpdate::Declared, &many);
        let more = vec![need("more", "^1")];
        let refused = told.0.entries(&name("billing"), ConsumerUpdate::Open, more.clone(), at(1));
        let refused = refused.expect_err("too many").to_string();
        assert!(refused.contains("101") && refused.contains("100"), "{refused}");
        for n in 1..CONSUMERS_MAX {
            told.say(0, &format!("c{n}"), ConsumerUpdate::Declared, &[("a", "^1")]);
        }
        let refused = told.0.entries(&name("new"), ConsumerUpdate::Declared, more, at(1));
        let refused = refused.expect_err("too many").to_string();
        assert!(refused.contains("10000"), "{refused}");
        assert!(told.0.entries(&name("new"), ConsumerUpdate::Declared, Vec::new(), at(1)).is_ok());
    }

    #[test]
    fn lists_go_on_behind_any_place() {
        let mut told = told();
        told.say(0, "a", ConsumerUpdate::Declared, &[("x", "^1"), ("y", "^1")]);
        told.say(0, "a", ConsumerUpdate::Open, &[("x", "^1")]);
        told.say(0, "b", ConsumerUpdate::Declared, &[("x", "^1")]);
        let all: Vec<Requirement> = told.0.behind(None, at(0)).cloned().collect();
        assert_eq!(all.len(), 4);
        for (n, need) in all.iter().enumerate() {
            let behind = (need.consumer.clone(), place(need));
            let rest: Vec<Requirement> = told.0.behind(Some(&behind), at(0)).cloned().collect();
            assert_eq!(rest, all[n + 1..]);
        }
    }
}
