//! Readers with a name: what they understand is said in the registry for as long as a stream of theirs is open, so that
//! a change that would leave them behind is refused there.

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

use super::negotiation::Answer;

/// How often it is said again: twice as often as the registry forgets it.
const INTERVAL: Duration = Duration::from_secs(55);
/// How soon it is said again where the registry did not take it.
const RETRY: Duration = Duration::from_secs(5);
/// How long the registry has for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A consumer and what it understands: subjects and requirements.
type Needs = (String, Vec<(String, String)>);

/// Who reads now.
#[derive(Default)]
pub(super) struct Consumers(Mutex<HashMap<Needs, Weak<Announced>>>);

/// What a consumer needs is said for as long as one of its streams has this.
pub(super) struct Announced(#[expect(dead_code, reason = "says so when it is dropped")] DropGuard);

impl Consumers {
    /// A stream begins. At most 100 types of it are said, those that are named exactly first.
    pub fn begin(&self, name: String, answers: &[Answer], client: Client) -> Arc<Announced> {
        let need =
            |answer: &Answer| (answer.event_type.to_string(), answer.requirement.to_string());
        let needs = (name, answers.iter().take(ACCEPTED_MAX).map(need).collect());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, announced| announced.strong_count() > 0);
        if let Some(announced) = known.get(&needs).and_then(Weak::upgrade) {
            return announced;
        }
        let ended = CancellationToken::new();
        let announced = Arc::new(Announced(ended.clone().drop_guard()));
        known.insert(needs.clone(), Arc::downgrade(&announced));
        tokio::spawn(announce(needs, client, ended));
        announced
    }
}

/// Says what a consumer needs, again and again until its last stream has ended, and then that.
async fn announce(needs: Needs, mut client: Client, ended: CancellationToken) {
    while !ended.is_cancelled() {
        let wait = if say(&mut client, &needs, false).await { INTERVAL } else { RETRY };
        tokio::select! {
            () = ended.cancelled() => {}
            () = sleep(wait) => {}
        }
    }
    say(&mut client, &needs, true).await;
}

/// Whether the registry took it.
async fn say(client: &mut Client, (name, needs): &Needs, ended: bool) -> bool {
    let requirements = needs.iter().map(|(subject, requirement)| VersionRequirement {
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
    match timeout(PATIENCE, client.negotiate_versions(request)).await {
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
            tracing::warn!(consumer = name, "not recorded in the registry: it does not answer");
            false
        }
    }
}
