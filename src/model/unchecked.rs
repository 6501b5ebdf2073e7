//! Events recorded by a version that did not check times against the range of
//! `google.protobuf.Timestamp`. ProtoJSON printers fail on such a time, and so on the whole
//! response that contains it.

use bytes::BufMut as _;

use super::{
    encoded::{EncodedEvent, Value, put, tag},
    timestamp::Timestamp,
};

/// The extension attribute that lists the times omitted from a delivered event.
pub const INVALID_TIMES: &str = "tidingsinvalidtimes";

/// Most times that it lists.
const LISTED_MAX: usize = 16;
/// `CloudEventAttributeValue.ce_timestamp`.
const CE_TIMESTAMP: u32 = 7;

/// The event without its times that are out of range, and with [`INVALID_TIMES`]. None: all times
/// are in range.
pub fn printable(event: &[u8]) -> Option<Vec<u8>> {
    let encoded = EncodedEvent(event);
    let (mut kept, mut start) = (Vec::<u8>::new(), 0);
    let mut omitted = OmittedTimes::default();
    let mut fields = encoded.fields();
    while let Some((field, value)) = fields.next() {
        let end = fields.end;
        if let Some((name, (seconds, nanos))) = invalid(event, field, value) {
            omitted.add(name, seconds, nanos);
        } else {
            kept.put_slice(&event[start..end]);
        }
        start = end;
    }
    if omitted.count == 0 {
        return None;
    }
    let mut entry = Vec::<u8>::new();
    put(1, INVALID_TIMES.as_bytes(), &mut entry);
    put(2, omitted.text().as_bytes(), &mut entry);
    put(tag::EXTENSIONS, &entry, &mut kept);
    Some(kept)
}

/// The name, seconds and nanoseconds of an attribute whose value is a time out of range.
fn invalid(event: &[u8], field: u32, value: Value) -> Option<(&str, (i64, i64))> {
    let Value::Bytes(start, end) = value else { return None };
    let bytes = event.get(start..end)?;
    let (name, time) = match field {
        tag::TIME => ("time", bytes),
        tag::ATTRIBUTES => {
            let (name, value) = EncodedEvent(bytes).key_and_value()?;
            let (kind, Value::Bytes(start, end)) = EncodedEvent(value).fields().last()? else {
                return None;
            };
            (name, value.get(start..end).filter(|_| kind == CE_TIMESTAMP)?)
        }
        _ => return None,
    };
    let (seconds, nanos) = EncodedEvent(time).seconds_and_nanos();
    let is_time = i32::try_from(nanos).is_ok_and(|nanos| Timestamp::new(seconds, nanos).is_ok());
    (!is_time).then_some((name, (seconds, nanos)))
}

/// Times that were omitted.
#[derive(Default)]
struct OmittedTimes {
    listed: Vec<String>,
    count: usize,
}

impl OmittedTimes {
    fn add(&mut self, name: &str, seconds: i64, nanos: i64) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(format!("{name}: {seconds} seconds, {nanos} nanos"));
        }
    }

    fn text(&self) -> String {
        let text = self.listed.join("; ");
        match self.count - self.listed.len() {
            0 => text,
            more => format!("{text}; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload};

    fn time(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    fn typed(attr: Attr) -> AttributeValue {
        AttributeValue { attr: Some(attr) }
    }

    fn event() -> Event {
        Event {
            id: "1".into(),
            time: Some(time(0, 0)),
            extensions: [("tenant".to_string(), "blue".to_string())].into(),
            attributes: [
                ("due".to_string(), typed(Attr::CeTimestamp(time(253_402_300_799, 999_999_999)))),
                ("count".to_string(), typed(Attr::CeInteger(-3))),
            ]
            .into(),
            payload: Some(Payload::TextData("{}".into())),
            ..Event::default()
        }
    }

    #[test]
    fn times_out_of_range_are_omitted_and_listed() {
        let valid = event();
        assert_eq!(printable(&valid.encode_to_vec()), None);
        let mut broken = valid.clone();
        broken.time = Some(time(-62_135_596_801, 5));
        broken.attributes.insert("until".into(), typed(Attr::CeTimestamp(time(1 << 62, -1))));
        let printed = printable(&broken.encode_to_vec()).expect("two times out of range");
        let mut expected = Event { time: None, ..valid };
        let listed =
            "until: 4611686018427387904 seconds, -1 nanos; time: -62135596801 seconds, 5 nanos";
        expected.extensions.insert(INVALID_TIMES.into(), listed.into());
        assert_eq!(Event::decode(&*printed).expect("an event"), expected);
        assert_eq!(printable(&printed), None);
    }

    #[test]
    fn the_list_is_bounded() {
        let attributes = (0..1_000)
            .map(|at| (format!("at{at}"), typed(Attr::CeTimestamp(time(0, -1)))))
            .collect();
        let broken = Event { attributes, ..Event::default() };
        let printed = printable(&broken.encode_to_vec()).expect("1,000 times out of range");
        assert!(printed.len() < 1_000, "{}", printed.len());
        let text = Event::decode(&*printed).unwrap().extensions[INVALID_TIMES].clone();
        assert!(text.ends_with("; and 984 more"), "{text}");
    }

    proptest! {
        #[test]
        fn delivered_times_are_in_range(seconds: i64, nanos: i32, due: i64) {
            let mut event = event();
            event.time = Some(time(seconds, nanos));
            event.attributes.insert("due".into(), typed(Attr::CeTimestamp(time(due, 0))));
            let bytes = event.encode_to_vec();
            let printed = printable(&bytes).unwrap_or(bytes);
            let printed = Event::decode(&*printed).unwrap();
            let is_time = |time: prost_types::Timestamp| Timestamp::try_from(time).is_ok();
            prop_assert!(printed.time.is_none_or(is_time));
            prop_assert_eq!(printed.time.is_some(), is_time(event.time.unwrap()));
            prop_assert_eq!(printed.attributes.contains_key("due"), is_time(time(due, 0)));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = printable(&bytes);
        }
    }
}
