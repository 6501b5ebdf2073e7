//! Publishing: admission of a batch, then the journal.

use std::sync::Arc;

use super::{
    Broker,
    error::{Draining, PublishError, TopicError},
};
use crate::{
    journal::CommitError,
    model::{
        commit::{Action, Applied, Commit, Condition, Durability, Placement, Rejected},
        event::{NewEvent, Refusal},
        name::TopicName,
        topic::TopicConfig,
    },
    store::topics::Topic,
};

/// A well-formed batch.
#[derive(Debug)]
pub struct Publish {
    /// The topic.
    pub topic: TopicName,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// Conditions that must all hold.
    pub conditions: Vec<Condition>,
    /// The durability at which the publish is acknowledged.
    pub durability: Durability,
    /// Checks the batch and predicts its placements, but appends nothing.
    pub validate_only: bool,
}

/// A publish with a place in the order, whose result is pending.
pub struct PendingPublish {
    topic: TopicName,
    events: u64,
    bytes: u64,
    notices: Vec<String>,
    broker: Broker,
    outcome: std::pin::Pin<Box<dyn Future<Output = Result<Applied, CommitError>> + Send>>,
}

/// The result of a publish.
#[derive(Debug)]
pub struct Published {
    /// The placements, in the order of the events.
    pub placements: Vec<Placement>,
    /// The deprecated schema versions of the batch, each with its replacement.
    pub notices: Vec<String>,
}

impl Broker {
    /// Publishes a batch and waits for the result.
    ///
    /// # Errors
    /// Returns why nothing was appended, or why the result is unknown.
    pub async fn publish(&self, publish: Publish) -> Result<Published, PublishError> {
        self.submit(publish).await?.finish().await
    }

    /// Submits a batch. Batches are appended in the order in which they are submitted.
    ///
    /// # Errors
    /// Returns why the batch was not submitted.
    pub async fn submit(&self, publish: Publish) -> Result<PendingPublish, PublishError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        let Publish { topic: name, mut events, conditions, durability, validate_only } = publish;
        let topic = self.topic_for(&name, validate_only).await?;
        let config = topic.config();
        for event in &mut events {
            event.refusal = not_allowed(&config, event);
        }
        let checked = self.inner.gate.check(config.schema_enforcement, events).await;
        let (mut events, notices) = checked;
        for event in events.iter_mut().filter(|event| event.refusal.is_none()) {
            event.refusal = self.too_large(&config, event);
        }
        let bytes = events.iter().map(|event| event.encoded().len() as u64).sum();
        let count = events.len() as u64;
        let action = Action::Publish { topic: topic.id, events, conditions, validate_only };
        let commit = Commit { action, time: self.now(), durability };
        let outcome = self.inner.journal.submit(commit).await.map_err(PublishError::Commit)?;
        Ok(PendingPublish {
            topic: name,
            events: if validate_only { 0 } else { count },
            bytes,
            notices,
            broker: self.clone(),
            outcome: Box::pin(outcome),
        })
    }

    async fn topic_for(
        &self,
        name: &TopicName,
        validate_only: bool,
    ) -> Result<Arc<Topic>, PublishError> {
        match self.topic(name) {
            Ok(topic) => Ok(topic),
            Err(missing)
                if self.limits().auto_create_topics && !validate_only && !name.is_internal() =>
            {
                match self.create_topic(name.clone(), TopicConfig::default()).await {
                    // A concurrent publish created the topic.
                    Ok(_) | Err(TopicError::Exists(_)) => Ok(self.topic(name)?),
                    Err(TopicError::Commit(error)) => Err(PublishError::Commit(error)),
                    Err(_) => Err(missing.into()),
                }
            }
            Err(missing) => Err(missing.into()),
        }
    }

    fn too_large(&self, config: &TopicConfig, event: &NewEvent) -> Option<Refusal> {
        let size = event.encoded().len();
        let limit = config.event_bytes_max.map_or(self.limits().event_bytes_max, |topic_limit| {
            self.limits().event_bytes_max.min(topic_limit as usize)
        });
        (size > limit).then_some(Refusal::TooLarge { size: size as u64, limit: limit as u64 })
    }
}

fn not_allowed(config: &TopicConfig, event: &NewEvent) -> Option<Refusal> {
    (!config.allows(&event.event_type)).then(|| Refusal::TypeNotAllowed {
        event_type: event.event_type.clone(),
        allowed: config.allowed_types.join(", "),
    })
}

impl PendingPublish {
    /// Waits for the result.
    ///
    /// # Errors
    /// Returns why nothing was appended, or why the result is unknown.
    pub async fn finish(self) -> Result<Published, PublishError> {
        match self.outcome.await {
            Ok(Applied::Published(placements)) => {
                let duplicates =
                    placements.iter().filter(|placement| placement.duplicate).count() as u64;
                self.broker.inner.metrics.publish_accepted(
                    self.events.saturating_sub(duplicates),
                    self.bytes,
                    duplicates,
                );
                Ok(Published { placements, notices: self.notices })
            }
            Ok(other) => Err(PublishError::Corrupt(format!(
                "a publish was applied as something else: {other:?}"
            ))),
            Err(CommitError::Rejected(rejected)) => Err(match rejected {
                Rejected::TopicNotFound => self.broker.not_found(self.topic.as_str()).into(),
                Rejected::IdConflict(conflicts) => PublishError::IdConflict(conflicts),
                Rejected::Refused(rejected) => PublishError::Refused(rejected),
                Rejected::Conditions(failed) => {
                    PublishError::Conditions { topic: self.topic.to_string(), failed }
                }
                Rejected::Corrupt(detail) => PublishError::Corrupt(detail),
                Rejected::TopicExists | Rejected::RevisionMismatch { .. } => {
                    PublishError::Corrupt(rejected.to_string())
                }
            }),
            Err(error) => Err(PublishError::Commit(error)),
        }
    }
}
