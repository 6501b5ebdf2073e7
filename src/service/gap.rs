//! Gaps on the wire: requested events that cannot be delivered.

use crate::{
    broker::{error::LossCause, negotiation::SkippedRange, start::MissingRange},
    proto::events::v1 as proto,
};

/// The gap of events that no accepted schema version can represent.
pub fn skipped_gap(skipped: &SkippedRange, cursor: String) -> proto::Gap {
    proto::Gap {
        topic: skipped.topic.to_string(),
        first_offset: skipped.from.0,
        next_offset: skipped.until.0,
        reason: proto::GapReason::SchemaMismatch.into(),
        detail: skipped.reason.clone(),
        cursor,
    }
}

/// The gap of events that are no longer stored.
pub fn gap(missing: &MissingRange, cursor: String) -> proto::Gap {
    let topic = missing.topic.as_ref().map(|topic| topic.name.as_str());
    let (reason, detail) = match (missing.cause, topic) {
        (LossCause::Hole(hole), _) => (
            proto::GapReason::UnsyncedLoss,
            format!(
                "the server stopped uncleanly: BUFFERED events between positions {} and {} are lost",
                hole.after, hole.until
            ),
        ),
        (LossCause::Deletion, topic) => (
            proto::GapReason::TopicDeleted,
            format!(
                "topic {} was deleted and created again: events of the deleted topic before its offset {} are lost",
                topic.unwrap_or_default(),
                missing.until
            ),
        ),
        (LossCause::Trim, Some(topic)) => (
            proto::GapReason::Retention,
            format!(
                "retention or a trim removed events of topic {topic} before offset {}",
                missing.until
            ),
        ),
        (LossCause::Trim, None) => (proto::GapReason::Retention, "events were removed".into()),
    };
    proto::Gap {
        topic: topic.unwrap_or_default().to_owned(),
        first_offset: missing.from.0,
        next_offset: missing.until.0,
        reason: reason.into(),
        detail,
        cursor,
    }
}
