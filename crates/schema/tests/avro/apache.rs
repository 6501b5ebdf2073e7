//! The `apache-avro` crate as an oracle. It resolves values, not schemas: it ignores aliases,
//! rejects decimals of few bytes, chooses the first branch of a union that a value fits, and reads
//! a default of bytes as UTF-8. Pairs with these features are skipped.

use apache_avro::{
    Schema as Library, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter,
};
use serde_json::Value;
use tidings_schema::finding::{Direction, Verdict};

use crate::{
    generate::Rng,
    pairs::{pair, seeds},
    payload_generator::Payloads,
};

/// Converts a payload with the library.
fn convert(writer: &Library, reader: &Library, payload: &[u8]) -> Result<Vec<u8>, String> {
    let message = |error: apache_avro::Error| error.to_string();
    let mut rest = payload;
    let value = GenericDatumReader::builder(writer)
        .reader_schema(reader)
        .build()
        .and_then(|reader| reader.read_value(&mut rest))
        .map_err(message)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes remain", rest.len()));
    }
    GenericDatumWriter::builder(reader)
        .build()
        .and_then(|writer| writer.write_value_to_vec(value))
        .map_err(message)
}

/// Whether a union has two branches of one kind, which the library distinguishes only by values.
fn has_similar_branches(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => {
            let named = |kind: &&str| matches!(*kind, "record" | "enum" | "fixed");
            let kinds =
                items.iter().filter_map(|branch| branch.get("type")?.as_str()).filter(named);
            let kinds: Vec<_> = kinds.collect();
            kinds.iter().enumerate().any(|(index, kind)| kinds[..index].contains(kind))
                || items.iter().any(has_similar_branches)
        }
        Value::Object(entries) => entries.values().any(has_similar_branches),
        _ => false,
    }
}

#[test]
fn the_rust_library_reads_compatible_data_like_tidings() {
    // Payloads are bounded by our own validation.
    apache_avro::util::max_allocation_bytes(16 << 20);
    let library = |schema: &Value| Library::parse_str(&schema.to_string());
    let (mut payloads_read, mut differences) = (0, 0);
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let texts = format!("{old}{new}");
        if ["logicalType", "aliases", "namespace", "\"n.", "\"m.", "\u{ff}"]
            .iter()
            .any(|feature| texts.contains(feature))
            || has_similar_branches(&old)
            || has_similar_branches(&new)
        {
            continue;
        }
        let (Ok(old_library), Ok(new_library)) = (library(&old), library(&new)) else {
            panic!("{seed}: the library rejects {old} or {new}");
        };
        let comparison = before.compare(&after);
        let sides = [
            (Direction::Backward, &old, &before, &after, &old_library, &new_library),
            (Direction::Forward, &new, &after, &before, &new_library, &old_library),
        ];
        for (direction, writer, from, to, library_writer, library_reader) in sides {
            let mut findings = comparison.findings.iter();
            // The library reads a small long as an int before it tries a float, and reads a default
            // of a later branch as null or rejects it.
            let known =
                ["AVRO_BRANCH_CHOICE", "AVRO_PROMOTION_LOSSY", "AVRO_DEFAULT_NOT_OF_FIRST_BRANCH"];
            let differs = findings.any(|finding| known.contains(&finding.rule));
            if comparison.verdict(direction) != Verdict::Compatible || differs {
                continue;
            }
            let mut rng = Rng::new(seed);
            let payloads = Payloads::new(writer);
            for payload in (0..8).filter_map(|_| payloads.generate(&mut rng)) {
                let ours = from.convert(to, &payload).map_err(|violation| violation.message);
                let theirs = convert(library_writer, library_reader, &payload);
                if ours != theirs {
                    // For example text read as a fixed instead of bytes, or a map as a record
                    // without fields.
                    println!(
                        "{seed}: {ours:02x?}, not {theirs:02x?}: {old} -> {new}: {payload:02x?}"
                    );
                    differences += 1;
                }
                payloads_read += 1;
            }
        }
    }
    println!("{payloads_read} payloads read, {differences} of them differently");
    assert!(differences * 500 <= payloads_read, "{differences} of {payloads_read}");
}
