//! Named readers: their requirements are recorded in the registry while one of their streams is
//! open, so that the registry can reject a change that would break them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tidings_registry::{
    accepted::ACCEPTED_MAX,
    client::Client,
    proto::v1::{ConsumerOrigin, NegotiateVersionsRequest, VersionRequirement},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::negotiation::NegotiatedSchema;

/// Interval of renewals: half of the time after which the registry forgets a consumer.
const RENEW_INTERVAL: Duration = Duration::from_secs(55);
/// Delay after which a failed record is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time to wait for the reply of the registry.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of a consumer, and its requirements by subject.
type ConsumerRequirements = (String, Vec<(String, String)>);

/// The consumers that are announced.
#[derive(Default)]
pub(super) struct Consumers(Mutex<HashMap<ConsumerRequirements, Weak<Announcement>>>);

/// Keeps the requirements of a consumer recorded while one of its streams holds it.
pub(super) struct Announcement(
    #[expect(dead_code, reason = "ends the announcement when it is dropped")] DropGuard,
);

impl Consumers {
    /// Announces the consumer of a new stream. At most 100 types are announced, those named exactly
    /// first.
    pub fn announce(
        &self,
        name: String,
        schemas: &[NegotiatedSchema],
        client: Client,
    ) -> Arc<Announcement> {
        let requirement = |schema: &NegotiatedSchema| {
            (schema.event_type.to_string(), schema.requirement.to_string())
        };
        let requirements = (name, schemas.iter().take(ACCEPTED_MAX).map(requirement).collect());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, announcement| announcement.strong_count() > 0);
        if let Some(announcement) = known.get(&requirements).and_then(Weak::upgrade) {
            return announcement;
        }
        let ended = CancellationToken::new();
        let announcement = Arc::new(Announcement(ended.clone().drop_guard()));
        known.insert(requirements.clone(), Arc::downgrade(&announcement));
        tokio::spawn(keep_announced(requirements, client, ended));
        announcement
    }
}

/// Records the requirements of a consumer repeatedly until its last stream has ended, and then
/// records the end.
async fn keep_announced(
    requirements: ConsumerRequirements,
    mut client: Client,
    ended: CancellationToken,
) {
    while !ended.is_cancelled() {
        let delay = if record(&mut client, &requirements, false).await {
            RENEW_INTERVAL
        } else {
            RETRY_INTERVAL
        };
        tokio::select! {
            () = ended.cancelled() => {}
            () = sleep(delay) => {}
        }
    }
    record(&mut client, &requirements, true).await;
}

/// Whether the registry recorded the requirements.
async fn record(
    client: &mut Client,
    (name, requirements): &ConsumerRequirements,
    ended: bool,
) -> bool {
    let requirements = requirements.iter().map(|(subject, requirement)| VersionRequirement {
        subject: subject.clone(),
        requirement: requirement.clone(),
    });
    let request = NegotiateVersionsRequest {
        consumer: name.clone(),
        requirements: requirements.collect(),
        record: true,
        origin: ConsumerOrigin::Stream.into(),
        ended,
    };
    match timeout(REPLY_TIMEOUT, client.negotiate_versions(request)).await {
        Ok(Ok(_)) => true,
        Ok(Err(status)) => {
            tracing::warn!(
                consumer = name,
                status = status.message(),
                "not recorded in the registry"
            );
            false
        }
        Err(_) => {
            tracing::warn!(consumer = name, "not recorded in the registry: no reply in time");
            false
        }
    }
}
