//! At the start, counts the stored versions that the rules of this program would refuse.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use super::{Inner, Registry};
use crate::catalog::{replay::History, verify::Verification};

/// Changes that are read at a time. Each may contain a definition of 1 MiB.
const PAGE: usize = 16;
/// Limits the work. `tidings schema verify` checks the remaining versions.
const WORK_MAX: Duration = Duration::from_secs(60);
/// Idle time after each version, in multiples of its work, so that four fifths of a core remain for
/// requests.
const IDLE: u32 = 4;

impl Registry {
    /// Checks the registered versions by the rules of this program, on a thread of its own, and
    /// logs how many would be refused. The thread ends when the registry is dropped.
    pub fn verify(&self) {
        let registry = Arc::downgrade(&self.0);
        let spawned = thread::Builder::new()
            .name("tidings-verify".into())
            .spawn(move || verify(&registry).unwrap_or_default());
        if let Err(error) = spawned {
            tracing::warn!(%error, "stored schemas are not verified; run tidings schema verify");
        }
    }
}

/// None: the registry was dropped.
fn verify(registry: &Weak<Inner>) -> Option<()> {
    let catalog = Registry(registry.upgrade()?).catalog();
    let history = history(registry)?;
    let mut verification = Verification::new(&catalog, history, "");
    let (mut verified, mut differing, mut worked) = (0_usize, 0_usize, Duration::ZERO);
    while worked < WORK_MAX {
        let begun = Instant::now();
        let Some(judged) = verification.next() else { break };
        verified += 1;
        differing += usize::from(judged.refusal.is_some());
        let elapsed = begun.elapsed();
        worked += elapsed;
        if registry.strong_count() == 0 {
            return None;
        }
        thread::sleep(elapsed * IDLE);
    }
    let registered = verification.total();
    if differing > 0 {
        tracing::warn!(
            differing,
            verified,
            registered,
            "stored schemas differ from the rules of this program: tidings schema verify lists them"
        );
    } else if verified > 0 {
        tracing::info!(verified, registered, "stored schemas verified");
    }
    Some(())
}

fn history(registry: &Weak<Inner>) -> Option<History> {
    let (mut history, mut after) = (History::default(), 0);
    loop {
        let begun = Instant::now();
        let page = match Registry(registry.upgrade()?).changes(after, PAGE) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "stored schemas are not verified");
                return None;
            }
        };
        let Some(last) = page.last() else { return Some(history) };
        after = last.revision;
        for change in &page {
            // An unreadable change leaves the settings unchanged.
            history.record(change).unwrap_or_default();
        }
        thread::sleep(begun.elapsed());
    }
}
