//! Builds the response to a publish.

use super::topic::timestamp;
use crate::{
    broker::{Broker, publish::Publish},
    model::{
        commit::{Durability, Placement},
        cursor::{Cursor, ServerId},
    },
    proto::events::v1 as proto,
};

/// The parts of a publish request that its response repeats.
pub struct ResponseContext {
    ids: Vec<String>,
    durability: Durability,
    validate_only: bool,
    server: ServerId,
}

impl ResponseContext {
    pub fn of(publish: &Publish, server: ServerId) -> Self {
        Self {
            ids: publish.events.iter().map(|event| event.id.clone()).collect(),
            durability: publish.durability,
            validate_only: publish.validate_only,
            server,
        }
    }

    pub fn response(self, broker: &Broker, placements: &[Placement]) -> proto::PublishResponse {
        // Consecutive events mostly have the same schema, so the last version text is kept.
        let mut version = (0, String::new());
        let results = self.ids.into_iter().zip(placements).map(|(id, placement)| {
            if version.0 != placement.schema_id {
                let written = broker.schema_version(placement.schema_id);
                let text = written.map(|schema| schema.version.to_string()).unwrap_or_default();
                version = (placement.schema_id, text);
            }
            let is_recorded = !self.validate_only || placement.duplicate;
            let cursor = Cursor { position: placement.position, horizon: placement.position };
            proto::PublishResult {
                id,
                offset: placement.offset.0,
                key_version: placement.key_version.0,
                duplicate: placement.duplicate,
                append_time: is_recorded.then(|| timestamp(placement.append_time)),
                cursor: if is_recorded {
                    cursor.text(self.server).to_string()
                } else {
                    String::new()
                },
                schema_version: version.1.clone(),
                durability: match self.durability {
                    Durability::Synced => proto::Durability::Synced,
                    Durability::Buffered => proto::Durability::Buffered,
                }
                .into(),
                position: placement.position.0,
            }
        });
        proto::PublishResponse { results: results.collect() }
    }
}
