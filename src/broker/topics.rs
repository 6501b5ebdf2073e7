//! Topics: making, changing, trimming and removing them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Broker,
    error::{Draining, StartError, TopicError},
    start::Start,
};
use crate::{
    journal::CommitError,
    model::{
        commit::{Action, Applied, Commit, Durability, Rejected},
        name::{TopicName, TopicPattern},
        numbers::{AppendTime, Offset},
        topic::TopicConfig,
    },
    store::topics::{Extent, Topic},
};

/// A topic as it is at one moment.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<TopicName>,
    /// What its owner decided.
    pub config: Arc<TopicConfig>,
    /// Changes with every update.
    pub revision: u64,
    /// When it was made.
    pub created: AppendTime,
    /// What it retains.
    pub extent: Extent,
    /// When the first retained event was recorded.
    pub first_time: Option<AppendTime>,
}

impl Broker {
    /// Makes a topic.
    ///
    /// # Errors
    /// Where there is one of that name, or the commit fails.
    pub async fn create_topic(
        &self,
        name: TopicName,
        config: TopicConfig,
    ) -> Result<TopicView, TopicError> {
        let action = Action::CreateTopic { name: name.clone(), config };
        self.change(&name, action).await?;
        Ok(self.view(&self.topic(&name)?).await)
    }

    /// A topic by name.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn get_topic(&self, name: &TopicName) -> Result<TopicView, TopicError> {
        Ok(self.view(&self.topic(name)?).await)
    }

    /// Topics behind a name, in the order of names.
    pub async fn list_topics(
        &self,
        pattern: Option<&TopicPattern>,
        behind: Option<&str>,
        most: usize,
    ) -> Vec<TopicView> {
        let all: Arc<BTreeMap<TopicName, Arc<Topic>>> = self.store().catalog().all();
        let mut views = Vec::new();
        let wanted = all.values().filter(|topic| match pattern {
            Some(pattern) => pattern.matches(&topic.name),
            None => !topic.name.is_internal(),
        });
        for topic in wanted.filter(|topic| behind.is_none_or(|behind| topic.name.as_str() > behind))
        {
            if views.len() == most {
                break;
            }
            views.push(self.view(topic).await);
        }
        views
    }

    /// Decides anew about a topic.
    ///
    /// # Errors
    /// Where there is none, or it was changed in the meantime.
    pub async fn update_topic(
        &self,
        name: &TopicName,
        revision: Option<u64>,
        change: impl FnOnce(&mut TopicConfig),
    ) -> Result<TopicView, TopicError> {
        let topic = self.topic(name)?;
        // Another update between this read and the commit moves the revision, so the commit is refused then.
        let seen = topic.revision();
        let mut config = TopicConfig::clone(&topic.config());
        change(&mut config);
        let revision = Some(revision.unwrap_or(seen));
        self.change(name, Action::UpdateTopic { topic: topic.id, config, revision }).await?;
        Ok(self.view(&self.topic(name)?).await)
    }

    /// Removes a topic with all of its events.
    ///
    /// # Errors
    /// Where there is none, or it was changed in the meantime.
    pub async fn delete_topic(
        &self,
        name: &TopicName,
        revision: Option<u64>,
    ) -> Result<(), TopicError> {
        let topic = self.topic(name)?;
        self.change(name, Action::DeleteTopic { topic: topic.id, revision }).await?;
        Ok(())
    }

    /// Removes the events of a topic before a position, or says how many these would be.
    ///
    /// # Errors
    /// Where there is no such topic or position.
    pub async fn trim_topic(
        &self,
        name: &TopicName,
        before: &Start,
        validate_only: bool,
    ) -> Result<(u64, Offset), TopicError> {
        let topic = self.topic(name)?;
        let before = self.offset_for(&topic, before).await?;
        let extent = topic.extent();
        if validate_only {
            let first = before.clamp(extent.first, extent.next);
            return Ok((first.0 - extent.first.0, first));
        }
        match self.change(name, Action::Trim { topic: topic.id, before }).await? {
            Applied::Trimmed { events, first } => {
                self.parts.metrics.trimmed(events);
                Ok((events, first))
            }
            _ => Ok((0, extent.first)),
        }
    }

    pub(super) async fn change(
        &self,
        name: &TopicName,
        action: Action,
    ) -> Result<Applied, TopicError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        let commit = Commit { action, time: self.now(), durability: Durability::Synced };
        self.parts.journal.commit(commit).await.map_err(|error| match error {
            CommitError::Rejected(Rejected::TopicGone) => self.not_found(name.as_str()).into(),
            CommitError::Rejected(Rejected::TopicExists) => TopicError::Exists(name.to_string()),
            CommitError::Rejected(Rejected::RevisionMoved { actual }) => {
                TopicError::EtagMismatch { topic: name.to_string(), actual: etag(actual) }
            }
            error => TopicError::Commit(error),
        })
    }

    async fn view(&self, topic: &Arc<Topic>) -> TopicView {
        let extent = topic.extent();
        let (store, reading) = (Arc::clone(self.store()), Arc::clone(topic));
        let first_time = if extent.first < extent.next {
            // A damaged first event has no time; the topic is shown all the same.
            tokio::task::spawn_blocking(move || store.header(reading.id, extent.first).ok())
                .await
                .ok()
                .flatten()
                .map(|header| header.append_time)
        } else {
            None
        };
        TopicView {
            name: Arc::clone(&topic.name),
            config: topic.config(),
            revision: topic.revision(),
            created: topic.created,
            extent,
            first_time,
        }
    }

    async fn offset_for(&self, topic: &Arc<Topic>, start: &Start) -> Result<Offset, StartError> {
        let sources = self.start_forward(vec![Arc::clone(topic)], start).await?;
        Ok(sources.offsets.first().copied().unwrap_or_default())
    }
}

/// A topic's revision as its etag.
pub fn etag(revision: u64) -> String {
    format!("{revision:x}")
}
