//! The schema gate: what is published fits the schema of its type. A refusal is a verdict on the event and travels with
//! its commit, so that what is recorded already stays a duplicate, whatever the schema says today.

use std::{collections::HashMap, sync::Arc};

use tidings_registry::{
    catalog::Catalog,
    mirror::RegistryUnavailable,
    schema::{SchemaVersion, State},
    schemas::Schemas,
    subject::{Subject, SubjectName},
};
use tidings_schema::{
    definition::Violation,
    protobuf::{Messages, NoMessages},
    schema::{Format, Schema},
    version::Selector,
};

use crate::{
    model::{
        encoded::{EncodedEvent, Payload, tag},
        event::{Form, NewEvent, Refusal},
        media::{self, Media},
        topic::SchemaEnforcement,
    },
    telemetry::Metrics,
};

/// Bytes of payloads that are checked on the thread that serves: about a millisecond of JSON.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Faults of one payload that are told.
const VIOLATIONS_MAX: usize = 20;

/// Characters of a fault's place, and of what is said about it.
const FAULT_CHARS_MAX: usize = 400;

/// Knows the schemas, or that there are none.
#[derive(Clone)]
pub(super) struct Gate {
    schemas: Option<Schemas>,
    metrics: Metrics,
}

/// What governs an event.
#[derive(Clone)]
enum Governor {
    /// This version.
    Version(Arc<SchemaVersion>, Arc<Schema>),
    /// Nothing does.
    Nobody,
    /// It is not to be had.
    Refused(Refusal),
}

impl Gate {
    pub(super) fn new(schemas: Option<Schemas>, metrics: Metrics) -> Self {
        Self { schemas, metrics }
    }

    /// Judges events: sets the schema of those that fit theirs, in its encoding, and the refusal of those that do not.
    /// What it answers are notices of deprecated versions, one for each.
    pub(super) async fn judge(
        &self,
        enforcement: SchemaEnforcement,
        mut events: Vec<NewEvent>,
    ) -> (Vec<NewEvent>, Vec<String>) {
        if enforcement == SchemaEnforcement::Off {
            return (events, Vec::new());
        }
        let (governors, of_event) = self.governors(&events).await;
        let mut notices = Vec::new();
        for governor in &governors {
            if let Governor::Version(registered, _) = governor
                && registered.state == State::Deprecated
            {
                notices.push(notice(registered));
            }
        }
        let is_governed = |governor: &Governor| matches!(governor, Governor::Version(..));
        let bytes: usize = events
            .iter()
            .zip(&of_event)
            .filter(|(_, at)| is_governed(&governors[**at]))
            .map(|(event, _)| event.row.len())
            .sum();
        let catalog = self.schemas.as_ref().map(Schemas::catalog);
        let work = move || {
            for (event, at) in events.iter_mut().zip(of_event) {
                if event.refusal.is_none() {
                    admit(event, &governors[at], enforcement, catalog.as_deref());
                }
            }
            events
        };
        let events = if bytes <= INLINE_BYTES_MAX { work() } else { blocking(work).await };
        for event in &events {
            match &event.refusal {
                Some(Refusal::PayloadInvalid { .. }) => self.metrics.payload_refused(),
                Some(Refusal::RegistryAway { .. }) => self.metrics.registry_missed(),
                _ => {}
            }
        }
        (events, notices)
    }

    /// What governs the events of a batch: each once, and which one each event has.
    async fn governors(&self, events: &[NewEvent]) -> (Vec<Governor>, Vec<usize>) {
        let mut governors = Vec::new();
        let mut of_event = Vec::with_capacity(events.len());
        let mut known: HashMap<(&str, &str), usize> = HashMap::new();
        for event in events {
            let asked = EncodedEvent(event.encoded()).named(tag::SCHEMAVERSION).unwrap_or_default();
            let at = match known.get(&(event.event_type.as_str(), asked)) {
                Some(at) => *at,
                None => {
                    governors.push(self.governor(&event.event_type, asked).await);
                    known.insert((&event.event_type, asked), governors.len() - 1);
                    governors.len() - 1
                }
            };
            of_event.push(at);
        }
        (governors, of_event)
    }

    async fn governor(&self, event_type: &str, asked: &str) -> Governor {
        // What cannot be the name of a subject has no schema.
        let (Some(schemas), Ok(name)) = (&self.schemas, SubjectName::parse(event_type)) else {
            return Governor::Nobody;
        };
        let unusable = |detail: String| {
            let (event_type, asked) = (event_type.into(), asked.into());
            Governor::Refused(Refusal::VersionUnusable { event_type, asked, detail })
        };
        let away = |away: RegistryUnavailable| {
            tracing::warn!(event_type, detail = away.0, "an event's schema cannot be looked up");
            let event_type = event_type.into();
            Governor::Refused(Refusal::RegistryAway { event_type, detail: away.to_string() })
        };
        let subject = match schemas.subject(&name).await {
            Ok(Some(subject)) => subject,
            Ok(None) => return Governor::Nobody,
            Err(error) => return away(error),
        };
        let selector = match Selector::written(asked) {
            Ok(selector) => selector,
            Err(why) => return unusable(why),
        };
        let found = match (subject.select(&selector), &selector) {
            (Some(found), _) => Ok(Some(Arc::clone(found))),
            (None, Selector::Exactly(version)) => schemas.version(&name, version).await,
            (None, Selector::Newest | Selector::Best(_)) => Ok(None),
        };
        let registered = match found {
            Ok(Some(registered)) => registered,
            Ok(None) => return unusable(format!("there is none; {}", usable(&subject))),
            Err(error) => return away(error),
        };
        if registered.state == State::Retired {
            return unusable(format!("{} is retired; {}", registered.version, usable(&subject)));
        }
        let catalog = schemas.catalog();
        let parse = {
            let registered = Arc::clone(&registered);
            move || catalog.parsed(&registered)
        };
        // The first event of a schema compiles it, which may take a second.
        let parsed =
            if registered.parsed.get().is_some() { parse() } else { blocking(parse).await };
        match parsed {
            Ok(schema) => Governor::Version(registered, schema),
            Err(error) => unusable(error.to_string()),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The versions that can be published, in words: the newest few.
fn usable(subject: &Subject) -> String {
    let versions = subject.versions.values().filter(|it| it.state != State::Retired);
    let versions: Vec<_> = versions.map(|it| &it.version).collect();
    match versions.as_slice() {
        [] => "all of them are retired: register a new one".into(),
        _ => format!("there are {}", tidings_schema::version::list(versions.into_iter())),
    }
}

fn notice(registered: &SchemaVersion) -> String {
    let SchemaVersion { subject, version, deprecation, .. } = registered;
    match deprecation.as_str() {
        "" => format!("{subject} {version}"),
        text => format!("{subject} {version}: {text}"),
    }
}

fn admit(
    event: &mut NewEvent,
    governor: &Governor,
    enforcement: SchemaEnforcement,
    catalog: Option<&Catalog>,
) {
    match governor {
        Governor::Refused(refusal) => event.refusal = Some(refusal.clone()),
        Governor::Nobody => {
            let hint = match enforcement {
                SchemaEnforcement::Required if catalog.is_some() => {
                    "the topic takes registered types only: register its schema first"
                }
                SchemaEnforcement::Required => {
                    "the topic takes registered types only, and this server runs without a registry"
                }
                SchemaEnforcement::IfRegistered if event.form == Form::Any => {
                    "an Any has to be of a registered type, unless the topic's schema_enforcement is OFF"
                }
                SchemaEnforcement::IfRegistered | SchemaEnforcement::Off => return,
            };
            let event_type = event.event_type.clone();
            event.refusal = Some(Refusal::SchemaRequired { event_type, hint });
        }
        Governor::Version(registered, schema) => match fit(
            event,
            registered.format,
            schema,
            catalog.map_or(&NoMessages as &dyn Messages, |it| it as &dyn Messages),
        ) {
            Ok(recorded) => {
                event.schema_id = registered.id;
                record(event, recorded, registered);
            }
            Err(violations) => {
                event.refusal = Some(Refusal::PayloadInvalid {
                    event_type: event.event_type.clone(),
                    version: registered.version.to_string(),
                    form: event.form,
                    violations: violations
                        .into_iter()
                        .map(|it| (shorten(it.path), shorten(it.message)))
                        .collect(),
                });
            }
        },
    }
}

/// A fault may quote the payload, which has a mebibyte.
fn shorten(text: String) -> String {
    match text.char_indices().nth(FAULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How a payload that fits is recorded.
enum Recorded {
    /// As it was sent.
    AsSent,
    /// In the encoding of its schema.
    Encoded(Vec<u8>),
}

/// Checks a payload against its schema. `messages`: what an Any in it may hold besides.
fn fit(
    event: &NewEvent,
    format: Format,
    schema: &Schema,
    messages: &dyn Messages,
) -> Result<Recorded, Vec<Violation>> {
    let encoded = EncodedEvent(event.encoded());
    let content_type = encoded.named(tag::DATACONTENTTYPE).unwrap_or_default();
    let media = Media::of(content_type);
    let fault = |message: String| Err(vec![Violation { path: String::new(), message }]);
    let wrong = |expected: &str| {
        fault(format!(
            "has the datacontenttype {content_type:?}, and {} is {format}: {expected}",
            event.event_type
        ))
    };
    let Some(payload) = encoded.payload() else {
        return fault("is missing: the type has a schema".into());
    };
    let checked = match (format, payload, media) {
        (Format::Json, Payload::Text(text), Media::Json | Media::Unsaid) => {
            schema.validate_json(text).map(|()| Recorded::AsSent)
        }
        (Format::Json, Payload::Binary(bytes), Media::Json | Media::Unsaid) => {
            schema.validate_binary(bytes).map(|()| Recorded::AsSent)
        }
        (Format::Json, Payload::Text(_) | Payload::Binary(_), _) => {
            return wrong("send application/json");
        }
        (Format::Protobuf | Format::Avro, Payload::Text(json), Media::Json) => {
            schema.encode_with(json, messages).map(Recorded::Encoded)
        }
        (Format::Protobuf | Format::Avro, Payload::Binary(bytes), Media::Json) => {
            match str::from_utf8(bytes) {
                Ok(json) => schema.encode_with(json, messages).map(Recorded::Encoded),
                Err(error) => {
                    return fault(format!("is not UTF-8 behind byte {}", error.valid_up_to()));
                }
            }
        }
        (Format::Protobuf | Format::Avro, Payload::Text(_), _) => {
            return wrong(
                "send text as JSON (application/json), or the encoded bytes as binary_data",
            );
        }
        (Format::Protobuf, Payload::Binary(bytes), Media::Protobuf | Media::Unsaid)
        | (Format::Avro, Payload::Binary(bytes), Media::Avro | Media::Unsaid) => {
            schema.validate_binary(bytes).map(|()| Recorded::AsSent)
        }
        (Format::Protobuf, Payload::Binary(_), _) => {
            return wrong("send application/protobuf or application/json, or leave it out");
        }
        (Format::Avro, Payload::Binary(_), _) => {
            return wrong("send avro/binary or application/json, or leave it out");
        }
        (Format::Protobuf, Payload::Any { type_url, value }, _) => {
            let message = schema.message_name().unwrap_or_default();
            let given = type_url.rsplit('/').next().unwrap_or_default();
            if given != message {
                return fault(format!(
                    "is a {given:?}, and the schema of {} is the message {message}",
                    event.event_type
                ));
            }
            schema.validate_binary(value).map(|()| Recorded::AsSent)
        }
        (Format::Json | Format::Avro, Payload::Any { .. }, _) => {
            return fault(format!("is Protobuf, and {} is {format}", event.event_type));
        }
    };
    checked.map_err(|mut violations| {
        let more = violations.len().saturating_sub(VIOLATIONS_MAX);
        violations.truncate(VIOLATIONS_MAX);
        if more > 0 {
            let message = format!("{more} more faults");
            violations.push(Violation { path: String::new(), message });
        }
        violations
    })
}

/// Writes what the event is recorded with: its exact schema version, and its payload in the encoding of the schema.
fn record(event: &mut NewEvent, recorded: Recorded, registered: &SchemaVersion) {
    let version = registered.version.to_string();
    let said = EncodedEvent(event.encoded()).named(tag::SCHEMAVERSION).unwrap_or_default();
    let is_said = said == version;
    let mut fields: Vec<(u32, &[u8])> = Vec::with_capacity(3);
    if let Recorded::Encoded(bytes) = &recorded {
        fields.push((tag::BINARY_DATA, bytes));
        let content_type = match registered.format {
            Format::Protobuf => media::PROTOBUF,
            Format::Avro => media::AVRO,
            Format::Json => media::JSON,
        };
        fields.push((tag::DATACONTENTTYPE, content_type.as_bytes()));
    }
    if !is_said {
        fields.push((tag::SCHEMAVERSION, version.as_bytes()));
    }
    if !fields.is_empty() {
        event.replace(&fields);
    }
}
