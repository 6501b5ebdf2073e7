//! The `apache-avro` crate as an oracle. Its resolution goes by values rather than by schemas: it knows no aliases, refuses
//! decimals of few bytes, takes the first branch of a union that a value happens to fit, and reads the default of bytes
//! as UTF-8; so pairs without these.

use apache_avro::{
    Schema as Library, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter,
};
use serde_json::Value;
use tidings_schema::finding::{Direction, Verdict};

use crate::{
    draw::Payloads,
    generate::Rng,
    pairs::{pair, seeds},
};

/// Reads a payload as another schema has it, and writes it again.
fn convert(writer: &Library, reader: &Library, payload: &[u8]) -> Result<Vec<u8>, String> {
    let say = |error: apache_avro::Error| error.to_string();
    let mut rest = payload;
    let value = GenericDatumReader::builder(writer)
        .reader_schema(reader)
        .build()
        .and_then(|it| it.read_value(&mut rest))
        .map_err(say)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes are left", rest.len()));
    }
    GenericDatumWriter::builder(reader)
        .build()
        .and_then(|it| it.write_value_to_vec(value))
        .map_err(say)
}

/// Whether a union has two branches that it tells apart by their values alone.
fn alike(of: &Value) -> bool {
    match of {
        Value::Array(items) => {
            let named = |it: &&str| matches!(*it, "record" | "enum" | "fixed");
            let kinds = items.iter().filter_map(|it| it.get("type")?.as_str()).filter(named);
            let kinds: Vec<_> = kinds.collect();
            kinds.iter().enumerate().any(|(at, it)| kinds[..at].contains(it))
                || items.iter().any(alike)
        }
        Value::Object(entries) => entries.values().any(alike),
        _ => false,
    }
}

#[test]
fn the_rust_library_reads_what_is_compatible_as_we_do() {
    // Whatever is decoded is bounded, by our own check before.
    apache_avro::util::max_allocation_bytes(16 << 20);
    let library = |it: &Value| Library::parse_str(&it.to_string());
    let (mut read, mut other) = (0, 0);
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let texts = format!("{old}{new}");
        if ["logicalType", "aliases", "namespace", "\"n.", "\"m.", "\u{ff}"]
            .iter()
            .any(|it| texts.contains(it))
            || alike(&old)
            || alike(&new)
        {
            continue;
        }
        let (Ok(there), Ok(here)) = (library(&old), library(&new)) else {
            panic!("{seed}: the library refuses {old} or {new}");
        };
        let comparison = before.compare(&after);
        let sides = [
            (Direction::Backward, &old, &before, &after, &there, &here),
            (Direction::Forward, &new, &after, &before, &here, &there),
        ];
        for (direction, writer, from, to, wrote, reads) in sides {
            let mut found = comparison.findings.iter();
            // It takes a long for an int where it is small enough, before it takes it for a float; and reads a default of
            // a later branch as null, or not at all.
            let known =
                ["AVRO_BRANCH_CHOICE", "AVRO_PROMOTION_LOSSY", "AVRO_DEFAULT_NOT_OF_FIRST_BRANCH"];
            let choice = found.any(|it| known.contains(&it.rule));
            if comparison.verdict(direction) != Verdict::Compatible || choice {
                continue;
            }
            let mut rng = Rng::new(seed);
            let payloads = Payloads::new(writer);
            for payload in (0..8).filter_map(|_| payloads.make(&mut rng)) {
                let ours = from.convert(to, &payload).map_err(|it| it.message);
                let theirs = convert(wrote, reads, &payload);
                if ours != theirs {
                    // Such as text that it takes for a fixed before it takes it for bytes, or a map for a record
                    // without fields.
                    println!(
                        "{seed}: {ours:02x?}, not {theirs:02x?}: {old} -> {new}: {payload:02x?}"
                    );
                    other += 1;
                }
                read += 1;
            }
        }
    }
    println!("{read} payloads read, {other} of them otherwise than we do");
    assert!(other * 500 <= read, "{other} of {read}");
}
