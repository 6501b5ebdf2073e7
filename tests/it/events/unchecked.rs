//! Events recorded before times were checked against the range of `google.protobuf.Timestamp` are
//! delivered, and clients can print the responses that contain them.

use std::path::Path;

use prost::Message as _;
use prost_types::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tidings::{
    model::{
        commit::{Action, Applied, Commit, Durability},
        event::{ContentHash, HEADER_BYTES, NewEvent},
        name::TopicName,
        numbers::AppendTime,
        topic::TopicConfig,
    },
    proto::events::v1::{
        AttributeValue, Event, EventView, Filter, GetEventRequest, ReadRequest,
        attribute_value::Attr, event::Payload, filter::Dialect, get_event_request::By,
    },
    store::{self, OpenOptions, options::Tuning},
};

use crate::cli::commands::{json_lines, prints};
use crate::http::requests::{LINES, get};
use crate::support::{
    harness::{Options, Server, earliest, event, ids, read_from, subscribe_to},
    wire,
};

/// Events, some with times out of range, as earlier versions accepted them.
pub fn events_with_invalid_times() -> Vec<Event> {
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let due = |id: &str, due: Timestamp| {
        let value = AttributeValue { attr: Some(Attr::CeTimestamp(due)) };
        Event { attributes: [("due".to_string(), value)].into(), ..event(id) }
    };
    let all = vec![
        Event { time: time(0, 0), ..event("first") },
        Event { time: time(0, -1), ..event("nanos") },
        Event { time: time(-62_135_596_801, 0), ..event("year-0") },
        Event { time: time(-99_999_999_999, 0), ..event("year--1199") },
        Event { time: time(253_402_300_799, 999_999_999), ..due("never", Timestamp::default()) },
        due("long-nanos", Timestamp { seconds: 0, nanos: 1_000_000_000 }),
        due("year-10000", Timestamp { seconds: 253_402_300_800, nanos: 0 }),
        Event { time: time(1, -1), ..due("far", Timestamp { seconds: 1 << 62, nanos: -1 }) },
        Event { time: time(7, 0), ..event("last") },
    ];
    all.into_iter()
        .map(|event| Event {
            spec_version: "1.0".into(),
            payload: Some(Payload::TextData("{\"n\":1}".into())),
            datacontenttype: "application/json".into(),
            ..event
        })
        .collect()
}

/// Writes events to the store without the checks of the service: the rows are those of a version
/// without these checks.
pub fn record_unchecked(data_dir: &Path, topic: &str, events: &[Event]) {
    const MIB: usize = 1 << 20;
    let tuning = Tuning { block_cache_bytes: MIB, write_buffer_bytes: MIB, wal_bytes: MIB };
    let mut writer = store::open(data_dir, &OpenOptions { tuning, tail_bytes: MIB }).unwrap();
    let mut group = writer.begin();
    let mut apply = |action| {
        let commit = Commit { action, time: AppendTime(1), durability: Durability::Synced };
        writer.apply(&mut group, commit).unwrap()
    };
    let name = TopicName::parse(topic).unwrap();
    let created = apply(Action::CreateTopic { name, config: TopicConfig::default() });
    let Applied::Topic(topic) = created else { panic!("{created:?}") };
    let events = events.iter().map(|event| {
        let bytes = event.encode_to_vec();
        let row = [vec![0; HEADER_BYTES], bytes.clone()].concat();
        let content = ContentHash::of(&bytes);
        NewEvent::new(
            event.id.clone(),
            &event.source,
            event.r#type.clone(),
            String::new(),
            content,
            row,
        )
    });
    let (events, conditions) = (events.collect(), Vec::new());
    apply(Action::Publish { topic, events, conditions, validate_only: false });
    writer.write(&mut group).unwrap();
    writer.make_visible(group);
    writer.close().unwrap();
}

/// The ids of all events, and the times omitted from each.
const OMITTED_TIMES: [(&str, &str); 9] = [
    ("first", ""),
    ("nanos", "time: 0 seconds, -1 nanos"),
    ("year-0", "time: -62135596801 seconds, 0 nanos"),
    ("year--1199", "time: -99999999999 seconds, 0 nanos"),
    ("never", ""),
    ("long-nanos", "due: 0 seconds, 1000000000 nanos"),
    ("year-10000", "due: 253402300800 seconds, 0 nanos"),
    ("far", "due: 4611686018427387904 seconds, -1 nanos; time: 1 seconds, -1 nanos"),
    ("last", ""),
];

fn is_time(time: Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos)
}

fn omitted(event: &Event) -> String {
    let attr = |value: &AttributeValue| match &value.attr {
        Some(Attr::CeString(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let name = "tidingsinvalidtimes";
    let lowered = event.attributes.get(name).map(attr);
    event.extensions.get(name).cloned().or(lowered).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_with_invalid_times_are_delivered_without_these_times() {
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("data");
    let written = events_with_invalid_times();
    record_unchecked(&data_dir, "old", &written);
    let server = Server::start_on(&data_dir, Options::default()).await;

    let expected: Vec<_> =
        OMITTED_TIMES.map(|(id, omitted)| (id.to_owned(), omitted.to_owned())).to_vec();
    let shown = |events: &[tidings::proto::events::v1::RecordedEvent]| -> Vec<_> {
        let events = events.iter().map(|recorded| recorded.event.clone().unwrap());
        events
            .map(|event| {
                assert!(event.time.is_none_or(is_time), "{event:?}");
                for value in event.attributes.values() {
                    let Some(Attr::CeTimestamp(time)) = value.attr else { continue };
                    assert!(is_time(time), "{event:?}");
                }
                (event.id.clone(), omitted(&event))
            })
            .collect()
    };
    for view in [
        EventView::Full,
        EventView::Envelope,
        EventView::Json,
        EventView::Cloudevents,
        EventView::Any,
    ] {
        let request = ReadRequest { view: view.into(), ..read_from(["old"], earliest()) };
        let (read, _) = server.read(request).await.unwrap();
        assert_eq!(shown(&read), expected, "{view:?}");
    }
    let mut stream = server.subscribe(subscribe_to(["old"], earliest())).await;
    let caught_up = stream.catch_up().await;
    assert_eq!(shown(&caught_up), expected);
    // Events without invalid times are delivered as recorded.
    for at in [0, 4, 8] {
        assert_eq!(caught_up[at].event.as_ref(), Some(&written[at]));
    }
    let by = Some(By::Offset(1));
    let request = GetEventRequest { topic: "old".into(), by, ..GetEventRequest::default() };
    let fetched = server.events().get_event(request).await.unwrap().into_inner().event.unwrap();
    assert_eq!(shown(&[fetched]), [expected[1].clone()]);

    // Filters do not see invalid times either.
    let has_time = Filter { dialect: Some(Dialect::Cel("has(event.time)".into())) };
    let request = ReadRequest { filters: vec![has_time], ..read_from(["old"], earliest()) };
    let (read, _) = server.read(request).await.unwrap();
    assert_eq!(ids(&read), ["first", "never", "last"]);

    let lines = get(&server, "/v1/topics/old/events?until=end", &[LINES]).await.ok();
    let printed = prints(&server, &["read", "old", "-o", "cloudevents"]);
    for documents in [lines.text().to_owned(), printed] {
        let documents = json_lines(&documents);
        assert_eq!(wire::ids(&documents), OMITTED_TIMES.map(|(id, _)| id));
        for (document, (id, omitted)) in documents.iter().zip(OMITTED_TIMES) {
            let listed = document["tidingsinvalidtimes"].as_str().unwrap_or_default();
            assert_eq!(listed, omitted, "{id}");
        }
        assert_eq!(documents[4]["time"], "9999-12-31T23:59:59.999999999Z");
        assert_eq!(documents[4]["due"], "1970-01-01T00:00:00Z");
        assert_eq!((&documents[1]["time"], &documents[5]["due"]), (&json!(null), &json!(null)));
    }
    server.assert_calm();
}
