//! Python with third-party libraries: one environment per set of libraries, created once in the
//! target folder. Without Python 3 with `venv`, or without PyPI, a test is skipped with a message;
//! in CI it fails.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Returns the interpreter of an environment with the pinned libraries, such as `fastavro==1.12.1`.
pub fn python(test: &str, pins: &[&str]) -> Option<PathBuf> {
    /// Concurrent tests of one program use the same environment.
    static CREATION: Mutex<()> = Mutex::new(());
    let _guard = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(pins.join("+"));
    // The marker is written last: if it exists, the environment is complete.
    let (python, marker) = (folder.join("bin/python"), folder.join("complete"));
    if marker.exists() {
        return Some(python);
    }
    let created = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .and_then(|()| {
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(&python).args(install).args(pins))
        });
    if let Err(reason) = created {
        assert!(env::var("CI").as_deref() != Ok("true"), "{test}: required in CI: {reason}");
        eprintln!("{test}: skipped, Python has no {}: {reason}", pins.join(", "));
        return None;
    }
    fs::write(marker, "").expect("the marker is written");
    Some(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
