//! Creates, updates, trims, deletes and lists topics.

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
    store::topics::{Topic, TopicRange},
};

/// A topic at one moment.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// The name.
    pub name: Arc<TopicName>,
    /// The settings.
    pub config: Arc<TopicConfig>,
    /// The revision, which changes with every update.
    pub revision: u64,
    /// When it was created.
    pub created: AppendTime,
    /// The retained range.
    pub range: TopicRange,
    /// Append time of the first retained event.
    pub first_time: Option<AppendTime>,
}

impl Broker {
    /// Creates a topic.
    ///
    /// # Errors
    /// Returns an error if a topic of that name exists, or if the commit fails.
    pub async fn create_topic(
        &self,
        name: TopicName,
        config: TopicConfig,
    ) -> Result<TopicView, TopicError> {
        let action = Action::CreateTopic { name: name.clone(), config };
        self.change(&name, action).await?;
        Ok(self.view(&self.topic(&name)?).await)
    }

    /// Reads a topic.
    ///
    /// # Errors
    /// Returns an error if the topic does not exist.
    pub async fn get_topic(&self, name: &TopicName) -> Result<TopicView, TopicError> {
        Ok(self.view(&self.topic(name)?).await)
    }

    /// Lists topics after a name, in the order of names.
    pub async fn list_topics(
        &self,
        pattern: Option<&TopicPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<TopicView> {
        let all: Arc<BTreeMap<TopicName, Arc<Topic>>> = self.store().catalog().all();
        let mut views = Vec::new();
        let matching = all.values().filter(|topic| match pattern {
            Some(pattern) => pattern.matches(&topic.name),
            None => !topic.name.is_internal(),
        });
        for topic in matching.filter(|topic| after.is_none_or(|after| topic.name.as_str() > after))
        {
            if views.len() == limit {
                break;
            }
            views.push(self.view(topic).await);
        }
        views
    }

    /// Updates the settings of a topic.
    ///
    /// # Errors
    /// Returns an error if the topic does not exist, or was changed concurrently.
    pub async fn update_topic(
        &self,
        name: &TopicName,
        revision: Option<u64>,
        change: impl FnOnce(&mut TopicConfig),
    ) -> Result<TopicView, TopicError> {
        let topic = self.topic(name)?;
        // A concurrent update before the commit changes the revision, and the commit is rejected
        // then.
        let current_revision = topic.revision();
        let mut config = TopicConfig::clone(&topic.config());
        change(&mut config);
        let revision = Some(revision.unwrap_or(current_revision));
        self.change(name, Action::UpdateTopic { topic: topic.id, config, revision }).await?;
        Ok(self.view(&self.topic(name)?).await)
    }

    /// Deletes a topic and all of its events.
    ///
    /// # Errors
    /// Returns an error if the topic does not exist, or was changed concurrently.
    pub async fn delete_topic(
        &self,
        name: &TopicName,
        revision: Option<u64>,
    ) -> Result<(), TopicError> {
        let topic = self.topic(name)?;
        self.change(name, Action::DeleteTopic { topic: topic.id, revision }).await?;
        Ok(())
    }

    /// Deletes the events of a topic before a position, or only counts them.
    ///
    /// # Errors
    /// Returns an error if the topic does not exist, or if the position cannot be resolved.
    pub async fn trim_topic(
        &self,
        name: &TopicName,
        before: &Start,
        validate_only: bool,
    ) -> Result<(u64, Offset), TopicError> {
        let topic = self.topic(name)?;
        let before = self.offset_for(&topic, before).await?;
        let range = topic.range();
        if validate_only {
            let first = before.clamp(range.first, range.next);
            return Ok((first.0 - range.first.0, first));
        }
        match self.change(name, Action::Trim { topic: topic.id, before }).await? {
            Applied::Trimmed { events, first } => {
                self.inner.metrics.trimmed(events);
                Ok((events, first))
            }
            _ => Ok((0, range.first)),
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
        self.inner.journal.commit(commit).await.map_err(|error| match error {
            CommitError::Rejected(Rejected::TopicNotFound) => self.not_found(name.as_str()).into(),
            CommitError::Rejected(Rejected::TopicExists) => TopicError::Exists(name.to_string()),
            CommitError::Rejected(Rejected::RevisionMismatch { actual }) => {
                TopicError::EtagMismatch { topic: name.to_string(), actual: etag(actual) }
            }
            error => TopicError::Commit(error),
        })
    }

    async fn view(&self, topic: &Arc<Topic>) -> TopicView {
        let range = topic.range();
        let (store, read_topic) = (Arc::clone(self.store()), Arc::clone(topic));
        let first_time = if range.first < range.next {
            // If the first event is damaged, its time is unknown. The topic is returned all the
            // same.
            tokio::task::spawn_blocking(move || store.header(read_topic.id, range.first).ok())
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
            range,
            first_time,
        }
    }

    async fn offset_for(&self, topic: &Arc<Topic>, start: &Start) -> Result<Offset, StartError> {
        let resolved = self.start_forward(vec![Arc::clone(topic)], start).await?;
        Ok(resolved.offsets.first().copied().unwrap_or_default())
    }
}

/// The etag of a revision.
pub fn etag(revision: u64) -> String {
    format!("{revision:x}")
}
