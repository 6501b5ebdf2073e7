//! The cost of a payload of 1 KiB: validation, encoding from JSON, decoding to JSON, and
//! conversion.
//!
//! ```text
//! cargo bench -p tidings-schema --bench payloads
//! ```

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use prost_reflect::DynamicMessage;
use tidings_schema::{
    definition::Definition,
    schema::{Format, Schema},
};

/// The duration of each measurement.
const TIME: Duration = Duration::from_millis(400);

fn main() {
    println!(
        "| format | bytes | check | from JSON | to JSON | convert, same | convert, rewritten |"
    );
    println!("|---|---|---|---|---|---|---|");
    for format in [Format::Protobuf, Format::Json, Format::Avro] {
        let schema = parse(format, "");
        // A writer with one more field than the reader.
        let wider = parse(format, "more");
        let json = json(format, false);
        let bytes = schema.encode(&json).expect("a payload");
        let wide = wider.encode(&self::json(format, true)).expect("a payload");
        assert_eq!(wider.convert(&schema, &wide).map(|converted| converted.is_some()), Ok(true));
        println!(
            "| {format} | {} | {} | {} | {} | {} | {} |",
            bytes.len(),
            time(|| schema.validate_binary(&bytes).is_ok()),
            time(|| schema.encode(&json).is_ok()),
            time(|| schema.to_json(&bytes).is_ok()),
            time(|| schema.convert(&wider, &bytes).is_ok()),
            time(|| wider.convert(&schema, &wide).is_ok()),
        );
        if let Schema::Protobuf(schema) = &schema {
            let message = schema.descriptor().expect("one message");
            let decode = || DynamicMessage::decode(message.clone(), bytes.as_slice()).is_ok();
            println!("| prost-reflect | {} | {} | | | | |", bytes.len(), time(decode));
        }
        if format == Format::Json {
            let read = || serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            println!("| serde_json | {} | {} | | | | |", bytes.len(), time(read));
        }
    }
}

fn time(work: impl Fn() -> bool) -> String {
    assert!(work());
    let start = Instant::now();
    let mut runs = 0_u32;
    while start.elapsed() < TIME {
        for _ in 0..100 {
            assert!(black_box(work()));
        }
        runs += 100;
    }
    format!("{:.2?}", start.elapsed() / runs)
}

fn parse(format: Format, extra: &str) -> Schema {
    let text = match format {
        Format::Protobuf => {
            let extra = if extra.is_empty() { "" } else { "string more = 9;" };
            format!(
                "syntax = \"proto3\"; message Order {{ string id = 1; string customer = 2; int64 placed = 3; State state = 4; \
                    repeated Line lines = 5; map<string, string> labels = 6; bool paid = 7; double total = 8; {extra} }} \
                    message Line {{ string sku = 1; int32 count = 2; double price = 3; string note = 4; }} \
                    enum State {{ NEW = 0; SENT = 1; }}"
            )
        }
        Format::Json => {
            let extra = if extra.is_empty() { "" } else { "\"more\": {\"type\": \"string\"}," };
            format!(
                r##"{{"type": "object", "required": ["id", "lines"], "additionalProperties": false, "properties": {{ {extra}
                    "id": {{"type": "string", "minLength": 1}}, "customer": {{"type": "string", "pattern": "^[a-z ]+$"}},
                    "placed": {{"type": "integer", "minimum": 0}}, "state": {{"enum": ["NEW", "SENT"]}},
                    "lines": {{"type": "array", "items": {{"$ref": "#/$defs/line"}}}},
                    "labels": {{"type": "object", "additionalProperties": {{"type": "string"}}}},
                    "paid": {{"type": "boolean"}}, "total": {{"type": "number"}} }},
                    "$defs": {{"line": {{"type": "object", "required": ["sku", "count"], "properties": {{
                    "sku": {{"type": "string"}}, "count": {{"type": "integer"}}, "price": {{"type": "number"}},
                    "note": {{"type": "string"}} }} }} }} }}"##
            )
        }
        Format::Avro => {
            let extra = if extra.is_empty() {
                ""
            } else {
                r#",{"name": "more", "type": "string", "default": ""}"#
            };
            format!(
                r#"{{"type": "record", "name": "Order", "fields": [{{"name": "id", "type": "string"}}, {{"name": "customer", "type": "string"}},
                    {{"name": "placed", "type": "long"}}, {{"name": "state", "type": {{"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}}}},
                    {{"name": "lines", "type": {{"type": "array", "items": {{"type": "record", "name": "Line", "fields": [
                    {{"name": "sku", "type": "string"}}, {{"name": "count", "type": "int"}}, {{"name": "price", "type": "double"}},
                    {{"name": "note", "type": "string"}}]}}}}}}, {{"name": "labels", "type": {{"type": "map", "values": "string"}}}},
                    {{"name": "paid", "type": "boolean"}}, {{"name": "total", "type": "double"}}{extra}]}}"#
            )
        }
    };
    Schema::parse(format, "Order", &definition(&text), &[]).expect("a schema")
}

fn definition(text: &str) -> Definition {
    let mut definition = Definition::text(text);
    if text.starts_with("syntax") {
        definition.message_name = "Order".to_owned();
    }
    definition
}

/// An order whose lines make the payload about 1 KiB.
fn json(format: Format, with_extra: bool) -> String {
    let lines = if format == Format::Json { 9 } else { 18 };
    let lines: Vec<_> = (0..lines)
        .map(|index| {
            format!(
                "{{\"sku\": \"sku-{index:06}\", \"count\": {index}, \"price\": {index}.99, \"note\": \"in a box with a ribbon {index}\"}}"
            )
        })
        .collect();
    let extra = if with_extra { ", \"more\": \"something\"" } else { "" };
    format!(
        "{{\"id\": \"o-1\", \"customer\": \"somebody with a name\", \"placed\": 1769860800000, \"state\": \"SENT\", \"lines\": [{}], \
            \"labels\": {{\"channel\": \"web\", \"region\": \"eu\"}}, \"paid\": true, \"total\": 123.45{extra}}}",
        lines.join(", ")
    )
}
