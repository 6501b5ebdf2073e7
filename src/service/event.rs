//! Decodes a published event: moves attributes out of the map, fills in defaults, checks, hashes
//! and encodes it once.

use prost::Message as _;
use tidings_schema::version::Selector;

use super::json;
use crate::{
    model::{
        attribute::{check_text, check_uri_reference, quoted},
        encoded::{NAMED_ATTRIBUTES, is_attribute_name},
        event::{ATTRIBUTE_BYTES_MAX, ContentHash, HEADER_BYTES, NewEvent, PayloadField},
        fault::{FaultKind, Faults},
        media::{self, Media},
        timestamp::Timestamp,
    },
    proto::events::v1::{Event, attribute_value::Attr, event::Payload},
};

/// The supported version of CloudEvents.
const SPEC_VERSION: &str = "1.0";

/// Checks an event and encodes it.
///
/// # Errors
/// Returns all faults of the event.
pub fn decode(event: Event, index: usize) -> Result<NewEvent, Faults> {
    let mut decoder = Decoder { faults: Faults::new(), path: format!("events[{index}]") };
    let mut event = decoder.normalize(event);
    decoder.check(&mut event);
    let Decoder { mut faults, path } = decoder;
    let payload_field = match &event.payload {
        None => PayloadField::Absent,
        Some(Payload::Data(_)) => PayloadField::Data,
        Some(Payload::TextData(_)) => PayloadField::Text,
        Some(Payload::BinaryData(_)) => PayloadField::Binary,
        Some(Payload::ProtoData(_)) => PayloadField::Any,
    };
    // The hash covers the form that was published: `data` and `text_data` are different contents.
    let content = matches!(event.payload, Some(Payload::Data(_)))
        .then(|| ContentHash::of(&event.encode_to_vec()));
    if let Some(Payload::Data(value)) = event.payload.take_if(|p| matches!(p, Payload::Data(_))) {
        let text = json::to_text(value);
        event.payload =
            faults.take(FaultKind::Event, &format!("{path}.data"), text).map(Payload::TextData);
    }
    faults.finish(|| Some(encode(event, payload_field, content)))
}

fn encode(event: Event, payload_field: PayloadField, content: Option<ContentHash>) -> NewEvent {
    let mut row = Vec::with_capacity(HEADER_BYTES + event.encoded_len());
    row.resize(HEADER_BYTES, 0);
    event.encode_raw(&mut row);
    let content = content.unwrap_or_else(|| ContentHash::of(&row[HEADER_BYTES..]));
    let Event { id, source, r#type, correlationid, .. } = event;
    let mut new = NewEvent::new(id, &source, r#type, correlationid, content, row);
    new.payload_field = payload_field;
    new.times_checked = true;
    new
}

struct Decoder {
    faults: Faults,
    path: String,
}

impl Decoder {
    fn fault(&mut self, field: &str, description: impl Into<String>) {
        self.faults.add(FaultKind::Event, format!("{}.{field}", self.path), description);
    }

    /// Moves attributes from the map to their fields, and string extensions to `extensions`.
    fn normalize(&mut self, mut event: Event) -> Event {
        if event.attributes.is_empty() && event.extensions.is_empty() {
            return event;
        }
        for (name, value) in std::mem::take(&mut event.attributes) {
            let field = format!("attributes[{name:?}]");
            let Some(value) = value.attr else {
                self.fault(&field, "has no value: set one of the ce_ fields");
                continue;
            };
            let is_named = NAMED_ATTRIBUTES.iter().any(|(named, _)| *named == name);
            match value {
                Attr::CeString(text) if !is_named => self.extend(&mut event, name, text, &field),
                Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text) if is_named => {
                    self.set(&mut event, &name, text, &field);
                }
                Attr::CeTimestamp(time) if name == "time" => {
                    if event.time.is_some_and(|present| present != time) {
                        self.fault(&field, "differs from the field `time`");
                    }
                    event.time = Some(time);
                }
                _ if is_named => {
                    self.fault(&field, format!("has a type that {name:?} does not allow"))
                }
                other => {
                    self.check_name(&field, &name);
                    let value = crate::proto::events::v1::AttributeValue { attr: Some(other) };
                    event.attributes.insert(name, value);
                }
            }
        }
        for (name, text) in std::mem::take(&mut event.extensions) {
            let field = format!("extensions[{name:?}]");
            if NAMED_ATTRIBUTES.iter().any(|(named, _)| *named == name) {
                self.set(&mut event, &name, text, &field);
            } else {
                self.extend(&mut event, name, text, &field);
            }
        }
        event
    }

    fn extend(&mut self, event: &mut Event, name: String, text: String, field: &str) {
        self.check_name(field, &name);
        match event.extensions.get(&name) {
            Some(present) if *present != text => {
                self.fault(field, "is set twice, with different values");
            }
            _ => {
                event.extensions.insert(name, text);
            }
        }
    }

    fn check_name(&mut self, field: &str, name: &str) {
        if !is_attribute_name(name) {
            self.fault(
                field,
                "is not an attribute name: lower-case letters and digits, at most 64",
            );
        }
    }

    fn set(&mut self, event: &mut Event, name: &str, text: String, field: &str) {
        if name == "time" {
            match Timestamp::rfc3339(&text) {
                Ok(time) => {
                    let time = prost_types::Timestamp::from(time);
                    if event.time.is_some_and(|present| present != time) {
                        self.fault(field, "differs from the field `time`");
                    }
                    event.time = Some(time);
                }
                Err(error) => self.fault(field, format!("{} {error}", quoted(&text))),
            }
            return;
        }
        // An empty id, source or type is reported for its field. An empty version is the default.
        if text.is_empty()
            && !["id", "source", "type", "specversion", "schemaversion"].contains(&name)
        {
            self.fault(field, "is empty: omit it");
        }
        let present = match name {
            "id" => &mut event.id,
            "source" => &mut event.source,
            "specversion" => &mut event.spec_version,
            "type" => &mut event.r#type,
            "subject" => &mut event.subject,
            "datacontenttype" => &mut event.datacontenttype,
            "dataschema" => &mut event.dataschema,
            "partitionkey" => &mut event.partitionkey,
            "correlationid" => &mut event.correlationid,
            "causationid" => &mut event.causationid,
            "traceparent" => &mut event.traceparent,
            "tracestate" => &mut event.tracestate,
            _ => &mut event.schemaversion,
        };
        if present.is_empty() || *present == text {
            *present = text;
        } else {
            let description = format!("is {text:?}, but the field `{name}` is {present:?}");
            self.fault(field, description);
        }
    }

    fn check(&mut self, event: &mut Event) {
        if event.spec_version.is_empty() {
            event.spec_version = SPEC_VERSION.into();
        } else if event.spec_version != SPEC_VERSION {
            let description =
                format!("is {:?}; only {SPEC_VERSION} is supported", event.spec_version);
            self.fault("specversion", description);
        }
        for (name, text) in [("id", &event.id), ("source", &event.source), ("type", &event.r#type)]
        {
            if text.is_empty() {
                self.fault(name, "is required");
            }
        }
        for (name, text) in [
            ("id", &event.id),
            ("source", &event.source),
            ("type", &event.r#type),
            ("subject", &event.subject),
            ("partitionkey", &event.partitionkey),
            ("correlationid", &event.correlationid),
        ] {
            if text.len() > ATTRIBUTE_BYTES_MAX {
                let description =
                    format!("{} bytes; the limit is {ATTRIBUTE_BYTES_MAX}", text.len());
                self.fault(name, description);
            }
        }
        self.check_values(event);
        if let Some(time) = event.time
            && let Err(description) = Timestamp::try_from(time)
        {
            self.fault("time", description);
        }
        if let Err(description) = Selector::parse_prefix(&event.schemaversion) {
            self.fault("schemaversion", description);
        }
        match &event.payload {
            Some(Payload::Data(_)) if event.datacontenttype.is_empty() => {
                event.datacontenttype = media::JSON.into();
            }
            Some(Payload::Data(_)) if Media::of(&event.datacontenttype) != Media::Json => {
                let description = format!(
                    "is {:?}, but `data` is JSON: use text_data or binary_data for other payloads",
                    event.datacontenttype
                );
                self.fault("datacontenttype", description);
            }
            Some(Payload::ProtoData(any)) if any.type_url.is_empty() => {
                self.fault("proto_data", "has no type_url");
            }
            _ => {}
        }
    }

    /// Checks all values against the type system of CloudEvents.
    fn check_values(&mut self, event: &Event) {
        for (name, text) in [
            ("id", &event.id),
            ("type", &event.r#type),
            ("subject", &event.subject),
            ("datacontenttype", &event.datacontenttype),
            ("partitionkey", &event.partitionkey),
            ("correlationid", &event.correlationid),
            ("causationid", &event.causationid),
            ("traceparent", &event.traceparent),
            ("tracestate", &event.tracestate),
        ] {
            self.report(name, check_text(text));
        }
        self.report("source", check_uri_reference(&event.source));
        self.report("dataschema", check_uri_reference(&event.dataschema));
        for (name, text) in &event.extensions {
            self.report_with(check_text(text), || format!("extensions[{name:?}]"));
        }
        for (name, value) in &event.attributes {
            let checked = match &value.attr {
                Some(Attr::CeTimestamp(time)) => Timestamp::try_from(*time).map(|_| ()),
                Some(Attr::CeString(text)) => check_text(text),
                Some(Attr::CeUri(text) | Attr::CeUriRef(text)) => check_uri_reference(text),
                Some(Attr::CeBoolean(_) | Attr::CeInteger(_) | Attr::CeBytes(_)) | None => Ok(()),
            };
            self.report_with(checked, || format!("attributes[{name:?}]"));
        }
    }

    fn report(&mut self, field: &str, checked: Result<(), String>) {
        if let Err(description) = checked {
            self.fault(field, description);
        }
    }

    fn report_with(&mut self, checked: Result<(), String>, field: impl FnOnce() -> String) {
        if let Err(description) = checked {
            self.fault(&field(), description);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::events::v1::AttributeValue;

    fn event() -> Event {
        Event { id: "1".into(), source: "/s".into(), r#type: "t".into(), ..Event::default() }
    }

    fn string(text: &str) -> AttributeValue {
        AttributeValue { attr: Some(Attr::CeString(text.into())) }
    }

    fn recorded(new: &NewEvent) -> Event {
        Event::decode(new.encoded()).expect("an event")
    }

    #[test]
    fn attributes_of_the_map_are_moved_to_their_fields() {
        let mut event = event();
        event.attributes = [
            ("subject".to_string(), string("o-1")),
            ("tenant".to_string(), string("blue")),
            ("priority".to_string(), AttributeValue { attr: Some(Attr::CeInteger(3)) }),
            ("time".to_string(), string("2026-01-02T03:04:05Z")),
        ]
        .into();
        let new = decode(event, 0).expect("well formed");
        let recorded = recorded(&new);
        assert_eq!(recorded.subject, "o-1");
        assert_eq!(recorded.extensions["tenant"], "blue");
        assert_eq!(recorded.attributes.keys().collect::<Vec<_>>(), ["priority"]);
        assert_eq!(recorded.time.map(|time| time.seconds), Some(1_767_323_045));
        assert_eq!(recorded.spec_version, "1.0");
        assert_eq!(new.key(), Some(&b"o-1"[..]));
    }

    #[test]
    fn content_does_not_depend_on_where_an_attribute_was_set() {
        let field = Event { subject: "o-1".into(), ..event() };
        let mut mapped = event();
        mapped.attributes = [("subject".to_string(), string("o-1"))].into();
        let content = |event| decode(event, 0).expect("well formed").content;
        assert_eq!(content(field), content(mapped));
    }

    #[test]
    fn two_values_for_one_attribute_are_a_fault() {
        let mut event = Event { subject: "a".into(), ..event() };
        event.attributes = [("subject".to_string(), string("b"))].into();
        let faults = decode(event, 3).expect_err("two values");
        assert_eq!(
            faults.iter().next().expect("a fault").field,
            "events[3].attributes[\"subject\"]"
        );
    }

    #[test]
    fn all_faults_are_reported_together() {
        let faults = decode(Event::default(), 0).expect_err("nothing is set");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["events[0].id", "events[0].source", "events[0].type"]);
    }

    /// Fields at fault, and the description of the first fault.
    fn faults(event: Event) -> (Vec<String>, String) {
        let faults = decode(event, 0).expect_err("a fault");
        let fields = faults.iter().map(|fault| fault.field.clone()).collect();
        (fields, faults.iter().next().expect("a fault").description.clone())
    }

    #[test]
    fn times_are_those_of_protobuf() {
        for (seconds, nanos) in
            [(0, -1), (0, 1_000_000_000), (-62_135_596_801, 0), (253_402_300_800, 0), (1 << 62, 0)]
        {
            let time = prost_types::Timestamp { seconds, nanos };
            let (fields, description) = faults(Event { time: Some(time), ..event() });
            assert_eq!(fields, ["events[0].time"]);
            assert!(
                description.contains(&format!("{seconds} seconds and {nanos} nanos")),
                "{description}"
            );
            assert!(description.contains("from -62135596800 to 253402300799"), "{description}");
            for name in ["time", "due"] {
                let value = AttributeValue { attr: Some(Attr::CeTimestamp(time)) };
                let attributes = [(name.to_string(), value)].into();
                let field = if name == "time" { "time" } else { "attributes[\"due\"]" };
                let (fields, _) = faults(Event { attributes, ..event() });
                assert_eq!(fields, [format!("events[0].{field}")]);
            }
        }
        for (seconds, nanos) in [(-62_135_596_800, 0), (253_402_300_799, 999_999_999)] {
            let time = Some(prost_types::Timestamp { seconds, nanos });
            let new = decode(Event { time, ..event() }, 0).expect("a time");
            assert_eq!((recorded(&new).time, new.times_checked), (time, true));
        }
    }

    #[test]
    fn a_time_as_text_is_rfc_3339() {
        for text in ["2026-01-02T03:04Z", "20260102T030405Z", "0000-12-31T23:59:59Z", "noon"] {
            let attributes = [("time".to_string(), string(text))].into();
            let (fields, description) = faults(Event { attributes, ..event() });
            assert_eq!(fields, ["events[0].attributes[\"time\"]"]);
            assert!(description.starts_with(&format!("{text:?} is not")), "{description}");
        }
    }

    #[test]
    fn values_are_those_of_the_type_system() {
        let name = |text: &str| text.to_string();
        for c in ["\0", "\n", "\t", "\u{7f}", "\u{85}", "\u{fffe}", "\u{fdd0}"] {
            let bad = format!("a{c}");
            let event = Event {
                id: bad.clone(),
                r#type: bad.clone(),
                subject: bad.clone(),
                datacontenttype: bad.clone(),
                partitionkey: bad.clone(),
                correlationid: bad.clone(),
                causationid: bad.clone(),
                traceparent: bad.clone(),
                tracestate: bad.clone(),
                extensions: [(name("one"), bad.clone())].into(),
                attributes: [
                    (name("two"), string(&bad)),
                    (name("three"), AttributeValue { attr: Some(Attr::CeUri(bad.clone())) }),
                    (name("four"), AttributeValue { attr: Some(Attr::CeUriRef(bad.clone())) }),
                ]
                .into(),
                source: bad.clone(),
                dataschema: bad,
                ..Event::default()
            };
            assert_eq!(faults(event).0.len(), 15, "{c:?}");
        }
        for (source, dataschema) in
            [("http://[bad", "a b"), ("%zz", "%zz"), ("a<b>", "http://[bad"), ("größe", "a<b>")]
        {
            let event = Event { source: source.into(), dataschema: dataschema.into(), ..event() };
            assert_eq!(faults(event).0, ["events[0].source", "events[0].dataschema"]);
        }
        for named in ["subject", "dataschema", "partitionkey", "traceparent"] {
            let attributes = [(name(named), string(""))].into();
            let (fields, description) = faults(Event { attributes, ..event() });
            assert_eq!(fields, [format!("events[0].attributes[{named:?}]")]);
            assert_eq!(description, "is empty: omit it");
        }
        let fine = Event {
            subject: "größe 😀".into(),
            extensions: [(name("empty"), String::new())].into(),
            ..event()
        };
        assert!(decode(fine, 0).is_ok());
    }

    #[test]
    fn content_depends_on_the_form_of_the_payload() {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.0)) };
        let data = Event { payload: Some(Payload::Data(value)), ..event() };
        let text = Event {
            payload: Some(Payload::TextData("1".into())),
            datacontenttype: "application/json".into(),
            ..event()
        };
        let (data, text) = (decode(data, 0).expect("data"), decode(text, 0).expect("text"));
        assert_eq!(data.encoded(), text.encoded());
        assert_ne!(data.content, text.content);
    }
}
