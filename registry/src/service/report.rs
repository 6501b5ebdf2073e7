//! Reports that fit where they are sent.

use prost::Message;

use crate::proto::v1::{AffectedConsumer, CompatibilityReport, Finding};

/// Characters of a text that was cut.
pub const TEXT_CHARS_MAX: usize = 400;
/// A fragment of a payload, with its pointer, that stays where there is little room: several have to
/// fit into the 2,400 bytes of status details.
const FRAGMENT_BYTES_MAX: usize = 200;
/// A payload of which many fit. Larger ones make room first.
const SMALL_PAYLOAD_BYTES: usize = 1_000;
/// Of the versions that were compared, the newest say most.
const COMPARED_MAX: usize = 20;
/// Findings that are told before consumers are.
const FINDINGS_FIRST: usize = 3;

/// A report in so many bytes: payloads go first, the large ones and the last ones before others, then suggestions, then
/// entries from the end. The counts stay, and of each payload its size and what counts in it.
pub fn fit(mut report: CompatibilityReport, bytes_max: usize) -> CompatibilityReport {
    let mut excess = report.encoded_len().saturating_sub(bytes_max);
    if excess == 0 {
        return report;
    }
    for bytes in [SMALL_PAYLOAD_BYTES, 0] {
        for finding in report.findings.iter_mut().rev().filter(|it| it.witness.len() > bytes) {
            let whole = finding.encoded_len();
            finding.witness.clear();
            excess = excess.saturating_sub(whole - finding.encoded_len());
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
    let findings: Vec<usize> = report.findings.iter().map(entry::<Finding>).collect();
    let affected: Vec<usize> =
        report.affected_consumers.iter().map(entry::<AffectedConsumer>).collect();
    let entries: usize = findings.iter().chain(&affected).sum();
    let room = bytes_max.saturating_sub(report.encoded_len() - entries);
    // Who is left behind is told before what else there is, but not instead of all of it.
    let (first, one) = (&findings[..findings.len().min(FINDINGS_FIRST)], affected.first());
    let first: usize = first.iter().sum();
    let told = fitting(&affected, room.saturating_sub(first)).max(one.map_or(0, |_| 1));
    let left = room.saturating_sub(affected[..told].iter().sum());
    report.findings.truncate(fitting(&findings, left));
    report.affected_consumers.truncate(told);
    report
}

/// Bytes of an entry of a report: its field's tag, its length and itself.
fn entry<T: Message>(it: &T) -> usize {
    let bytes = it.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// How many of them, from the first on.
fn fitting(sizes: &[usize], room: usize) -> usize {
    let sums = sizes.iter().scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= room).count()
}

/// A text, without its end where it is long.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
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
    fn what_fits_stays_and_what_does_not_is_cut() {
        let small = report(2, 1);
        assert_eq!(fit(small.clone(), 10_000), small);
        for (findings, consumers) in [(10_000, 0), (10_000, 10_000), (1, 10_000), (3, 1), (0, 9)] {
            for max in [2_400, 100_000] {
                let cut = fit(report(findings, consumers), max);
                let told = (cut.findings.len(), cut.affected_consumers.len());
                assert!(cut.encoded_len() <= max, "{findings} {consumers} {told:?}");
                assert!(told.0 >= findings.min(3), "{findings} {consumers} {told:?}");
                assert!(told.1 >= consumers.min(1), "{findings} {consumers} {told:?}");
                assert_eq!(cut.total_findings as usize, findings);
            }
        }
    }

    #[test]
    fn large_payloads_make_room_first_and_leave_their_fragment_and_size() {
        let mut whole = report(60, 0);
        for finding in whole.findings.iter_mut().step_by(2) {
            finding.witness = "w".repeat(60_000);
            finding.witness_size_bytes = 60_000;
        }
        let cut = fit(whole.clone(), 300_000);
        assert!(cut.encoded_len() <= 300_000);
        assert_eq!(cut.findings.len(), 60);
        let carried = |finding: &&Finding| finding.witness.len() > SMALL_PAYLOAD_BYTES;
        assert_eq!(cut.findings.iter().filter(carried).count(), 3);
        assert!(cut.findings.iter().take(5).step_by(2).all(|it| carried(&it)), "the first stay");
        for (before, after) in whole.findings.iter().zip(&cut.findings) {
            assert!(before.witness_size_bytes > 10_000 || !after.witness.is_empty());
            let rest = Finding { witness: String::new(), ..before.clone() };
            assert_eq!(Finding { witness: String::new(), ..after.clone() }, rest);
        }
    }
}
