//! The schema gate: published payloads match the schema of their type. A refusal is a verdict on an
//! event and travels with its commit, so that a recorded event stays a duplicate, whatever its
//! schema is now.

use std::{collections::HashMap, sync::Arc};

use tidings_registry::{
    catalog::Catalog,
    mirror::RegistryUnavailable,
    name::SubjectName,
    schema::{SchemaVersion, State},
    schemas::Schemas,
    subject::Subject,
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
        event::{NewEvent, PayloadField, Refusal},
        media::{self, Media},
        topic::SchemaEnforcement,
    },
    telemetry::Metrics,
};

/// Most bytes of payloads checked on the serving thread: about a millisecond of JSON.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Most violations reported for a payload.
const VIOLATIONS_MAX: usize = 20;

/// Most characters of the path, and of the message, of a violation.
const FAULT_CHARS_MAX: usize = 400;

/// The schema gate. Without a registry, no type has a schema.
#[derive(Clone)]
pub(super) struct Gate {
    schemas: Option<Schemas>,
    metrics: Metrics,
}

/// The schema of an event.
#[derive(Clone)]
enum GoverningSchema {
    /// A version of its type.
    Version(Arc<SchemaVersion>, Arc<Schema>),
    /// The type has no schema.
    Ungoverned,
    /// The schema cannot be used.
    Refused(Refusal),
}

impl Gate {
    pub(super) fn new(schemas: Option<Schemas>, metrics: Metrics) -> Self {
        Self { schemas, metrics }
    }

    /// Checks events against their schemas. A matching payload is encoded in the encoding of its
    /// schema; other events get a refusal. Also returns a notice for each deprecated version.
    pub(super) async fn check(
        &self,
        enforcement: SchemaEnforcement,
        mut events: Vec<NewEvent>,
    ) -> (Vec<NewEvent>, Vec<String>) {
        if enforcement == SchemaEnforcement::Off {
            return (events, Vec::new());
        }
        let (governing_schemas, schema_indexes) = self.governing_schemas(&events).await;
        let mut notices = Vec::new();
        for governing_schema in &governing_schemas {
            if let GoverningSchema::Version(schema_version, _) = governing_schema
                && schema_version.state == State::Deprecated
            {
                notices.push(deprecation_notice(schema_version));
            }
        }
        let is_governed = |governing_schema: &GoverningSchema| {
            matches!(governing_schema, GoverningSchema::Version(..))
        };
        let bytes: usize = events
            .iter()
            .zip(&schema_indexes)
            .filter(|(_, at)| is_governed(&governing_schemas[**at]))
            .map(|(event, _)| event.row.len())
            .sum();
        let catalog = self.schemas.as_ref().map(Schemas::catalog);
        let work = move || {
            for (event, at) in events.iter_mut().zip(schema_indexes) {
                if event.refusal.is_none() {
                    admit(event, &governing_schemas[at], enforcement, catalog.as_deref());
                }
            }
            events
        };
        let events = if bytes <= INLINE_BYTES_MAX { work() } else { blocking(work).await };
        for event in &events {
            match &event.refusal {
                Some(Refusal::PayloadInvalid { .. }) => self.metrics.payload_refused(),
                Some(Refusal::RegistryUnavailable { .. }) => self.metrics.registry_missed(),
                _ => {}
            }
        }
        (events, notices)
    }

    /// The distinct schemas of a batch, and for each event the index of its schema.
    async fn governing_schemas(&self, events: &[NewEvent]) -> (Vec<GoverningSchema>, Vec<usize>) {
        let mut governing_schemas = Vec::new();
        let mut schema_indexes = Vec::with_capacity(events.len());
        let mut known: HashMap<(&str, &str), usize> = HashMap::new();
        for event in events {
            let requested = EncodedEvent(event.encoded())
                .text_attribute(tag::SCHEMAVERSION)
                .unwrap_or_default();
            let at = match known.get(&(event.event_type.as_str(), requested)) {
                Some(at) => *at,
                None => {
                    governing_schemas
                        .push(self.governing_schema(&event.event_type, requested).await);
                    known.insert((&event.event_type, requested), governing_schemas.len() - 1);
                    governing_schemas.len() - 1
                }
            };
            schema_indexes.push(at);
        }
        (governing_schemas, schema_indexes)
    }

    async fn governing_schema(&self, event_type: &str, requested: &str) -> GoverningSchema {
        // A type that is not a valid subject name has no schema.
        let (Some(schemas), Ok(name)) = (&self.schemas, SubjectName::parse(event_type)) else {
            return GoverningSchema::Ungoverned;
        };
        let unusable = |detail: String| {
            let (event_type, requested) = (event_type.into(), requested.into());
            GoverningSchema::Refused(Refusal::VersionUnusable { event_type, requested, detail })
        };
        let unavailable = |error: RegistryUnavailable| {
            tracing::warn!(event_type, detail = error.0, "an event's schema cannot be looked up");
            let event_type = event_type.into();
            GoverningSchema::Refused(Refusal::RegistryUnavailable {
                event_type,
                detail: error.to_string(),
            })
        };
        let subject = match schemas.subject(&name).await {
            Ok(Some(subject)) => subject,
            Ok(None) => return GoverningSchema::Ungoverned,
            Err(error) => return unavailable(error),
        };
        let selector = match Selector::parse_prefix(requested) {
            Ok(selector) => selector,
            Err(error) => return unusable(error),
        };
        let selected = match (subject.select(&selector), &selector) {
            (Some(version), _) => Ok(Some(Arc::clone(version))),
            (None, Selector::Exactly(version)) => schemas.version(&name, version).await,
            (None, Selector::Newest | Selector::Best(_)) => Ok(None),
        };
        let schema_version = match selected {
            Ok(Some(version)) => version,
            Ok(None) => {
                return unusable(format!(
                    "no such version is registered; {}",
                    usable_versions(&subject)
                ));
            }
            Err(error) => return unavailable(error),
        };
        if schema_version.state == State::Retired {
            return unusable(format!(
                "{} is retired; {}",
                schema_version.version,
                usable_versions(&subject)
            ));
        }
        let catalog = schemas.catalog();
        let parse = {
            let schema_version = Arc::clone(&schema_version);
            move || catalog.parsed(&schema_version)
        };
        // The first event of a schema compiles it, which may take a second.
        let parsed =
            if schema_version.parsed.get().is_some() { parse() } else { blocking(parse).await };
        match parsed {
            Ok(schema) => GoverningSchema::Version(schema_version, schema),
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

/// The newest few versions that can be published, as text.
fn usable_versions(subject: &Subject) -> String {
    let versions = subject.versions.values().filter(|version| version.state != State::Retired);
    let versions: Vec<_> = versions.map(|version| &version.version).collect();
    match versions.as_slice() {
        [] => "all versions are retired: register a new one".into(),
        _ => format!("available versions: {}", tidings_schema::version::list(versions.into_iter())),
    }
}

fn deprecation_notice(schema_version: &SchemaVersion) -> String {
    let SchemaVersion { subject, version, deprecation, .. } = schema_version;
    match deprecation.as_str() {
        "" => format!("{subject} {version}"),
        text => format!("{subject} {version}: {text}"),
    }
}

fn admit(
    event: &mut NewEvent,
    governing_schema: &GoverningSchema,
    enforcement: SchemaEnforcement,
    catalog: Option<&Catalog>,
) {
    match governing_schema {
        GoverningSchema::Refused(refusal) => event.refusal = Some(refusal.clone()),
        GoverningSchema::Ungoverned => {
            let hint = match enforcement {
                SchemaEnforcement::Required if catalog.is_some() => {
                    "the topic accepts registered types only: register the schema first"
                }
                SchemaEnforcement::Required => {
                    "the topic accepts registered types only, and this server runs without a registry"
                }
                SchemaEnforcement::IfRegistered if event.payload_field == PayloadField::Any => {
                    "an Any has to be of a registered type, unless the topic's schema_enforcement is OFF"
                }
                SchemaEnforcement::IfRegistered | SchemaEnforcement::Off => return,
            };
            let event_type = event.event_type.clone();
            event.refusal = Some(Refusal::SchemaRequired { event_type, hint });
        }
        GoverningSchema::Version(schema_version, schema) => match check_payload(
            event,
            schema_version.format,
            schema,
            catalog.map_or(&NoMessages as &dyn Messages, |catalog| catalog as &dyn Messages),
        ) {
            Ok(encoding) => {
                event.schema_id = schema_version.id;
                apply_encoding(event, encoding, schema_version);
            }
            Err(violations) => {
                event.refusal = Some(Refusal::PayloadInvalid {
                    event_type: event.event_type.clone(),
                    version: schema_version.version.to_string(),
                    payload_field: event.payload_field,
                    violations: violations
                        .into_iter()
                        .map(|violation| (shorten(violation.path), shorten(violation.message)))
                        .collect(),
                });
            }
        },
    }
}

/// A violation may quote the payload, which can have a mebibyte.
fn shorten(text: String) -> String {
    match text.char_indices().nth(FAULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The encoding in which a valid payload is recorded.
enum PayloadEncoding {
    /// As published.
    AsSent,
    /// Re-encoded in the encoding of its schema.
    Encoded(Vec<u8>),
}

/// Checks a payload against its schema. `messages` has the message types that an Any in it may
/// contain in addition.
fn check_payload(
    event: &NewEvent,
    format: Format,
    schema: &Schema,
    messages: &dyn Messages,
) -> Result<PayloadEncoding, Vec<Violation>> {
    let encoded = EncodedEvent(event.encoded());
    let content_type = encoded.text_attribute(tag::DATACONTENTTYPE).unwrap_or_default();
    let media = Media::of(content_type);
    let fault = |message: String| Err(vec![Violation { path: String::new(), message }]);
    let media_mismatch = |expected: &str| {
        fault(format!(
            "has the datacontenttype {content_type:?}, and {} is {format}: {expected}",
            event.event_type
        ))
    };
    let Some(payload) = encoded.payload() else {
        return fault("is missing: the type has a schema".into());
    };
    let checked = match (format, payload, media) {
        (Format::Json, Payload::Text(text), Media::Json | Media::Unspecified) => {
            schema.validate_json(text).map(|()| PayloadEncoding::AsSent)
        }
        (Format::Json, Payload::Binary(bytes), Media::Json | Media::Unspecified) => {
            schema.validate_binary(bytes).map(|()| PayloadEncoding::AsSent)
        }
        (Format::Json, Payload::Text(_) | Payload::Binary(_), _) => {
            return media_mismatch("send application/json");
        }
        (Format::Protobuf | Format::Avro, Payload::Text(json), Media::Json) => {
            schema.encode_with(json, messages).map(PayloadEncoding::Encoded)
        }
        (Format::Protobuf | Format::Avro, Payload::Binary(bytes), Media::Json) => {
            match str::from_utf8(bytes) {
                Ok(json) => schema.encode_with(json, messages).map(PayloadEncoding::Encoded),
                Err(error) => {
                    return fault(format!("is not UTF-8 after byte {}", error.valid_up_to()));
                }
            }
        }
        (Format::Protobuf | Format::Avro, Payload::Text(_), _) => {
            return media_mismatch(
                "send text as JSON (application/json), or the encoded bytes as binary_data",
            );
        }
        (Format::Protobuf, Payload::Binary(bytes), Media::Protobuf | Media::Unspecified)
        | (Format::Avro, Payload::Binary(bytes), Media::Avro | Media::Unspecified) => {
            schema.validate_binary(bytes).map(|()| PayloadEncoding::AsSent)
        }
        (Format::Protobuf, Payload::Binary(_), _) => {
            return media_mismatch(
                "send application/protobuf or application/json, or leave it out",
            );
        }
        (Format::Avro, Payload::Binary(_), _) => {
            return media_mismatch("send avro/binary or application/json, or leave it out");
        }
        (Format::Protobuf, Payload::Any { type_url, value }, _) => {
            let message = schema.message_name().unwrap_or_default();
            let sent = type_url.rsplit('/').next().unwrap_or_default();
            if sent != message {
                return fault(format!(
                    "is a {sent:?}, and the schema of {} is the message {message}",
                    event.event_type
                ));
            }
            schema.validate_binary(value).map(|()| PayloadEncoding::AsSent)
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

/// Replaces fields of the event by those that are recorded: its exact schema version, and its
/// payload in the encoding of the schema.
fn apply_encoding(event: &mut NewEvent, encoding: PayloadEncoding, schema_version: &SchemaVersion) {
    let version = schema_version.version.to_string();
    let declared =
        EncodedEvent(event.encoded()).text_attribute(tag::SCHEMAVERSION).unwrap_or_default();
    let is_declared = declared == version;
    let mut fields: Vec<(u32, &[u8])> = Vec::with_capacity(3);
    if let PayloadEncoding::Encoded(bytes) = &encoding {
        fields.push((tag::BINARY_DATA, bytes));
        let content_type = match schema_version.format {
            Format::Protobuf => media::PROTOBUF,
            Format::Avro => media::AVRO,
            Format::Json => media::JSON,
        };
        fields.push((tag::DATACONTENTTYPE, content_type.as_bytes()));
    }
    if !is_declared {
        fields.push((tag::SCHEMAVERSION, version.as_bytes()));
    }
    if !fields.is_empty() {
        event.replace(&fields);
    }
}
