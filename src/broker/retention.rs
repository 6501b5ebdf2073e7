//! Retention: a task that trims topics to their bounds.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::Broker;
use crate::{
    model::{
        commit::{Action, Applied},
        numbers::Offset,
        topic::Retention,
    },
    store::{ReadError, topics::Topic},
};

impl Broker {
    /// Runs until the server drains.
    pub async fn run_retention(self) {
        let mut ticks = interval(self.limits().retention_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.inner.draining.cancelled() => return,
            }
            let topics = self.store().catalog().all();
            let (mut events, mut bytes) = (0, 0);
            for topic in topics.values() {
                let retention = topic.config().retention;
                if retention.is_bounded() {
                    self.retain_topic(topic, retention).await;
                }
                let range = topic.range();
                events += range.events();
                bytes += range.bytes;
            }
            let metrics = self.metrics();
            metrics.retained(topics.len() as u64, events, bytes);
            metrics.disk_free(self.inner.journal.disk_available());
            metrics
                .queue_bytes(i64::try_from(self.inner.journal.queued_bytes()).unwrap_or(i64::MAX));
        }
    }

    async fn retain_topic(&self, topic: &Arc<Topic>, retention: Retention) {
        let (broker, read_topic) = (self.clone(), Arc::clone(topic));
        let first =
            tokio::task::spawn_blocking(move || broker.first_to_retain(&read_topic, retention))
                .await;
        let before = match first {
            Ok(Ok(before)) if before > topic.range().first => before,
            Ok(Ok(_)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::warn!(topic = %topic.name, %error, "retention could not read the topic");
                return;
            }
        };
        match self.change(&topic.name, Action::Trim { topic: topic.id, before }).await {
            Ok(Applied::Trimmed { events, first }) => {
                self.metrics().trimmed(events);
                tracing::debug!(topic = %topic.name, events, %first, "retention removed events");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(topic = %topic.name, %error, "retention could not remove events");
            }
        }
    }

    fn first_to_retain(&self, topic: &Topic, retention: Retention) -> Result<Offset, ReadError> {
        let (store, range) = (self.store(), topic.range());
        let mut first = range.first;
        if let Some(limit) = retention.events_max {
            first = first.max(Offset(range.next.0.saturating_sub(limit)));
        }
        if let Some(limit) = retention.bytes_max
            && range.bytes > limit
        {
            first = first.max(store.offset_within(topic, limit)?);
        }
        if let Some(age) = retention.age_max
            && range.first < range.next
        {
            let oldest = self.now().before(age);
            // Reading the first event suffices if none is old enough, which is nearly always.
            if store.header(topic.id, range.first)?.append_time < oldest {
                first = first.max(store.offset_at(topic, oldest)?);
            }
        }
        Ok(first)
    }
}
