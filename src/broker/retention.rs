//! Retention: a task that moves trim points to where each topic's bounds have them.

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
    pub async fn retain(self) {
        let mut ticks = interval(self.limits().retention_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.parts.draining.cancelled() => return,
            }
            let topics = self.store().catalog().all();
            let (mut events, mut bytes) = (0, 0);
            for topic in topics.values() {
                let retention = topic.config().retention;
                if retention.is_bounded() {
                    self.retain_topic(topic, retention).await;
                }
                let extent = topic.extent();
                events += extent.events();
                bytes += extent.bytes;
            }
            let metrics = self.metrics();
            metrics.retained(topics.len() as u64, events, bytes);
            metrics.disk_free(self.parts.journal.disk_available());
            metrics
                .queue_bytes(i64::try_from(self.parts.journal.waiting_bytes()).unwrap_or(i64::MAX));
        }
    }

    async fn retain_topic(&self, topic: &Arc<Topic>, retention: Retention) {
        let (broker, reading) = (self.clone(), Arc::clone(topic));
        let found =
            tokio::task::spawn_blocking(move || broker.first_to_retain(&reading, retention)).await;
        let before = match found {
            Ok(Ok(before)) if before > topic.extent().first => before,
            Ok(Ok(_)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::warn!(topic = %topic.name, %error, "retention cannot read the topic");
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
        let (store, extent) = (self.store(), topic.extent());
        let mut first = extent.first;
        if let Some(most) = retention.events_max {
            first = first.max(Offset(extent.next.0.saturating_sub(most)));
        }
        if let Some(most) = retention.bytes_max
            && extent.bytes > most
        {
            first = first.max(store.offset_within(topic, most)?);
        }
        if let Some(age) = retention.age_max
            && extent.first < extent.next
        {
            let oldest = self.now().before(age);
            // One read of the first event settles it where nothing is old enough, which is nearly always.
            if store.header(topic.id, extent.first)?.append_time < oldest {
                first = first.max(store.offset_at(topic, oldest)?);
            }
        }
        Ok(first)
    }
}
