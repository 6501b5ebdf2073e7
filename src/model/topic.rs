//! What a topic is asked to keep and to take.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// What is asked of a published payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaEnforcement {
    /// A type that has a schema is checked, one that has none passes.
    #[default]
    IfRegistered,
    /// Only registered types.
    Required,
    /// Nothing is checked.
    Off,
}

/// The first bound that is reached removes the oldest events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Events older than this go. None: no bound.
    pub age_max: Option<Duration>,
    /// Bytes of events kept. None: no bound.
    pub bytes_max: Option<u64>,
    /// Events kept. None: no bound.
    pub events_max: Option<u64>,
}

impl Retention {
    /// Whether anything is ever removed.
    pub fn is_bounded(&self) -> bool {
        self.age_max.is_some() || self.bytes_max.is_some() || self.events_max.is_some()
    }
}

/// What its owner decides about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicConfig {
    /// What is kept.
    pub retention: Retention,
    /// What is asked of payloads.
    pub schema_enforcement: SchemaEnforcement,
    /// Types that may be published; prefixes end in `*`. Empty: any.
    pub allowed_types: Vec<String>,
    /// Largest event, in bytes. None: the server's limit.
    pub event_bytes_max: Option<u32>,
    /// For people.
    pub description: String,
    /// For machines.
    pub labels: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Whether an event of this type may be published.
    pub fn allows(&self, event_type: &str) -> bool {
        self.allowed_types.is_empty()
            || self.allowed_types.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(prefix) => event_type.starts_with(prefix),
                None => event_type == allowed,
            })
    }
}
