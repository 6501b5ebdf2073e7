//! Checks for the instructions that RocksDB is compiled for.

/// The instruction sets that the build of RocksDB assumes (scripts/rocksdb.sh): SSE4.2 and
/// PCLMULQDQ compute the checksums of blocks, and a compiler that may use SSE4.2 uses POPCNT as
/// well. Processors have them since 2011 (Intel Westmere, AMD Bulldozer).
const REQUIRED: [&str; 3] = ["sse4.2", "popcnt", "pclmulqdq"];

/// The processor lacks instructions that the program was compiled for.
#[derive(Debug, thiserror::Error)]
#[error(
    "this processor has no {}: RocksDB needs x86-64-v2 and PCLMULQDQ (Intel Westmere, AMD \
     Bulldozer, or newer)",
    .missing.join(", ")
)]
pub struct UnsupportedProcessor {
    missing: Vec<&'static str>,
}

/// Checks that the processor has the instructions that RocksDB was compiled for. Without the check,
/// the program would die of an illegal instruction in the middle of a write.
///
/// # Errors
/// Returns an error if an instruction set is missing.
pub fn check() -> Result<(), UnsupportedProcessor> {
    check_for(detected)
}

fn check_for(has: impl Fn(&str) -> bool) -> Result<(), UnsupportedProcessor> {
    let missing: Vec<_> = REQUIRED.into_iter().filter(|&set| !has(set)).collect();
    if missing.is_empty() { Ok(()) } else { Err(UnsupportedProcessor { missing }) }
}

#[cfg(target_arch = "x86_64")]
fn detected(set: &str) -> bool {
    match set {
        "sse4.2" => is_x86_feature_detected!("sse4.2"),
        "popcnt" => is_x86_feature_detected!("popcnt"),
        "pclmulqdq" => is_x86_feature_detected!("pclmulqdq"),
        _ => false,
    }
}

/// On other architectures RocksDB detects the instructions itself.
#[cfg(not(target_arch = "x86_64"))]
fn detected(_: &str) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_missing_instruction_sets() {
        let error = check_for(|set| set == "popcnt").expect_err("two are missing");
        assert!(
            error.to_string().starts_with("this processor has no sse4.2, pclmulqdq: "),
            "{error}"
        );
        assert!(check_for(|_| true).is_ok());
        // The machine that runs this test has run RocksDB.
        assert!(check().is_ok());
    }
}
