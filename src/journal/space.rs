//! How much room the disk has: publishing stops before it is full, so that what goes on needs no luck.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How often the file system is asked at most. At 1 GB/s, a tenth of a second is 100 MB: less than the reserve.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// Watches the file system of the data directory.
#[derive(Debug)]
pub struct Space {
    directory: PathBuf,
    reserve: u64,
    available: AtomicU64,
    full: AtomicBool,
    asked: Mutex<Option<Instant>>,
}

impl Space {
    /// Keeps a reserve in bytes free.
    pub fn new(directory: PathBuf, reserve: u64) -> Self {
        Self {
            directory,
            reserve,
            available: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            asked: Mutex::new(None),
        }
    }

    /// What is kept free, in bytes.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Bytes available, where they are less than the reserve.
    pub fn short_of(&self) -> Option<u64> {
        self.ask();
        self.full.load(Ordering::Relaxed).then(|| self.available.load(Ordering::Relaxed))
    }

    /// Bytes available.
    pub fn available(&self) -> u64 {
        self.ask();
        self.available.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        // Somebody else is asking: the last answer will do.
        let Ok(mut asked) = self.asked.try_lock() else { return };
        if asked.is_some_and(|at| at.elapsed() < ASK_INTERVAL) {
            return;
        }
        *asked = Some(Instant::now());
        match nix::sys::statvfs::statvfs(&self.directory) {
            Ok(answer) => {
                let available = answer.blocks_available().saturating_mul(answer.fragment_size());
                self.available.store(available, Ordering::Relaxed);
                let was_full = self.full.swap(available < self.reserve, Ordering::Relaxed);
                match (was_full, available < self.reserve) {
                    (false, true) => tracing::error!(
                        available,
                        reserve = self.reserve,
                        "no space: publishes are refused until there is"
                    ),
                    (true, false) => tracing::info!(available, "space again: publishing goes on"),
                    _ => {}
                }
            }
            Err(error) => tracing::warn!(%error, "cannot ask the file system for its space"),
        }
    }
}
