//! Free space of the disk. Publishing stops before the disk is full, so that compactions and
//! flushes still have room.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Shortest interval between two queries of the file system. At 1 GB/s, a tenth of a second is 100
/// MB: less than the reserve.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Monitors the free space of the data directory's file system.
#[derive(Debug)]
pub struct Space {
    directory: PathBuf,
    reserve: u64,
    available: AtomicU64,
    full: AtomicBool,
    last_check: Mutex<Option<Instant>>,
}

impl Space {
    /// Monitors with a reserve in bytes.
    pub fn new(directory: PathBuf, reserve: u64) -> Self {
        Self {
            directory,
            reserve,
            available: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            last_check: Mutex::new(None),
        }
    }

    /// Bytes kept free.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Bytes available, if they are fewer than the reserve.
    pub fn below_reserve(&self) -> Option<u64> {
        self.refresh();
        self.full.load(Ordering::Relaxed).then(|| self.available.load(Ordering::Relaxed))
    }

    /// Bytes available.
    pub fn available(&self) -> u64 {
        self.refresh();
        self.available.load(Ordering::Relaxed)
    }

    fn refresh(&self) {
        // Another thread is querying: the last result is recent enough.
        let Ok(mut last_check) = self.last_check.try_lock() else { return };
        if last_check.is_some_and(|time| time.elapsed() < CHECK_INTERVAL) {
            return;
        }
        *last_check = Some(Instant::now());
        match nix::sys::statvfs::statvfs(&self.directory) {
            Ok(stats) => {
                let available = stats.blocks_available().saturating_mul(stats.fragment_size());
                self.available.store(available, Ordering::Relaxed);
                let was_full = self.full.swap(available < self.reserve, Ordering::Relaxed);
                match (was_full, available < self.reserve) {
                    (false, true) => tracing::error!(
                        available,
                        reserve = self.reserve,
                        "free space is below the reserve: publishes are rejected until space is freed"
                    ),
                    (true, false) => tracing::info!(
                        available,
                        "free space is above the reserve again: publishing resumes"
                    ),
                    _ => {}
                }
            }
            Err(error) => tracing::warn!(%error, "cannot read the free space of the file system"),
        }
    }
}
