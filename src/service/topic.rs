//! Encodes topics, and decodes changes of topics.

use std::time::Duration;

use prost_types::Timestamp;

use crate::{
    broker::topics::{TopicView, etag},
    model::{
        fault::{FaultKind, Faults},
        numbers::AppendTime,
        topic::{Retention, SchemaEnforcement, TopicConfig},
    },
    proto::events::v1 as proto,
};

/// The range of `google.protobuf.Duration`: 10,000 years.
const AGE_MAX: Duration = Duration::from_secs(315_576_000_000);
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// Most labels, and most allowed types, of a topic.
const ENTRIES_MAX: usize = 64;
/// Longest label name, label value and allowed type, in bytes.
const ENTRY_BYTES_MAX: usize = 255;

/// Encodes a time.
pub fn timestamp(time: AppendTime) -> Timestamp {
    let (seconds, nanos) = time.seconds_and_nanos();
    Timestamp { seconds, nanos }
}

/// Encodes a topic.
pub fn encode(view: &TopicView) -> proto::Topic {
    let config = &view.config;
    proto::Topic {
        name: view.name.to_string(),
        retention: config.retention.is_bounded().then(|| retention(&config.retention)),
        schema_enforcement: match config.schema_enforcement {
            SchemaEnforcement::IfRegistered => proto::SchemaEnforcement::IfRegistered,
            SchemaEnforcement::Required => proto::SchemaEnforcement::Required,
            SchemaEnforcement::Off => proto::SchemaEnforcement::Off,
        }
        .into(),
        allowed_types: config.allowed_types.clone(),
        max_event_bytes: config.event_bytes_max.unwrap_or(0),
        description: config.description.clone(),
        labels: config.labels.clone(),
        etag: etag(view.revision),
        create_time: Some(timestamp(view.created)),
        stats: Some(proto::TopicStats {
            first_offset: view.range.first.0,
            next_offset: view.range.next.0,
            bytes: view.range.bytes,
            first_append_time: view.first_time.map(timestamp),
            last_append_time: view.first_time.map(|_| timestamp(view.range.last_time)),
        }),
    }
}

fn retention(retention: &Retention) -> proto::Retention {
    proto::Retention {
        // Earlier versions accepted longer ages, which printers of ProtoJSON reject.
        max_age: retention.age_max.and_then(|age| age.min(AGE_MAX).try_into().ok()),
        max_bytes: retention.bytes_max.unwrap_or(0),
        max_events: retention.events_max.unwrap_or(0),
    }
}

/// The fields of a topic that a request sets.
pub fn fields(topic: &proto::Topic, mask: Option<&prost_types::FieldMask>) -> Vec<String> {
    if let Some(mask) = mask
        && !mask.paths.is_empty()
    {
        return mask.paths.clone();
    }
    [
        ("retention", topic.retention.is_some()),
        ("schema_enforcement", topic.schema_enforcement != 0),
        ("allowed_types", !topic.allowed_types.is_empty()),
        ("max_event_bytes", topic.max_event_bytes != 0),
        ("description", !topic.description.is_empty()),
        ("labels", !topic.labels.is_empty()),
    ]
    .into_iter()
    .filter(|(_, is_set)| *is_set)
    .map(|(name, _)| name.into())
    .collect()
}

/// A checked update of the named fields of a topic.
pub struct TopicUpdate {
    fields: Vec<String>,
    config: TopicConfig,
}

impl TopicUpdate {
    /// Sets the named fields of a configuration.
    pub fn apply(self, config: &mut TopicConfig) {
        let Self { fields, config: new } = self;
        for field in &fields {
            match field.as_str() {
                "retention" => config.retention = new.retention,
                "retention.max_age" => config.retention.age_max = new.retention.age_max,
                "retention.max_bytes" => config.retention.bytes_max = new.retention.bytes_max,
                "retention.max_events" => config.retention.events_max = new.retention.events_max,
                "schema_enforcement" => config.schema_enforcement = new.schema_enforcement,
                "allowed_types" => config.allowed_types.clone_from(&new.allowed_types),
                "max_event_bytes" => config.event_bytes_max = new.event_bytes_max,
                "description" => config.description.clone_from(&new.description),
                "labels" => config.labels.clone_from(&new.labels),
                // decode() rejects other names.
                _ => {}
            }
        }
    }
}

const SETTABLE: [&str; 9] = [
    "retention",
    "retention.max_age",
    "retention.max_bytes",
    "retention.max_events",
    "schema_enforcement",
    "allowed_types",
    "max_event_bytes",
    "description",
    "labels",
];

/// Checks the named fields of a topic.
///
/// # Errors
/// Returns all faults of the fields.
pub fn decode(
    topic: proto::Topic,
    fields: Vec<String>,
    event_bytes_max: usize,
) -> Result<TopicUpdate, Faults> {
    let mut faults = Faults::new();
    for (index, field) in fields.iter().enumerate() {
        if !SETTABLE.contains(&field.as_str()) {
            let description = format!(
                "{field:?} is not a settable field; settable fields are {}",
                SETTABLE.join(", ")
            );
            faults.add(FaultKind::Request, format!("update_mask.paths[{index}]"), description);
        }
    }
    let mut fault = |field: &str, description: String| {
        faults.add(FaultKind::Request, format!("topic.{field}"), description);
    };
    let retention = topic.retention.unwrap_or_default();
    let age_max = retention.max_age.and_then(|age| {
        let prost_types::Duration { seconds, nanos } = age;
        let duration = Duration::try_from(age);
        if duration.is_err() {
            fault("retention.max_age", "is negative: 0 means no limit".into());
        } else if !(0..1_000_000_000).contains(&nanos)
            || duration.as_ref().is_ok_and(|duration| *duration > AGE_MAX)
        {
            let limit = AGE_MAX.as_secs();
            let description = format!(
                "has {seconds} seconds and {nanos} nanos: a google.protobuf.Duration has at most {limit} seconds \
                 (10,000 years), and from 0 to 999999999 nanos"
            );
            fault("retention.max_age", description);
        }
        duration.ok().filter(|age| !age.is_zero())
    });
    let schema_enforcement = match proto::SchemaEnforcement::try_from(topic.schema_enforcement) {
        Ok(proto::SchemaEnforcement::Unspecified | proto::SchemaEnforcement::IfRegistered) => {
            SchemaEnforcement::IfRegistered
        }
        Ok(proto::SchemaEnforcement::Required) => SchemaEnforcement::Required,
        Ok(proto::SchemaEnforcement::Off) => SchemaEnforcement::Off,
        Err(_) => {
            let description = format!("{} is not a SchemaEnforcement", topic.schema_enforcement);
            fault("schema_enforcement", description);
            SchemaEnforcement::IfRegistered
        }
    };
    if topic.max_event_bytes as usize > event_bytes_max {
        let description =
            format!("{} bytes; the server's limit is {event_bytes_max}", topic.max_event_bytes);
        fault("max_event_bytes", description);
    }
    if topic.description.len() > DESCRIPTION_BYTES_MAX {
        let description =
            format!("{} bytes; the limit is {DESCRIPTION_BYTES_MAX}", topic.description.len());
        fault("description", description);
    }
    for (field, count) in
        [("allowed_types", topic.allowed_types.len()), ("labels", topic.labels.len())]
    {
        if count > ENTRIES_MAX {
            fault(field, format!("{count} entries; the limit is {ENTRIES_MAX}"));
        }
    }
    for (index, allowed) in topic.allowed_types.iter().enumerate() {
        let name = allowed.strip_suffix('*').unwrap_or(allowed);
        if allowed.is_empty() || name.contains('*') || allowed.len() > ENTRY_BYTES_MAX {
            let description = format!(
                "is {allowed:?}: expected a type, or a prefix that ends in '*', of at most {ENTRY_BYTES_MAX} bytes"
            );
            fault(&format!("allowed_types[{index}]"), description);
        }
    }
    for (name, value) in &topic.labels {
        if name.is_empty() || name.len() > ENTRY_BYTES_MAX || value.len() > ENTRY_BYTES_MAX {
            let description = format!(
                "expected a name that is not empty, and at most {ENTRY_BYTES_MAX} bytes each in name and value"
            );
            fault(&format!("labels[{name:?}]"), description);
        }
    }
    let config = TopicConfig {
        retention: Retention {
            age_max,
            bytes_max: Some(retention.max_bytes).filter(|bytes| *bytes > 0),
            events_max: Some(retention.max_events).filter(|events| *events > 0),
        },
        schema_enforcement,
        allowed_types: topic.allowed_types,
        event_bytes_max: Some(topic.max_event_bytes).filter(|bytes| *bytes > 0),
        description: topic.description,
        labels: topic.labels,
    };
    faults.finish(|| Some(TopicUpdate { fields, config }))
}
