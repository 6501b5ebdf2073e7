//! Toolchains of other languages. `scripts/toolchain.sh` checks which are installed and complete.

use std::{env, path::Path, process::Command};

/// Whether the toolchains are installed. A test without them is skipped with a message; in CI it
/// fails.
pub fn toolchain<const N: usize>(test: &str, names: [&str; N]) -> bool {
    // The crate of the test is the project folder, or two levels below it.
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = ["scripts/toolchain.sh", "../../scripts/toolchain.sh"]
        .map(|path| crate_folder.join(path))
        .into_iter()
        .find(|path| path.exists())
        .expect("the script is in the project");
    let output = Command::new(script).args(names).output().expect("the script runs");
    if output.status.success() {
        return true;
    }
    let missing: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.1.to_owned()))
        .collect();
    let missing = missing.join("; ");
    assert!(env::var("CI").as_deref() != Ok("true"), "{test}: required in CI: {missing}");
    eprintln!("{test}: skipped: {missing}");
    false
}
