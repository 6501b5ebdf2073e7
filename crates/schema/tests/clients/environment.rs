//! Python with other people's libraries: an environment of its own for each set of them, made once in the target folder.
//! Where there is no Python 3 with `venv`, or no PyPI, a test says so and is skipped; in CI it fails.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The interpreter of an environment that has these, such as `fastavro==1.12.1`.
pub fn python(test: &str, pins: &[&str]) -> Option<PathBuf> {
    /// Tests of one program run at the same time, and want the same environment.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(pins.join("+"));
    // Written last: whoever finds it finds all of them.
    let (python, mark) = (folder.join("bin/python"), folder.join("complete"));
    if mark.exists() {
        return Some(python);
    }
    let made =
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).and_then(|()| {
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(&python).args(install).args(pins))
        });
    if let Err(why) = made {
        assert!(env::var("CI").as_deref() != Ok("true"), "{test}: CI has to have Python: {why}");
        eprintln!("{test}: skipped, for Python has no {}: {why}", pins.join(", "));
        return None;
    }
    fs::write(mark, "").expect("the mark is written");
    Some(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
