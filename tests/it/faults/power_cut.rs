//! Power cuts: ext4 on a loop file, shut down without flushing its journal. Data that was not
//! synced is lost, and the running server gets EIO.

use std::{
    env,
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use nix::{errno::Errno, libc};
use tempfile::TempDir;
use tidings::proto::events::v1::Durability;

use crate::faults::{
    checker::{Findings, check},
    torture::Clients,
};
use crate::support::harness::{Options, Rng, Server, setting};

/// Prefix of the image files, by which a later run finds the leftovers of a killed run.
const IMAGE_PREFIX: &str = "tidings-power-cut-";

/// The longest that a server may run without its disk.
const FAIL_STOP: Duration = Duration::from_secs(10);

/// An ext4 file system of its own.
struct Disk {
    dir: TempDir,
    device: String,
}

impl Disk {
    /// # Errors
    /// Returns the reason if this machine cannot provide such a file system.
    fn new() -> Result<Self, String> {
        if !is_root() {
            return Err("mounting requires root".into());
        }
        detach_leftovers();
        let dir = TempDir::new().unwrap();
        let image = dir.path().join(format!("{IMAGE_PREFIX}{}.img", process::id()));
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let image = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", image])?;
        let device = attach(image)?;
        let disk = Self { dir, device };
        fs::create_dir(disk.mount_point()).unwrap();
        disk.mount()?;
        Ok(disk)
    }

    fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn data_dir(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    fn mount(&self) -> Result<(), String> {
        let mount_point = self.mount_point();
        // The journal does not commit by itself: only synced data survives.
        run("mount", &["-o", "commit=60", &self.device, mount_point.to_str().unwrap()]).map(drop)
    }

    /// After this, no data reaches the disk, including data in the kernel's caches.
    fn cut_power(&self) -> Result<(), String> {
        let mount_point = File::open(self.mount_point()).unwrap();
        shut_down(&mount_point).map_err(|errno| format!("EXT4_IOC_SHUTDOWN: {errno}"))
    }

    /// Unmounts and mounts again, which replays the journal.
    fn restore_power(&self) {
        unmount(&self.mount_point());
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.mount_point());
        run("losetup", &["-d", &self.device]).ok();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// `_IOR('X', 125, u32)` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
#[expect(unsafe_code, reason = "no crate has this ioctl, and only it cuts the power")]
fn shut_down(mount_point: &File) -> Result<(), Errno> {
    const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d;
    let no_log_flush: u32 = 2;
    // SAFETY: the descriptor is open for the whole call; the kernel reads one u32 at the pointer.
    let result =
        unsafe { libc::ioctl(mount_point.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const no_log_flush) };
    Errno::result(result).map(drop)
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let command = format!("{program} {}", args.join(" "));
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Attaches the image to a loop device. A container only has nodes of devices that existed when it
/// started, so a missing node is created.
fn attach(image: &str) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..5 {
        match run("losetup", &["--find", "--show", image]) {
            Ok(device) => return Ok(device.trim().into()),
            Err(error) => last = error,
        }
        if let Ok(free) = run("losetup", &["--find"]) {
            let free = free.trim();
            let minor = free.trim_start_matches("/dev/loop");
            if !Path::new(free).exists() {
                run("mknod", &[free, "b", "7", minor]).ok();
            }
        }
    }
    Err(last)
}

/// Cleans up after runs that were killed.
fn detach_leftovers() {
    let listing = run("losetup", &["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
    for line in listing.unwrap_or_default().lines() {
        let Some((device, image)) = line.trim().split_once(char::is_whitespace) else { continue };
        let Some((_, rest)) = image.split_once(IMAGE_PREFIX) else { continue };
        let owner = rest.split('.').next().unwrap_or_default();
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        for mount in fs::read_to_string("/proc/mounts").unwrap_or_default().lines() {
            let mut words = mount.split(' ');
            if words.next() == Some(device) {
                unmount(Path::new(words.next().unwrap_or_default()));
            }
        }
        run("losetup", &["-d", device]).ok();
    }
}

/// Unmounts at once if no process uses the file system, otherwise when the last process closes it.
fn unmount(mount_point: &Path) {
    let mount_point = mount_point.to_str().unwrap();
    if run("umount", &[mount_point]).is_err() {
        run("umount", &["--lazy", mount_point]).ok();
    }
}

/// The disk, or `None` if this machine cannot provide one and the test may be skipped.
fn disk_or_skip(test: &str) -> Option<Disk> {
    let disk = Disk::new().and_then(|disk| disk.cut_power().map(|()| disk));
    match disk {
        Ok(disk) => {
            disk.restore_power();
            Some(disk)
        }
        Err(why) => {
            let must_run = env::var("CI").is_ok_and(|value| value == "true") && is_root();
            let loops = Path::new("/dev/loop-control").exists();
            assert!(!must_run || !loops, "{test} has to run in CI as root: {why}");
            eprintln!("SKIPPED {test}: {why}");
            None
        }
    }
}

/// Cuts the power under load. The server has to stop by itself.
async fn cut_under_load(disk: &Disk, mut server: Server, clients: &mut Clients, load: Duration) {
    let address = server.address();
    let cut = async {
        tokio::time::sleep(load).await;
        disk.cut_power().unwrap();
    };
    clients.publish_until(address, cut).await;
    let exit = server.exit_within(FAIL_STOP).await;
    assert_eq!(exit.code(), Some(7), "an I/O error ends the server:\n{}", exit.log);
    server.assert_calm();
    drop(server);
    disk.restore_power();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn synced_events_survive_a_power_cut() {
    let mut rng = Rng::seeded("power cut");
    let Some(disk) = disk_or_skip("synced_events_survive_a_power_cut") else { return };
    let rounds = setting("TIDINGS_POWER_CUT_ROUNDS", 20);
    let mut clients = Clients::new(&mut rng, Durability::Synced);
    let options = Options::args(["--write-buffer-bytes", "1MiB"]);

    let mut server = Server::start_on(&disk.data_dir(), options.clone()).await;
    clients.create_topics(&server).await;
    let mut findings = Findings::default();
    for _ in 0..rounds {
        cut_under_load(&disk, server, &mut clients, rng.millis(100, 500)).await;
        server = Server::start_on(&disk.data_dir(), options.clone()).await;
        findings = check(&server, &clients.ledger).await;
        findings.assert_none();
    }
    assert!(
        findings.acknowledged as u64 > 10 * rounds,
        "too few events were published: {findings:?}"
    );
    eprintln!("{rounds} power cuts, {} events acknowledged, none lost", findings.acknowledged);
    server.kill9();
}

/// The control: unsynced data has to be lost, or the power cut is not effective.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_events_are_lost_in_a_power_cut_and_only_the_last_ones() {
    let mut rng = Rng::seeded("power cut control");
    let rounds = 3;
    let mut lost = 0;
    for _ in 0..rounds {
        let Some(disk) = disk_or_skip("buffered_events_are_lost_in_a_power_cut") else { return };
        let mut clients = Clients::new(&mut rng, Durability::Buffered);
        let server = Server::start_on(&disk.data_dir(), Options::default()).await;
        clients.create_topics(&server).await;
        cut_under_load(&disk, server, &mut clients, rng.millis(200, 500)).await;

        let mut server = Server::start_on(&disk.data_dir(), Options::default()).await;
        let findings = check(&server, &clients.ledger).await;
        assert_eq!(findings.wrong, Vec::<String>::new(), "differences other than lost events");
        for (topic, offset, position) in &findings.lost {
            assert!(
                *position > findings.last_position || findings.recorded == 0,
                "{topic}/{offset} is lost, and a later event is not"
            );
        }
        lost += findings.lost.len();
        server.kill9();
    }
    eprintln!("{rounds} power cuts, {lost} events that were only buffered are lost");
    assert!(lost > 0, "{rounds} power cuts lost no unsynced event: they are not effective");
}
