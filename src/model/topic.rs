//! Configuration of a topic.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// How payloads are checked at a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaEnforcement {
    /// Payloads of types with a schema are checked; other types are accepted.
    #[default]
    IfRegistered,
    /// Only types with a schema are accepted.
    Required,
    /// Payloads are not checked.
    Off,
}

/// Bounds on the retained events. The oldest events are removed as soon as one bound is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Longest age. None: no bound.
    pub age_max: Option<Duration>,
    /// Most bytes. None: no bound.
    pub bytes_max: Option<u64>,
    /// Most events. None: no bound.
    pub events_max: Option<u64>,
}

impl Retention {
    /// Whether events are ever removed.
    pub fn is_bounded(&self) -> bool {
        self.age_max.is_some() || self.bytes_max.is_some() || self.events_max.is_some()
    }
}

/// The settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicConfig {
    /// Bounds on the retained events.
    pub retention: Retention,
    /// How payloads are checked.
    pub schema_enforcement: SchemaEnforcement,
    /// Types that may be published; prefixes end in `*`. Empty: any.
    pub allowed_types: Vec<String>,
    /// Largest event, in bytes. None: the limit of the server.
    pub event_bytes_max: Option<u32>,
    /// A description for people.
    pub description: String,
    /// Labels for programs.
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
