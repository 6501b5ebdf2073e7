//! The processes that are measured: the server, and the limits, which are this program with another task.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill},
        time::TimeValLike as _,
    },
    unistd::Pid,
};
use serde::{Serialize, de::DeserializeOwned};

/// Clock ticks a second in /proc, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A child that ends with us.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// `http://` and where it listens; empty where it does not.
    pub url: String,
    /// It is the server itself and not a limit.
    pub serves: bool,
}

impl Process {
    /// `tidings serve` on a directory.
    pub fn server(data: &Path, args: &[String]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
        command.arg(data).args(args);
        let log = data.with_extension("log");
        let mut server = Self::start(command, &log)?.listening()?;
        server.serves = true;
        Ok(server)
    }

    /// This program as the server of a limit.
    pub fn net(dir: &Path, events: u64, threads: usize) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--role", "net", "--events", &events.to_string()]);
        command.args(["--threads", &threads.to_string()]);
        Self::start(command, &dir.join("net.log"))?.listening()
    }

    /// This program as bare RocksDB.
    pub fn rocks(dir: &Path) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--role", "rocks", "--dir"]).arg(dir.join("rocks"));
        Self::start(command, &dir.join("rocks.log"))
    }

    fn start(mut command: Command, log: &Path) -> Result<Self> {
        let stderr = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, stdin, stdout, url: String::new(), serves: false })
    }

    fn listening(mut self) -> Result<Self> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        let Some(address) = address else {
            bail!(
                "a server began with {line:?} rather than \"listening on ...\"; its log is beside its data"
            )
        };
        self.url = format!("http://{address}");
        Ok(self)
    }

    /// Hands a command to a limit and waits for what it measured.
    pub fn ask<A: Serialize, B: DeserializeOwned>(&mut self, command: &A) -> Result<B> {
        writeln!(self.stdin, "{}", serde_json::to_string(command)?)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a limit ended; its log is beside its data");
        Ok(serde_json::from_str(&line)?)
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// User and system time that all its threads took.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold anything: fields are counted from behind it. utime and stime are the 14th and 15th.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<u32> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(TICK * ticks.iter().sum())
    }

    /// Resident bytes.
    pub fn rss(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// SIGTERM, and wait.
    pub fn stop(mut self) -> Result<Duration> {
        let began = Instant::now();
        kill(self.pid()?, Signal::SIGTERM)?;
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < Duration::from_secs(60), "it does not stop on SIGTERM");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(began.elapsed())
    }

    /// SIGKILL, and wait.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of this process.
pub fn own_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// Writes everything out and makes the kernel forget the files below a directory.
pub fn drop_caches(dir: &Path) -> Result<()> {
    nix::unistd::sync();
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_caches(&path)?;
        } else {
            use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
            posix_fadvise(File::open(&path)?, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
    }
    Ok(())
}
