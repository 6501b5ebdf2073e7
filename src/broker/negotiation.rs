//! Negotiation: which schema version a reader is given of each type, and what becomes of events that were written in
//! another one. A stream that asks for nothing has none of this.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use semver::VersionReq;
use tidings_registry::{
    accepted::Accepted,
    catalog::Catalog,
    negotiation::{Unfit, alternatives, best, convertible},
    schema::{SchemaVersion, State},
    schemas::Schemas,
    subject::{Subject, SubjectName},
};
use tokio::sync::watch;

use super::{
    Broker,
    conversion::{Conversions, Pair, Room},
    error::{RegistryAway, StartError, Unsatisfied},
};
use crate::model::{
    encoded::{EncodedEvent, tag},
    event::Delivered,
    name::TopicName,
    numbers::{Offset, Position},
};

/// Types that the start of a stream tells of: those named exactly, and of those that match a prefix so many. Others are
/// told of before their first event.
const TOLD_AT_START_MAX: usize = 1000;
/// Bytes of what is told at the start.
const TOLD_BYTES_MAX: usize = 2 << 20;
/// Bytes of events that are converted on the thread that serves: about 100 us.
const INLINE_BYTES_MAX: usize = 16 << 10;
/// How many times faster it goes where fields are only left out.
const SHORT_WAY_GAIN: usize = 16;
/// Bytes of one message. Conversion fills in defaults, so a batch may grow.
const MESSAGE_BYTES_MAX: usize = 3 << 20;

/// Which versions a reader understands.
#[derive(Debug, Clone)]
pub struct Selection {
    /// By type.
    pub accepted: Accepted,
    /// What becomes of an event that cannot be given so.
    pub on_mismatch: OnMismatch,
}

/// What becomes of an event that cannot be given as its reader asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// The stream ends.
    Fail,
    /// It is left out, and the reader is told.
    Skip,
    /// It is given as it was written.
    Deliver,
}

/// What events of a type are delivered in, and why.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The type.
    pub event_type: SubjectName,
    /// What the reader asked for.
    pub requirement: VersionReq,
    /// None: nothing registered satisfies the requirement.
    pub delivered: Option<Arc<SchemaVersion>>,
    /// Versions that the reader may meet as they were written.
    pub written: Vec<String>,
}

/// Events that a reader asked for and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// In this topic.
    pub topic: Arc<TopicName>,
    /// From here.
    pub from: Offset,
    /// Up to, not including.
    pub until: Offset,
    /// Of the last of them.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// An event that ends its stream.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event at offset {offset} of topic {topic:?} cannot be delivered as asked: {reason}", topic = topic.as_str())]
pub struct Mismatch {
    /// In this topic.
    pub topic: Arc<TopicName>,
    /// Its place.
    pub offset: Offset,
    /// Its place among everything: reading goes on behind it.
    pub position: Position,
    /// Its type.
    pub event_type: String,
    /// Why.
    pub reason: String,
}

/// What a batch became.
#[derive(Debug)]
pub enum Piece {
    /// These come next.
    Events(Vec<Delivered>),
    /// These do not come.
    Skipped(Skipped),
    /// What a type is delivered in is this from here on.
    Changed(Answer),
    /// Nothing comes any more.
    Failed(Mismatch),
    /// Nothing comes any more: what wrote the next event is not known here, and the registry is away.
    RegistryUnavailable(RegistryAway),
}

/// How events of a written version are given to the reader.
#[derive(Clone)]
enum Way {
    AsWritten,
    Converted(Arc<Pair>),
    Unfit(String),
    /// It may be known once the registry is there.
    Unknown(RegistryAway),
}

/// The negotiation of one stream.
pub struct Negotiation {
    selection: Selection,
    schemas: Option<Schemas>,
    conversions: Arc<Conversions>,
    room: Room,
    revisions: Option<watch::Receiver<u64>>,
    catalog: Arc<Catalog>,
    /// What the reader was told of a type: the id of what it is delivered in, 0 where it is nothing.
    told: BTreeMap<SubjectName, u32>,
    /// By the id of the schema that wrote an event. Emptied when something was registered.
    ways: HashMap<u32, Way>,
}

impl Broker {
    /// Negotiates for a stream that begins. The answers for its types come with it.
    ///
    /// # Errors
    /// Where the stream may not begin: everything that cannot be had.
    pub(super) async fn negotiate(
        &self,
        selection: Selection,
    ) -> Result<(Negotiation, Vec<Answer>), StartError> {
        let schemas = self.parts.schemas.clone();
        let revisions = schemas.as_ref().map(|schemas| {
            let mut revisions = schemas.revisions();
            revisions.mark_unchanged();
            revisions
        });
        if let Some(schemas) = &schemas {
            // A registry elsewhere is asked for what is not known here.
            for (name, _) in selection.accepted.exact() {
                schemas.subject(name).await.map_err(|error| RegistryAway(error.to_string()))?;
            }
        }
        let mut negotiation = Negotiation {
            catalog: schemas.as_ref().map(Schemas::catalog).unwrap_or_default(),
            conversions: Arc::clone(&self.parts.conversions),
            room: Room::default(),
            selection,
            schemas,
            revisions,
            told: BTreeMap::new(),
            ways: HashMap::new(),
        };
        if negotiation.selection.on_mismatch == OnMismatch::Fail {
            let unsatisfied = negotiation.unsatisfied();
            if !unsatisfied.is_empty() {
                return Err(StartError::Unsatisfiable(unsatisfied));
            }
        }
        let answers = negotiation.begin();
        Ok((negotiation, answers))
    }
}

impl Negotiation {
    /// Types named exactly that cannot be had.
    fn unsatisfied(&self) -> Vec<Unsatisfied> {
        let accepted = self.selection.accepted.exact();
        accepted
            .filter_map(|(name, requirement)| {
                let subject = self.catalog.subject(name).ok();
                let versions = || subject.iter().flat_map(|subject| subject.versions.values());
                let is_there = best(versions(), requirement).is_some();
                (!is_there).then(|| Unsatisfied {
                    event_type: name.to_string(),
                    requirement: requirement.to_string(),
                    has_schema: subject.is_some(),
                    alternatives: alternatives(versions()),
                })
            })
            .collect()
    }

    fn begin(&mut self) -> Vec<Answer> {
        let exact: Vec<_> = self.selection.accepted.exact().map(|(name, _)| name.clone()).collect();
        let catalog = Arc::clone(&self.catalog);
        let others = catalog
            .subjects_behind(None)
            .map(|subject| &subject.name)
            .filter(|name| self.selection.accepted.requirement(name.as_str()).is_some())
            .filter(|name| !exact.contains(name));
        let names: Vec<_> = exact.iter().chain(others).take(TOLD_AT_START_MAX).cloned().collect();
        let mut answers = Vec::with_capacity(names.len());
        let mut bytes = 0;
        for name in names {
            let Some(answer) = self.answer(&name) else { continue };
            bytes += answer.bytes();
            if bytes > TOLD_BYTES_MAX {
                break;
            }
            self.told.insert(name, id_of(&answer));
            answers.push(answer);
        }
        answers
    }

    /// What a type is delivered in. None: the reader takes any version of it.
    fn answer(&self, name: &SubjectName) -> Option<Answer> {
        let requirement = self.selection.accepted.requirement(name.as_str())?;
        let subject = self.catalog.subject(name).ok();
        let versions = || subject.iter().flat_map(|subject| subject.versions.values());
        let delivered = best(versions(), requirement).map(Arc::clone);
        let is_written = |it: &&Arc<SchemaVersion>| match &delivered {
            Some(chosen) if it.id == chosen.id => true,
            Some(chosen) => {
                self.selection.on_mismatch == OnMismatch::Deliver
                    && convertible(&it.version, &chosen.version).is_err()
            }
            None => self.selection.on_mismatch == OnMismatch::Deliver,
        };
        Some(Answer {
            event_type: name.clone(),
            requirement: requirement.clone(),
            written: versions().filter(is_written).map(|it| it.version.to_string()).collect(),
            delivered,
        })
    }

    /// Looks whether something was registered since, and what changed for the reader by that.
    pub fn changes(&mut self) -> Vec<Answer> {
        let (Some(schemas), Some(revisions)) = (&self.schemas, &mut self.revisions) else {
            return Vec::new();
        };
        if !revisions.has_changed().unwrap_or(false) {
            return Vec::new();
        }
        revisions.mark_unchanged();
        self.catalog = schemas.catalog();
        self.ways.clear();
        let names: Vec<_> = self.told.keys().cloned().collect();
        let mut changes = Vec::new();
        for name in names {
            let Some(answer) = self.answer(&name) else { continue };
            if self.told.insert(name, id_of(&answer)) != Some(id_of(&answer)) {
                changes.push(answer);
            }
        }
        changes
    }

    /// Waits until something is registered.
    pub async fn registered(&mut self) {
        match &mut self.revisions {
            Some(revisions) => match revisions.changed().await {
                Ok(()) => revisions.mark_changed(),
                // The registry is gone, and with it the server.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Gives a batch to the reader: what comes next, in order.
    pub fn deliver(&mut self, events: Vec<Delivered>) -> Vec<Piece> {
        let (mut effort, mut short) = (0, (0, 0));
        for one in &events {
            let bytes = one.recorded.event.len();
            match self.ways.get(&one.recorded.schema_id) {
                Some(Way::AsWritten) => {}
                Some(Way::Converted(pair)) if pair.has_short_way() => {
                    effort += bytes / SHORT_WAY_GAIN;
                    short = (short.0 + 1, short.1 + bytes);
                }
                _ => effort += bytes,
            }
        }
        self.room.reserve(short.0, short.1);
        let is_long = effort > INLINE_BYTES_MAX;
        let work = || {
            let mut pieces = Pieces::default();
            for one in events {
                if !self.give(one, &mut pieces) {
                    break;
                }
            }
            pieces.pieces
        };
        if is_long { tokio::task::block_in_place(work) } else { work() }
    }

    /// Gives one event; whether the stream goes on.
    fn give(&mut self, mut one: Delivered, pieces: &mut Pieces) -> bool {
        let written = one.recorded.schema_id;
        let way = match self.ways.get(&written) {
            Some(known) => known.clone(),
            None => {
                if let Some(answer) = self.told_first(&one) {
                    pieces.pieces.push(Piece::Changed(answer));
                }
                self.way(written, &one.recorded.event)
            }
        };
        let reason = match way {
            Way::AsWritten => {
                pieces.event(one);
                return true;
            }
            Way::Converted(pair) => {
                match self.conversions.convert(&pair, &one.recorded, &mut self.room) {
                    Ok(converted) => {
                        one.schema_id = pair.reader_id();
                        if let Some(event) = converted {
                            one.recorded.replace(event);
                            one.converted = true;
                        }
                        pieces.event(one);
                        return true;
                    }
                    Err(reason) => reason,
                }
            }
            Way::Unfit(reason) => reason,
            Way::Unknown(away) => {
                pieces.pieces.push(Piece::RegistryUnavailable(away));
                return false;
            }
        };
        match self.selection.on_mismatch {
            OnMismatch::Deliver => pieces.event(one),
            OnMismatch::Skip => pieces.skip(&one, reason),
            OnMismatch::Fail => {
                let event_type = type_of(&one.recorded.event).into();
                pieces.pieces.push(Piece::Failed(Mismatch {
                    topic: one.topic,
                    offset: one.recorded.offset,
                    position: one.recorded.position,
                    event_type,
                    reason,
                }));
                return false;
            }
        }
        true
    }

    /// The answer for an event's type, where the reader was not told of it.
    fn told_first(&mut self, one: &Delivered) -> Option<Answer> {
        let name = match self.catalog.by_id(one.recorded.schema_id) {
            Ok(written) => written.subject.clone(),
            Err(_) => SubjectName::parse(type_of(&one.recorded.event)).ok()?,
        };
        if self.told.contains_key(&name) {
            return None;
        }
        let answer = self.answer(&name)?;
        self.told.insert(name, id_of(&answer));
        Some(answer)
    }

    fn way(&mut self, written: u32, event: &[u8]) -> Way {
        if written == 0 {
            let event_type = type_of(event);
            return match self.selection.accepted.requirement(event_type) {
                None => Way::AsWritten,
                Some(_) => Way::Unfit(format!("it was published without a schema of {event_type}")),
            };
        }
        let way = self.find_way(written);
        if !matches!(way, Way::Unknown(_)) {
            self.ways.insert(written, way.clone());
        }
        way
    }

    fn find_way(&self, written: u32) -> Way {
        let Ok(writer) = self.catalog.by_id(written) else {
            let known = self.schemas.as_ref().map(|schemas| schemas.written(written));
            return match known {
                Some(Err(away)) => Way::Unknown(RegistryAway(away.to_string())),
                Some(Ok(_)) | None => {
                    Way::Unfit(format!("the schema with the id {written} is not known here"))
                }
            };
        };
        let Some(requirement) = self.selection.accepted.requirement(writer.subject.as_str()) else {
            return Way::AsWritten;
        };
        let Ok(subject) = self.catalog.subject(&writer.subject) else {
            return Way::Unfit(format!("{} is not registered any more", writer.subject));
        };
        let Some(reader) = best(subject.versions.values(), requirement) else {
            return Way::Unfit(unsatisfied(subject, requirement));
        };
        if reader.id == writer.id {
            return Way::AsWritten;
        }
        let unfit = |unfit: Unfit| {
            let (from, to) = (&writer.version, &reader.version);
            Way::Unfit(format!(
                "it was written in {} {from} and {to} is delivered: {unfit}",
                writer.subject
            ))
        };
        if let Err(why) = convertible(&writer.version, &reader.version) {
            return unfit(why);
        }
        match (self.catalog.parsed(writer), self.catalog.parsed(reader)) {
            (Ok(from), Ok(to)) => Way::Converted(Arc::new(Pair::new((writer, from), (reader, to)))),
            (Err(_), _) | (_, Err(_)) => unfit(Unfit::Unreadable),
        }
    }
}

/// In words.
fn unsatisfied(subject: &Subject, requirement: &VersionReq) -> String {
    let offered = alternatives(subject.versions.values());
    match offered.as_slice() {
        [] => format!("no version of {} can be delivered", subject.name),
        _ => format!(
            "no version of {} satisfies {requirement}; {} would be satisfied",
            subject.name,
            offered.join(", ")
        ),
    }
}

fn type_of(event: &[u8]) -> &str {
    EncodedEvent(event).named(tag::TYPE).unwrap_or_default()
}

fn id_of(answer: &Answer) -> u32 {
    answer.delivered.as_ref().map_or(0, |it| it.id)
}

impl Answer {
    /// How large it is, about.
    fn bytes(&self) -> usize {
        let written: usize = self.written.iter().map(|version| version.len() + 2).sum();
        1_024 + written + self.deprecation().map_or(0, str::len)
    }

    /// What is to be said about the version that is delivered, where it is deprecated.
    pub fn deprecation(&self) -> Option<&str> {
        let delivered = self.delivered.as_ref().filter(|it| it.state == State::Deprecated)?;
        Some(match delivered.deprecation.as_str() {
            "" => "deprecated",
            text => text,
        })
    }
}

#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    /// Of the events of the last piece.
    bytes: usize,
}

impl Pieces {
    fn event(&mut self, one: Delivered) {
        let bytes = one.recorded.event.len();
        match self.pieces.last_mut() {
            Some(Piece::Events(events)) if self.bytes + bytes <= MESSAGE_BYTES_MAX => {
                self.bytes += bytes;
                events.push(one);
            }
            _ => {
                self.bytes = bytes;
                self.pieces.push(Piece::Events(vec![one]));
            }
        }
    }

    fn skip(&mut self, one: &Delivered, reason: String) {
        let (offset, position) = (one.recorded.offset, one.recorded.position);
        if let Some(Piece::Skipped(last)) = self.pieces.last_mut()
            && last.topic == one.topic
            && last.until == offset
            && last.reason == reason
        {
            last.until = offset.next();
            last.position = position;
            return;
        }
        self.pieces.push(Piece::Skipped(Skipped {
            topic: Arc::clone(&one.topic),
            from: offset,
            until: offset.next(),
            position,
            reason,
        }));
    }
}
