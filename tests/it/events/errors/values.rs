//! Values outside the ranges of the CloudEvents and Protobuf types.

use super::*;

pub async fn out_of_range(calls: &Calls, table: &mut Table) {
    let ends = [(0, -1), (-62_135_596_801, 0), (253_402_300_800, 0), (1 << 62, 0)];
    let times: Vec<Event> = ends
        .into_iter()
        .enumerate()
        .map(|(at, (seconds, nanos))| {
            let time = Timestamp { seconds, nanos };
            let due = AttributeValue { attr: Some(Attr::CeTimestamp(time)) };
            let attributes = [("due".into(), due)].into();
            Event { time: Some(time), attributes, ..event(format!("time-{at}")) }
        })
        .collect();
    let result = calls.publish(publish_to("orders", times)).await;
    let details = ["field events[0].time", "field events[3].attributes[\"due\"]"];
    table.row("publish: times out of range", result, BAD, "INVALID_EVENT", &details);

    let uri = |text: &str| AttributeValue { attr: Some(Attr::CeUri(text.into())) };
    let values = Event {
        id: "a\0b".into(),
        source: "http://[bad".into(),
        r#type: "a\nb".into(),
        subject: "a\u{7f}".into(),
        dataschema: "a b".into(),
        extensions: [("note".into(), "\u{fffe}".into())].into(),
        attributes: [("home".into(), uri("a<b>")), ("traceparent".into(), uri(""))].into(),
        ..event("a")
    };
    let result = calls.publish(publish_to("orders", vec![values])).await;
    let fields = [
        "field events[0].id",
        "field events[0].source",
        "field events[0].type",
        "field events[0].subject",
        "field events[0].dataschema",
        "field events[0].extensions[\"note\"]",
        "field events[0].attributes[\"home\"]",
        "field events[0].attributes[\"traceparent\"]",
    ];
    table.row("publish: invalid values", result, BAD, "INVALID_EVENT", &fields);

    let nanos = Timestamp { seconds: 0, nanos: -1 };
    let time = at(Position::Time(Timestamp { seconds: i64::MAX, nanos: 0 }));
    let request = ReadRequest { until_time: Some(nanos), ..read_from(["orders"], time) };
    let details = ["field start.time", "field until_time"];
    let result = calls.read(request).await;
    table.row("read: times out of range", result, BAD, "INVALID_REQUEST", &details);
    for (case, seconds, nanos) in [
        ("create: an age of too many years", 315_576_000_001, 0),
        ("create: nanos of an age", 1, 2_000_000_000),
    ] {
        let max_age = Some(Duration { seconds, nanos });
        let retention = Some(Retention { max_age, ..Retention::default() });
        let result =
            calls.create(Some(Topic { retention, name: "new".into(), ..Topic::default() })).await;
        let details = ["field topic.retention.max_age"];
        table.row(case, result, BAD, "INVALID_REQUEST", &details);
    }
}
