//! Publishing: what a topic takes, then the journal.

use std::sync::Arc;

use super::{
    Broker,
    error::{Draining, PublishError, TopicError},
};
use crate::{
    journal::CommitError,
    model::{
        commit::{Action, Applied, Commit, Condition, Durability, Place, Rejected},
        event::{NewEvent, Refusal},
        name::TopicName,
        topic::TopicConfig,
    },
    store::topics::Topic,
};

/// A batch that is well formed.
#[derive(Debug)]
pub struct Publish {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub events: Vec<NewEvent>,
    /// If.
    pub conditions: Vec<Condition>,
    /// How durable before the answer.
    pub durability: Durability,
    /// Says what would be, and appends nothing.
    pub validate_only: bool,
}

/// What a publish waits for, once it has its place in the order.
pub struct Pending {
    topic: TopicName,
    events: u64,
    bytes: u64,
    notices: Vec<String>,
    broker: Broker,
    outcome: std::pin::Pin<Box<dyn Future<Output = Result<Applied, CommitError>> + Send>>,
}

/// A batch that is recorded.
#[derive(Debug)]
pub struct Published {
    /// In the order of its events.
    pub places: Vec<Place>,
    /// Deprecated schema versions that it was written with, and what to move to.
    pub notices: Vec<String>,
}

impl Broker {
    /// Publishes a batch, and waits for it.
    ///
    /// # Errors
    /// Why nothing was appended, or why that is not certain.
    pub async fn publish(&self, publish: Publish) -> Result<Published, PublishError> {
        self.submit(publish).await?.finish().await
    }

    /// Gives a batch its place in the order; batches that are submitted one after the other are recorded so.
    ///
    /// # Errors
    /// Why it was not tried.
    pub async fn submit(&self, publish: Publish) -> Result<Pending, PublishError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        let Publish { topic: name, mut events, conditions, durability, validate_only } = publish;
        let topic = self.topic_for(&name, validate_only).await?;
        let config = topic.config();
        for event in &mut events {
            event.refusal = not_allowed(&config, event);
        }
        let judged = self.parts.gate.judge(config.schema_enforcement, events).await;
        let (mut events, notices) = judged;
        for event in events.iter_mut().filter(|event| event.refusal.is_none()) {
            event.refusal = self.too_large(&config, event);
        }
        let bytes = events.iter().map(|event| event.encoded().len() as u64).sum();
        let count = events.len() as u64;
        let action = Action::Publish { topic: topic.id, events, conditions, validate_only };
        let commit = Commit { action, time: self.now(), durability };
        let outcome = self.parts.journal.submit(commit).await.map_err(PublishError::Commit)?;
        Ok(Pending {
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
                    // Somebody else was first: as good.
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
        let limit = config.event_bytes_max.map_or(self.limits().event_bytes_max, |own| {
            self.limits().event_bytes_max.min(own as usize)
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

impl Pending {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// Why nothing was appended, or why that is not certain.
    pub async fn finish(self) -> Result<Published, PublishError> {
        match self.outcome.await {
            Ok(Applied::Published(places)) => {
                let duplicates = places.iter().filter(|place| place.duplicate).count() as u64;
                self.broker.parts.metrics.publish_accepted(
                    self.events.saturating_sub(duplicates),
                    self.bytes,
                    duplicates,
                );
                Ok(Published { places, notices: self.notices })
            }
            Ok(other) => Err(PublishError::Corrupt(format!(
                "a publish was applied as something else: {other:?}"
            ))),
            Err(CommitError::Rejected(rejected)) => Err(match rejected {
                Rejected::TopicGone => self.broker.not_found(self.topic.as_str()).into(),
                Rejected::IdConflict(conflicts) => PublishError::IdConflict(conflicts),
                Rejected::Refused(refused) => PublishError::Refused(refused),
                Rejected::Conditions(failed) => {
                    PublishError::Conditions { topic: self.topic.to_string(), failed }
                }
                Rejected::Corrupt(detail) => PublishError::Corrupt(detail),
                Rejected::TopicExists | Rejected::RevisionMoved { .. } => {
                    PublishError::Corrupt(rejected.to_string())
                }
            }),
            Err(error) => Err(PublishError::Commit(error)),
        }
    }
}
