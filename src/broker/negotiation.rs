//! Negotiation of schema versions: the version in which each type is delivered to a reader, and how
//! events written in another version are delivered. It does not apply to streams without a
//! selection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use semver::VersionReq;
use tidings_registry::{
    accepted::Accepted,
    catalog::Catalog,
    name::SubjectName,
    negotiation::{Undeliverable, alternatives, best, convertible},
    schema::{SchemaVersion, State},
    schemas::Schemas,
    subject::Subject,
};
use tokio::sync::watch;

use super::{
    Broker,
    conversion::{Buffers, ConversionCache, VersionPair},
    error::{RegistryUnavailable, StartError, UnsatisfiedRequirement, VersionMismatch},
};
use crate::model::{
    encoded::{EncodedEvent, tag},
    event::Delivered,
    name::TopicName,
    numbers::{Offset, Position},
};

/// Most types that the start of a stream announces: those named exactly, then those that match a
/// prefix. Other types are announced before their first event.
const ANNOUNCED_AT_START_MAX: usize = 1000;
/// Most bytes that the start of a stream announces.
const ANNOUNCED_BYTES_MAX: usize = 2 << 20;
/// Most bytes of events converted on the serving thread: about 100 us.
const INLINE_BYTES_MAX: usize = 16 << 10;
/// How much faster a projection is than a full conversion.
const PROJECTION_SPEEDUP: usize = 16;
/// Most bytes of a message. Conversion fills in defaults, so a batch may grow.
const MESSAGE_BYTES_MAX: usize = 3 << 20;

/// The schema versions that a reader understands.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Requirements by type.
    pub accepted: Accepted,
    /// The handling of events that cannot be delivered in such a version.
    pub on_mismatch: OnMismatch,
}

/// The handling of an event that cannot be delivered in a required version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// The stream fails.
    Fail,
    /// The event is skipped, which is reported to the reader.
    Skip,
    /// The event is delivered as it was written.
    Deliver,
}

/// The version in which a type is delivered.
#[derive(Debug, Clone)]
pub struct NegotiatedSchema {
    /// The type.
    pub event_type: SubjectName,
    /// The requirement of the reader.
    pub requirement: VersionReq,
    /// The version. None: no registered version satisfies the requirement.
    pub delivered: Option<Arc<SchemaVersion>>,
    /// Versions that are delivered as they were written.
    pub written: Vec<String>,
}

/// Requested events that cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRange {
    /// The topic.
    pub topic: Arc<TopicName>,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last one.
    pub until: Offset,
    /// The position of the last event.
    pub position: Position,
    /// The reason.
    pub reason: String,
}

/// An item of the delivery of a batch.
#[derive(Debug)]
pub enum DeliveryItem {
    /// Events to deliver.
    Events(Vec<Delivered>),
    /// Events that are skipped.
    Skipped(SkippedRange),
    /// The version in which a type is delivered from here on.
    Changed(NegotiatedSchema),
    /// The stream fails at this event.
    Failed(VersionMismatch),
    /// The stream fails: the schema of the next event is unknown, and the registry is unavailable.
    RegistryUnavailable(RegistryUnavailable),
}

/// How events of a written version are delivered.
#[derive(Clone)]
enum DeliveryPlan {
    AsWritten,
    Converted(Arc<VersionPair>),
    Undeliverable(String),
    /// The schema is unknown until the registry is available.
    Unknown(RegistryUnavailable),
}

/// The negotiation of one stream.
pub struct Negotiation {
    selection: Selection,
    schemas: Option<Schemas>,
    conversions: Arc<ConversionCache>,
    buffers: Buffers,
    revisions: Option<watch::Receiver<u64>>,
    catalog: Arc<Catalog>,
    /// The id of the schema version announced for a type. 0: no version is delivered.
    announced: BTreeMap<SubjectName, u32>,
    /// Plans by the id of the writer's schema. Cleared when a schema is registered.
    plans: HashMap<u32, DeliveryPlan>,
}

impl Broker {
    /// Negotiates for a new stream. Also returns the versions to announce at its start.
    ///
    /// # Errors
    /// Returns an error if the registry is unavailable, or if the stream fails on mismatches and
    /// requirements are unsatisfiable.
    pub(super) async fn negotiate(
        &self,
        selection: Selection,
    ) -> Result<(Negotiation, Vec<NegotiatedSchema>), StartError> {
        let schemas = self.inner.schemas.clone();
        let revisions = schemas.as_ref().map(|schemas| {
            let mut revisions = schemas.revisions();
            revisions.mark_unchanged();
            revisions
        });
        if let Some(schemas) = &schemas {
            // A remote registry is queried for unknown subjects.
            for (name, _) in selection.accepted.exact() {
                schemas
                    .subject(name)
                    .await
                    .map_err(|error| RegistryUnavailable(error.to_string()))?;
            }
        }
        let mut negotiation = Negotiation {
            catalog: schemas.as_ref().map(Schemas::catalog).unwrap_or_default(),
            conversions: Arc::clone(&self.inner.conversions),
            buffers: Buffers::default(),
            selection,
            schemas,
            revisions,
            announced: BTreeMap::new(),
            plans: HashMap::new(),
        };
        if negotiation.selection.on_mismatch == OnMismatch::Fail {
            let unsatisfied = negotiation.unsatisfied();
            if !unsatisfied.is_empty() {
                return Err(StartError::Unsatisfiable(unsatisfied));
            }
        }
        let negotiated = negotiation.initial_schemas();
        Ok((negotiation, negotiated))
    }
}

impl Negotiation {
    /// The types named exactly whose requirements cannot be satisfied.
    fn unsatisfied(&self) -> Vec<UnsatisfiedRequirement> {
        let accepted = self.selection.accepted.exact();
        accepted
            .filter_map(|(name, requirement)| {
                let subject = self.catalog.subject(name).ok();
                let versions = || subject.iter().flat_map(|subject| subject.versions.values());
                let is_satisfiable = best(versions(), requirement).is_some();
                (!is_satisfiable).then(|| UnsatisfiedRequirement {
                    event_type: name.to_string(),
                    requirement: requirement.to_string(),
                    has_schema: subject.is_some(),
                    alternatives: alternatives(versions()),
                })
            })
            .collect()
    }

    fn initial_schemas(&mut self) -> Vec<NegotiatedSchema> {
        let exact: Vec<_> = self.selection.accepted.exact().map(|(name, _)| name.clone()).collect();
        let catalog = Arc::clone(&self.catalog);
        let others = catalog
            .subjects_after(None)
            .map(|subject| &subject.name)
            .filter(|name| self.selection.accepted.requirement(name.as_str()).is_some())
            .filter(|name| !exact.contains(name));
        let names: Vec<_> =
            exact.iter().chain(others).take(ANNOUNCED_AT_START_MAX).cloned().collect();
        let mut schemas = Vec::with_capacity(names.len());
        let mut bytes = 0;
        for name in names {
            let Some(schema) = self.negotiate_type(&name) else { continue };
            bytes += schema.bytes();
            if bytes > ANNOUNCED_BYTES_MAX {
                break;
            }
            self.announced.insert(name, id_of(&schema));
            schemas.push(schema);
        }
        schemas
    }

    /// The version in which a type is delivered. None: the reader has no requirement for it.
    fn negotiate_type(&self, name: &SubjectName) -> Option<NegotiatedSchema> {
        let requirement = self.selection.accepted.requirement(name.as_str())?;
        let subject = self.catalog.subject(name).ok();
        let versions = || subject.iter().flat_map(|subject| subject.versions.values());
        let delivered = best(versions(), requirement).map(Arc::clone);
        let is_written = |version: &&Arc<SchemaVersion>| match &delivered {
            Some(chosen) if version.id == chosen.id => true,
            Some(chosen) => {
                self.selection.on_mismatch == OnMismatch::Deliver
                    && convertible(&version.version, &chosen.version).is_err()
            }
            None => self.selection.on_mismatch == OnMismatch::Deliver,
        };
        Some(NegotiatedSchema {
            event_type: name.clone(),
            requirement: requirement.clone(),
            written: versions()
                .filter(is_written)
                .map(|version| version.version.to_string())
                .collect(),
            delivered,
        })
    }

    /// The announced types that are delivered in another version since schemas were registered.
    pub fn changes(&mut self) -> Vec<NegotiatedSchema> {
        let (Some(schemas), Some(revisions)) = (&self.schemas, &mut self.revisions) else {
            return Vec::new();
        };
        if !revisions.has_changed().unwrap_or(false) {
            return Vec::new();
        }
        revisions.mark_unchanged();
        self.catalog = schemas.catalog();
        self.plans.clear();
        let names: Vec<_> = self.announced.keys().cloned().collect();
        let mut changes = Vec::new();
        for name in names {
            let Some(negotiated) = self.negotiate_type(&name) else { continue };
            if self.announced.insert(name, id_of(&negotiated)) != Some(id_of(&negotiated)) {
                changes.push(negotiated);
            }
        }
        changes
    }

    /// Waits until a schema is registered.
    pub async fn wait_for_registration(&mut self) {
        match &mut self.revisions {
            Some(revisions) => match revisions.changed().await {
                Ok(()) => revisions.mark_changed(),
                // The registry has stopped, and the server with it.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Delivers a batch in order.
    pub fn deliver(&mut self, events: Vec<Delivered>) -> Vec<DeliveryItem> {
        let (mut cost, mut projected) = (0, (0, 0));
        for event in &events {
            let bytes = event.recorded.event.len();
            match self.plans.get(&event.recorded.schema_id) {
                Some(DeliveryPlan::AsWritten) => {}
                Some(DeliveryPlan::Converted(pair)) if pair.has_projection() => {
                    cost += bytes / PROJECTION_SPEEDUP;
                    projected = (projected.0 + 1, projected.1 + bytes);
                }
                _ => cost += bytes,
            }
        }
        self.buffers.reserve(projected.0, projected.1);
        let is_expensive = cost > INLINE_BYTES_MAX;
        let work = || {
            let mut delivery = DeliveryBuilder::default();
            for event in events {
                if !self.deliver_event(event, &mut delivery) {
                    break;
                }
            }
            delivery.items
        };
        if is_expensive { tokio::task::block_in_place(work) } else { work() }
    }

    /// Delivers one event. Returns whether the stream continues.
    fn deliver_event(&mut self, mut event: Delivered, delivery: &mut DeliveryBuilder) -> bool {
        let written = event.recorded.schema_id;
        let plan = match self.plans.get(&written) {
            Some(known) => known.clone(),
            None => {
                if let Some(negotiated) = self.announce_type(&event) {
                    delivery.items.push(DeliveryItem::Changed(negotiated));
                }
                self.plan(written, &event.recorded.event)
            }
        };
        let reason = match plan {
            DeliveryPlan::AsWritten => {
                delivery.push_event(event);
                return true;
            }
            DeliveryPlan::Converted(pair) => {
                match self.conversions.convert(&pair, &event.recorded, &mut self.buffers) {
                    Ok(converted) => {
                        event.schema_id = pair.reader_id();
                        if let Some(bytes) = converted {
                            event.recorded.replace(bytes);
                            event.converted = true;
                        }
                        delivery.push_event(event);
                        return true;
                    }
                    Err(reason) => reason,
                }
            }
            DeliveryPlan::Undeliverable(reason) => reason,
            DeliveryPlan::Unknown(unavailable) => {
                delivery.items.push(DeliveryItem::RegistryUnavailable(unavailable));
                return false;
            }
        };
        match self.selection.on_mismatch {
            OnMismatch::Deliver => delivery.push_event(event),
            OnMismatch::Skip => delivery.push_skipped(&event, reason),
            OnMismatch::Fail => {
                let event_type = type_of(&event.recorded.event).into();
                delivery.items.push(DeliveryItem::Failed(VersionMismatch {
                    topic: event.topic,
                    offset: event.recorded.offset,
                    position: event.recorded.position,
                    event_type,
                    reason,
                }));
                return false;
            }
        }
        true
    }

    /// The version to announce for the type of an event. None: it was announced before, or has no
    /// requirement.
    fn announce_type(&mut self, event: &Delivered) -> Option<NegotiatedSchema> {
        let name = match self.catalog.by_id(event.recorded.schema_id) {
            Ok(written) => written.subject.clone(),
            Err(_) => SubjectName::parse(type_of(&event.recorded.event)).ok()?,
        };
        if self.announced.contains_key(&name) {
            return None;
        }
        let negotiated = self.negotiate_type(&name)?;
        self.announced.insert(name, id_of(&negotiated));
        Some(negotiated)
    }

    fn plan(&mut self, written: u32, event: &[u8]) -> DeliveryPlan {
        if written == 0 {
            let event_type = type_of(event);
            return match self.selection.accepted.requirement(event_type) {
                None => DeliveryPlan::AsWritten,
                Some(_) => DeliveryPlan::Undeliverable(format!(
                    "it was published without a schema of {event_type}"
                )),
            };
        }
        let plan = self.make_plan(written);
        if !matches!(plan, DeliveryPlan::Unknown(_)) {
            self.plans.insert(written, plan.clone());
        }
        plan
    }

    fn make_plan(&self, written: u32) -> DeliveryPlan {
        let Ok(writer) = self.catalog.by_id(written) else {
            let known = self.schemas.as_ref().map(|schemas| schemas.written(written));
            return match known {
                Some(Err(unavailable)) => {
                    DeliveryPlan::Unknown(RegistryUnavailable(unavailable.to_string()))
                }
                Some(Ok(_)) | None => DeliveryPlan::Undeliverable(format!(
                    "the schema with id {written} is not known"
                )),
            };
        };
        let Some(requirement) = self.selection.accepted.requirement(writer.subject.as_str()) else {
            return DeliveryPlan::AsWritten;
        };
        let Ok(subject) = self.catalog.subject(&writer.subject) else {
            return DeliveryPlan::Undeliverable(format!(
                "{} is no longer registered",
                writer.subject
            ));
        };
        let Some(reader) = best(subject.versions.values(), requirement) else {
            return DeliveryPlan::Undeliverable(unsatisfied(subject, requirement));
        };
        if reader.id == writer.id {
            return DeliveryPlan::AsWritten;
        }
        let undeliverable = |cause: Undeliverable| {
            let (from, to) = (&writer.version, &reader.version);
            DeliveryPlan::Undeliverable(format!(
                "it was written in {} {from} and {to} is delivered: {cause}",
                writer.subject
            ))
        };
        if let Err(reason) = convertible(&writer.version, &reader.version) {
            return undeliverable(reason);
        }
        match (self.catalog.parsed(writer), self.catalog.parsed(reader)) {
            (Ok(from), Ok(to)) => {
                DeliveryPlan::Converted(Arc::new(VersionPair::new((writer, from), (reader, to))))
            }
            (Err(_), _) | (_, Err(_)) => undeliverable(Undeliverable::Unreadable),
        }
    }
}

/// Why no version satisfies a requirement.
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
    EncodedEvent(event).text_attribute(tag::TYPE).unwrap_or_default()
}

fn id_of(negotiated: &NegotiatedSchema) -> u32 {
    negotiated.delivered.as_ref().map_or(0, |version| version.id)
}

impl NegotiatedSchema {
    /// Approximate size of its message.
    fn bytes(&self) -> usize {
        let written: usize = self.written.iter().map(|version| version.len() + 2).sum();
        1_024 + written + self.deprecation().map_or(0, str::len)
    }

    /// The deprecation notice of the delivered version. None: it is not deprecated.
    pub fn deprecation(&self) -> Option<&str> {
        let delivered =
            self.delivered.as_ref().filter(|version| version.state == State::Deprecated)?;
        Some(match delivered.deprecation.as_str() {
            "" => "deprecated",
            text => text,
        })
    }
}

#[derive(Default)]
struct DeliveryBuilder {
    items: Vec<DeliveryItem>,
    /// Bytes of the events of the last item.
    bytes: usize,
}

impl DeliveryBuilder {
    fn push_event(&mut self, event: Delivered) {
        let bytes = event.recorded.event.len();
        match self.items.last_mut() {
            Some(DeliveryItem::Events(events)) if self.bytes + bytes <= MESSAGE_BYTES_MAX => {
                self.bytes += bytes;
                events.push(event);
            }
            _ => {
                self.bytes = bytes;
                self.items.push(DeliveryItem::Events(vec![event]));
            }
        }
    }

    fn push_skipped(&mut self, event: &Delivered, reason: String) {
        let (offset, position) = (event.recorded.offset, event.recorded.position);
        if let Some(DeliveryItem::Skipped(last)) = self.items.last_mut()
            && last.topic == event.topic
            && last.until == offset
            && last.reason == reason
        {
            last.until = offset.next();
            last.position = position;
            return;
        }
        self.items.push(DeliveryItem::Skipped(SkippedRange {
            topic: Arc::clone(&event.topic),
            from: offset,
            until: offset.next(),
            position,
            reason,
        }));
    }
}
