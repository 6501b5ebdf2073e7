//! Cuts reports to the size of the message that they are sent in.

use prost::Message;
use tidings_wire::text::shorten;

use crate::proto::v1::{AffectedConsumer, CompatibilityReport, Finding};

/// The largest fragment of a payload, with its pointer, that is kept when space is short: several
/// have to fit into the 2,400 bytes of status details.
const FRAGMENT_BYTES_MAX: usize = 200;
/// The size of a small payload. Larger payloads are dropped first.
const SMALL_PAYLOAD_BYTES: usize = 1_000;
/// The compared versions that are kept, the newest: they matter most.
const COMPARED_MAX: usize = 20;
/// The findings that take precedence over consumers.
const FINDINGS_FIRST: usize = 3;

/// Cuts a report to at most `bytes_max` bytes. Drops payloads first, the large ones and the last
/// ones before others, then suggestions, then entries from the end. The counts stay, and the size
/// and the relevant fragment of each payload.
pub fn fit(mut report: CompatibilityReport, bytes_max: usize) -> CompatibilityReport {
    let mut excess = report.encoded_len().saturating_sub(bytes_max);
    if excess == 0 {
        return report;
    }
    for bytes in [SMALL_PAYLOAD_BYTES, 0] {
        for finding in
            report.findings.iter_mut().rev().filter(|finding| finding.witness.len() > bytes)
        {
            let bytes_before = finding.encoded_len();
            finding.witness.clear();
            excess = excess.saturating_sub(bytes_before - finding.encoded_len());
            if excess == 0 {
                return report;
            }
        }
    }
    for finding in &mut report.findings {
        finding.suggestion.clear();
    }
    let excess = report.compared_versions.len().saturating_sub(COMPARED_MAX);
    report.compared_versions.drain(..excess);
    for finding in &mut report.findings {
        for text in [
            &mut finding.message,
            &mut finding.old_value,
            &mut finding.new_value,
            &mut finding.old_path,
            &mut finding.new_path,
        ] {
            *text = shorten(text);
        }
        if finding.witness_path.len() + finding.witness_fragment.len() > FRAGMENT_BYTES_MAX {
            finding.witness_path.clear();
            finding.witness_fragment.clear();
        }
    }
    for affected in &mut report.affected_consumers {
        affected.reason = shorten(&affected.reason);
    }
    let findings: Vec<usize> = report.findings.iter().map(entry_bytes::<Finding>).collect();
    let affected: Vec<usize> =
        report.affected_consumers.iter().map(entry_bytes::<AffectedConsumer>).collect();
    let entries: usize = findings.iter().chain(&affected).sum();
    let space = bytes_max.saturating_sub(report.encoded_len() - entries);
    // Affected consumers take precedence over further findings, but not over the first ones.
    let first: usize = findings.iter().take(FINDINGS_FIRST).sum();
    let consumers = count_fitting(&affected, space.saturating_sub(first));
    let consumers = consumers.max(affected.len().min(1));
    let remaining = space.saturating_sub(affected[..consumers].iter().sum());
    report.findings.truncate(count_fitting(&findings, remaining));
    report.affected_consumers.truncate(consumers);
    report
}

/// Returns the bytes of an entry of a report: the tag of its field, its length and itself.
fn entry_bytes<T: Message>(entry: &T) -> usize {
    let bytes = entry.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// Returns how many of the first entries fit.
fn count_fitting(sizes: &[usize], space: usize) -> usize {
    let sums = sizes.iter().scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= space).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: usize, consumers: usize) -> CompatibilityReport {
        let finding = Finding {
            rule: "RULE".into(),
            message: "m".repeat(1_000),
            witness: "w".repeat(1_000),
            witness_path: "/a".into(),
            witness_fragment: "f".repeat(150),
            witness_size_bytes: 1_000,
            ..Finding::default()
        };
        let affected = AffectedConsumer { reason: "r".repeat(1_000), ..Default::default() };
        CompatibilityReport {
            findings: vec![finding; findings],
            total_findings: u32::try_from(findings).expect("few"),
            affected_consumers: vec![affected; consumers],
            ..CompatibilityReport::default()
        }
    }

    #[test]
    fn a_report_that_fits_is_unchanged_and_others_are_cut() {
        let small = report(2, 1);
        assert_eq!(fit(small.clone(), 10_000), small);
        for (findings, consumers) in [(10_000, 0), (10_000, 10_000), (1, 10_000), (3, 1), (0, 9)] {
            for max in [2_400, 100_000] {
                let cut = fit(report(findings, consumers), max);
                let kept = (cut.findings.len(), cut.affected_consumers.len());
                assert!(cut.encoded_len() <= max, "{findings} {consumers} {kept:?}");
                assert!(kept.0 >= findings.min(3), "{findings} {consumers} {kept:?}");
                assert!(kept.1 >= consumers.min(1), "{findings} {consumers} {kept:?}");
                assert_eq!(cut.total_findings as usize, findings);
            }
        }
    }

    #[test]
    fn large_payloads_are_dropped_first_and_keep_their_fragment_and_size() {
        let mut original = report(60, 0);
        for finding in original.findings.iter_mut().step_by(2) {
            finding.witness = "w".repeat(60_000);
            finding.witness_size_bytes = 60_000;
        }
        let cut = fit(original.clone(), 300_000);
        assert!(cut.encoded_len() <= 300_000);
        assert_eq!(cut.findings.len(), 60);
        let is_carried = |finding: &&Finding| finding.witness.len() > SMALL_PAYLOAD_BYTES;
        assert_eq!(cut.findings.iter().filter(is_carried).count(), 3);
        let mut first = cut.findings.iter().take(5).step_by(2);
        assert!(first.all(|finding| is_carried(&finding)), "the first payloads stay");
        for (before, after) in original.findings.iter().zip(&cut.findings) {
            assert!(before.witness_size_bytes > 10_000 || !after.witness.is_empty());
            let rest = Finding { witness: String::new(), ..before.clone() };
            assert_eq!(Finding { witness: String::new(), ..after.clone() }, rest);
        }
    }
}
