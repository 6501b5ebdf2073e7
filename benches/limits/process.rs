//! The measured processes: the server, and the limits, which are this program in another role.

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

/// Clock tick of /proc: 100 per second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A child process, killed when this value is dropped.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The URL that it listens on. Empty if it does not listen.
    pub url: String,
    /// Whether it is the server, and not a limit.
    pub is_server: bool,
}

impl Process {
    /// Starts `tidings serve` on a directory.
    pub fn server(data: &Path, args: &[String]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
        command.arg(data).args(args);
        let log = data.with_extension("log");
        let mut server = Self::start(command, &log)?.listening()?;
        server.is_server = true;
        Ok(server)
    }

    /// Starts this program as the gRPC limit.
    pub fn net(dir: &Path, events: u64, threads: usize) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--role", "net", "--events", &events.to_string()]);
        command.args(["--threads", &threads.to_string()]);
        Self::start(command, &dir.join("net.log"))?.listening()
    }

    /// Starts this program as the RocksDB limit.
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
        Ok(Self { child, stdin, stdout, url: String::new(), is_server: false })
    }

    fn listening(mut self) -> Result<Self> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        let Some(address) = address else {
            bail!(
                "a server printed {line:?} instead of \"listening on ...\"; its log is next to its data"
            )
        };
        self.url = format!("http://{address}");
        Ok(self)
    }

    /// Sends a task to a limit and waits for its result.
    pub fn run_task<A: Serialize, B: DeserializeOwned>(&mut self, task: &A) -> Result<B> {
        writeln!(self.stdin, "{}", serde_json::to_string(task)?)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a limit ended; its log is next to its data");
        Ok(serde_json::from_str(&line)?)
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// User and system time of all its threads.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may contain spaces and parentheses, so fields are counted after its last ')'.
        // utime and stime are the 14th and 15th field.
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

    /// Sends SIGTERM and waits.
    pub fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        kill(self.pid()?, Signal::SIGTERM)?;
        while self.child.try_wait()?.is_none() {
            ensure!(
                start.elapsed() < Duration::from_secs(60),
                "did not stop within 60 s of SIGTERM"
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(start.elapsed())
    }

    /// Sends SIGKILL and waits.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has already ended.
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

/// Syncs all writes, and evicts the files of a directory from the page cache.
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
