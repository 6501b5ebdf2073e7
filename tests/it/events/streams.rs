//! Subscribe and Read: exactly the requested events, in order, from every position where a stream
//! can start or resume.

use std::{collections::BTreeSet, time::Duration};

use prost_types::Timestamp;
use tidings::proto::events::v1::{
    AttributeFilter, Direction, Event, EventIdentity, EventView, Filter, FilterSet,
    GetEventRequest, ReadRequest, RecordedEvent, SubscribeRequest, event::Payload, filter::Dialect,
    get_event_request::By, start_position::Position, subscribe_response::Message,
};
use tokio::task::JoinSet;

use crate::support::harness::{
    Options, PATIENCE, Server, Subscription, after, at, cursor_of, earliest, event, events,
    eventually, ids, keyed, large_events, latest, now, offsets, places, read_from, subscribe_to,
};

async fn start() -> Server {
    Server::start(Options::default()).await
}

fn heartbeats(seconds: i64, request: SubscribeRequest) -> SubscribeRequest {
    let interval = prost_types::Duration { seconds, nanos: 0 };
    SubscribeRequest { heartbeat_interval: Some(interval), ..request }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catch_up_becomes_live_without_gaps_or_duplicates() {
    const EVENTS: usize = 3_000;
    let server = start().await;
    server.create("seam").await;
    server.publish("seam", events("before", 500)).await.unwrap();

    let mut subscribers = JoinSet::new();
    let mut published = 500;
    while published < EVENTS {
        if published % 500 == 0 {
            let mut subscription = server.subscribe(subscribe_to(["seam"], earliest())).await;
            subscribers.spawn(async move { offsets(&subscription.take(EVENTS).await) });
        }
        server.publish("seam", events(&format!("live-{published}"), 20)).await.unwrap();
        published += 20;
    }
    let expected: Vec<u64> = (0..EVENTS as u64).collect();
    for seen in subscribers.join_all().await {
        assert_eq!(seen, expected);
    }
}

/// Publishes to two topics, and subscribes to them with small batches and heartbeats. Returns the
/// events, and every cursor with the number of events before it.
async fn cursors_of_a_run(server: &Server) -> (Vec<RecordedEvent>, Vec<(String, usize)>) {
    let request = SubscribeRequest { max_batch_events: 4, ..subscribe_to(["a", "b"], earliest()) };
    let mut cursors = Vec::new();
    for n in 0..12 {
        let topic = ["a", "b", "b"][n % 3];
        server.publish(topic, events(&format!("early-{n}"), 3)).await.unwrap();
    }
    let mut subscription = server.subscribe(heartbeats(1, request)).await;
    cursors.push((subscription.cursor.clone(), 0));
    let mut all: Vec<RecordedEvent> = Vec::new();
    let (mut beats, mut published) = (0, false);
    while all.len() < 48 || beats < 2 {
        let message = subscription.expect().await;
        let cursor = cursor_of(&message).to_owned();
        match message {
            Message::Batch(batch) => {
                assert!(batch.events.len() <= 4, "a batch of {}", batch.events.len());
                for event in batch.events {
                    all.push(event.clone());
                    cursors.push((event.cursor, all.len()));
                }
            }
            Message::Heartbeat(_) => {
                beats += 1;
                if !published {
                    published = true;
                    for n in 0..4 {
                        let topic = ["a", "b"][n % 2];
                        let response =
                            server.publish(topic, events(&format!("late-{n}"), 3)).await.unwrap();
                        for (index, result) in response.results.into_iter().enumerate() {
                            cursors.push((result.cursor, 36 + 3 * n + index + 1));
                        }
                    }
                }
            }
            Message::CaughtUp(_) => {}
            other => panic!("{other:?}"),
        }
        cursors.push((cursor, all.len()));
    }
    assert_eq!(all.len(), 48);
    (all, cursors)
}

async fn assert_every_cursor_resumes(
    server: &Server,
    all: &[RecordedEvent],
    cursors: &[(String, usize)],
) {
    let mut tried = BTreeSet::new();
    for (cursor, seen) in cursors {
        if !tried.insert(cursor) {
            continue;
        }
        let expected = places(&all[*seen..]);
        let mut rest = server.subscribe(subscribe_to(["a", "b"], after(cursor))).await;
        assert_eq!(places(&rest.catch_up().await), expected, "after {seen} events");
        let (rest, _) = server.read(read_from(["a", "b"], after(cursor))).await.unwrap();
        assert_eq!(places(&rest), expected, "by Read, after {seen} events");
        let expected: Vec<_> = expected.into_iter().filter(|place| place.0 == "b").collect();
        let (rest, _) = server.read(read_from(["b"], after(cursor))).await.unwrap();
        assert_eq!(places(&rest), expected, "of one topic, after {seen} events");
    }
}

#[tokio::test]
async fn every_cursor_of_a_run_resumes_with_exactly_the_rest() {
    let server = start().await;
    server.create("a").await;
    server.create("b").await;
    let (all, cursors) = cursors_of_a_run(&server).await;
    assert_every_cursor_resumes(&server, &all, &cursors).await;
    let server = server.restart().await;
    assert_every_cursor_resumes(&server, &all, &cursors).await;
    let server = server.crash().await;
    assert_every_cursor_resumes(&server, &all, &cursors).await;
}

#[tokio::test]
async fn events_of_several_topics_are_delivered_in_append_order() {
    let server = start().await;
    let topics = ["x", "y", "z"];
    for topic in topics {
        server.create(topic).await;
    }
    let mut live = server.subscribe(subscribe_to(topics, earliest())).await;
    let mut expected = Vec::new();
    for n in 0..60 {
        let id = format!("event-{n}");
        server.publish(topics[(n * 7 / 3) % 3], [event(&id)]).await.unwrap();
        expected.push(id);
    }
    let events = live.take(60).await;
    assert_eq!(ids(&events), expected);
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
    let (read, _) = server.read(read_from(topics, None)).await.unwrap();
    assert_eq!(ids(&read), expected);
}

#[tokio::test]
async fn patterns_match_whole_segments_and_new_topics_join() {
    let server = start().await;
    for topic in ["orders", "orders.eu", "orders.eu.west", "other"] {
        server.create(topic).await;
        server.publish(topic, [event(format!("in {topic}"))]).await.unwrap();
    }
    let mut open = Vec::new();
    let cases: [(&str, &[&str]); 5] = [
        ("orders.*", &["in orders.eu"]),
        ("orders.**", &["in orders.eu", "in orders.eu.west"]),
        ("*", &["in orders", "in other"]),
        ("**", &["in orders", "in orders.eu", "in orders.eu.west", "in other"]),
        ("*.eu.*", &["in orders.eu.west"]),
    ];
    for (pattern, expected) in cases {
        let mut subscription = server.subscribe(subscribe_to([pattern], earliest())).await;
        assert_eq!(ids(&subscription.catch_up().await), expected, "{pattern}");
        open.push((pattern, subscription));
    }
    // Overlapping names and patterns deliver an event once.
    let overlapping = subscribe_to(["orders.eu", "orders.*", "**"], earliest());
    let mut subscription = server.subscribe(overlapping).await;
    assert_eq!(subscription.catch_up().await.len(), 4);

    for topic in ["orders.us", "orders.eu.north", "third"] {
        server.create(topic).await;
        server.publish(topic, [event(format!("in {topic}"))]).await.unwrap();
    }
    let joined: [&[&str]; 5] = [
        &["in orders.us"],
        &["in orders.us", "in orders.eu.north"],
        &["in third"],
        &["in orders.us", "in orders.eu.north", "in third"],
        &["in orders.eu.north"],
    ];
    for ((pattern, mut subscription), expected) in open.into_iter().zip(joined) {
        assert_eq!(ids(&subscription.take(expected.len()).await), expected, "{pattern}");
    }
    // A pattern can match no topic yet.
    let mut subscription = server.subscribe(subscribe_to(["later.**"], latest())).await;
    assert!(subscription.catch_up().await.is_empty());
    server.create("later.on").await;
    server.publish("later.on", events("later", 3)).await.unwrap();
    assert_eq!(offsets(&subscription.take(3).await), [0, 1, 2]);
}

#[tokio::test]
async fn streams_start_at_the_requested_position() {
    let server = start().await;
    server.create("starts").await;
    server.create("others").await;
    for n in 0..20 {
        let topic = if n % 4 == 0 { "others" } else { "starts" };
        server.publish(topic, [event(format!("e{n}"))]).await.unwrap();
        // Append times have to differ, and the test does not control the clock.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (all, _) = server.read(read_from(["starts", "others"], None)).await.unwrap();
    let (single, _) = server.read(read_from(["starts"], None)).await.unwrap();
    assert_eq!((all.len(), single.len()), (20, 15));

    let from = async |topics: &[&str], start| {
        let request = subscribe_to(topics.iter().copied(), start);
        places(&server.subscribe(request).await.catch_up().await)
    };
    let both = ["starts", "others"];
    assert_eq!(from(&both, earliest()).await, places(&all));
    assert_eq!(from(&both, latest()).await, []);
    assert_eq!(from(&both, None).await, [], "the default of Subscribe is the latest");
    assert_eq!(from(&both, at(Position::Last(0))).await, []);
    assert_eq!(from(&both, at(Position::Last(7))).await, places(&all[13..]));
    assert_eq!(from(&both, at(Position::Last(1_000))).await, places(&all));
    assert_eq!(from(&["starts"], at(Position::Last(3))).await, places(&single[12..]));
    for offset in [0, 7, 15] {
        let index = usize::try_from(offset).unwrap();
        let delivered = from(&["starts"], at(Position::Offset(offset))).await;
        assert_eq!(delivered, places(&single[index..]));
    }
    for (index, event) in all.iter().enumerate() {
        let start = at(Position::Time(event.append_time.unwrap()));
        let same = |other: &&RecordedEvent| other.append_time == event.append_time;
        let earlier = all[..index].iter().rev().take_while(same).count();
        assert_eq!(from(&both, start).await, places(&all[index - earlier..]));
    }
    let future = Timestamp { seconds: now().seconds + 3_600, nanos: 0 };
    assert_eq!(from(&both, at(Position::Time(future))).await, []);
    assert_eq!(from(&both, at(Position::Time(Timestamp::default()))).await, places(&all));

    let until_time = all[11].append_time;
    let request = ReadRequest { until_time, ..read_from(both, None) };
    let (read, _) = server.read(request).await.unwrap();
    let before = all.iter().take_while(|event| event.append_time != until_time).count();
    assert_eq!(places(&read), places(&all[..before]));
}

fn attribute(dialect: fn(AttributeFilter) -> Dialect, name: &str, value: &str) -> Filter {
    let attributes = [(name.into(), value.into())].into();
    Filter { dialect: Some(dialect(AttributeFilter { attributes })) }
}

#[tokio::test]
async fn filters_select_events_by_attributes() {
    let server = start().await;
    server.create("filtered").await;
    let of_type = |id: &str, kind: &str, subject: &str| Event {
        r#type: kind.into(),
        subject: subject.into(),
        ..event(id)
    };
    let mut tenant = of_type("d", "shop.order.paid", "order-2");
    tenant.extensions.insert("tenant".into(), "blue".into());
    let all = [
        of_type("a", "shop.order.placed", "order-1"),
        of_type("b", "shop.order.paid", "order-1"),
        of_type("c", "bank.paid", ""),
        tenant,
    ];
    server.publish("filtered", all).await.unwrap();

    let exact = |name, value| attribute(Dialect::Exact, name, value);
    let prefix = |name, value| attribute(Dialect::Prefix, name, value);
    let suffix = |name, value| attribute(Dialect::Suffix, name, value);
    let not = |filter| Filter { dialect: Some(Dialect::Not(Box::new(filter))) };
    let every = |filters| Filter { dialect: Some(Dialect::All(FilterSet { filters })) };
    let any = |filters| Filter { dialect: Some(Dialect::Any(FilterSet { filters })) };
    let two = [("type".into(), "shop.order.paid".into()), ("subject".into(), "order-1".into())];
    let two = Filter { dialect: Some(Dialect::Exact(AttributeFilter { attributes: two.into() })) };
    let cases: Vec<(Vec<Filter>, &[&str])> = vec![
        (vec![], &["a", "b", "c", "d"]),
        (vec![exact("id", "c")], &["c"]),
        (vec![exact("source", "tests")], &["a", "b", "c", "d"]),
        (vec![exact("type", "shop.order.paid")], &["b", "d"]),
        (vec![prefix("type", "shop.")], &["a", "b", "d"]),
        (vec![suffix("type", "paid")], &["b", "c", "d"]),
        (vec![prefix("type", "shop."), suffix("type", "paid")], &["b", "d"]),
        (vec![two], &["b"]),
        (vec![not(prefix("type", "shop."))], &["c"]),
        (vec![exact("tenant", "blue")], &["d"]),
        (vec![not(exact("tenant", "blue"))], &["a", "b", "c"]),
        (vec![prefix("subject", "order")], &["a", "b", "d"]),
        (vec![any(vec![exact("id", "a"), exact("tenant", "blue")])], &["a", "d"]),
        (vec![every(vec![suffix("type", "paid"), not(exact("subject", "order-1"))])], &["c", "d"]),
        (vec![exact("type", "nothing")], &[]),
    ];
    for (filters, expected) in cases {
        let case = format!("{filters:?}");
        let request =
            SubscribeRequest { filters: filters.clone(), ..subscribe_to(["filtered"], earliest()) };
        let delivered = server.subscribe(request).await.catch_up().await;
        assert_eq!(ids(&delivered), expected, "{case}");
        let request = ReadRequest { filters, ..read_from(["filtered"], None) };
        assert_eq!(ids(&server.read(request).await.unwrap().0), expected, "by Read: {case}");
    }
}

#[tokio::test]
async fn events_of_a_key_can_be_subscribed_to_and_read() {
    let server = start().await;
    for topic in ["keyed", "keyed-too"] {
        server.create(topic).await;
        for n in 0..30 {
            let event = keyed(format!("{topic}-{n}"), &format!("k{}", n % 3));
            server.publish(topic, [event]).await.unwrap();
        }
    }
    let by_key = |start| SubscribeRequest {
        key: "k1".into(),
        ..subscribe_to(["keyed", "keyed-too"], start)
    };
    let mut subscription = server.subscribe(by_key(earliest())).await;
    let delivered = subscription.catch_up().await;
    assert_eq!(delivered.len(), 20);
    assert!(delivered.iter().all(|event| event.key == "k1"));
    let versions: Vec<u64> = delivered.iter().map(|event| event.key_version).collect();
    assert_eq!(versions, (1..=10).chain(1..=10).collect::<Vec<_>>());

    for (n, event) in delivered.iter().enumerate() {
        let rest = server.subscribe(by_key(after(&event.cursor))).await.catch_up().await;
        assert_eq!(places(&rest), places(&delivered[n + 1..]));
    }
    server.publish("keyed", [keyed("not this", "k2"), keyed("this", "k1")]).await.unwrap();
    let live = subscription.take(1).await;
    assert_eq!((ids(&live), live[0].key_version), (vec!["this"], 11));

    let request = ReadRequest {
        key: "k1".into(),
        direction: Direction::Backward.into(),
        max_events: 2,
        ..read_from(["keyed"], None)
    };
    let (last, _) = server.read(request).await.unwrap();
    assert_eq!(last.iter().map(|event| event.key_version).collect::<Vec<_>>(), [11, 10]);
}

#[tokio::test]
async fn a_flow_is_read_across_topics_in_append_order() {
    let server = start().await;
    let topics = ["orders", "payments", "shipping"];
    for topic in topics {
        server.create(topic).await;
    }
    let mut expected = Vec::new();
    for n in 0..30 {
        let id = format!("step-{n}");
        let correlationid = format!("flow-{}", n % 2);
        if n % 2 == 0 {
            expected.push(id.clone());
        }
        server.publish(topics[n % 3], [Event { correlationid, ..event(id) }]).await.unwrap();
    }
    let flow = |topics: &[&str], direction: Direction| ReadRequest {
        correlationid: "flow-0".into(),
        direction: direction.into(),
        ..read_from(topics.iter().copied(), None)
    };
    let (all, _) = server.read(flow(&[], Direction::Forward)).await.unwrap();
    assert_eq!(ids(&all), expected);
    let (mut backward, _) = server.read(flow(&[], Direction::Backward)).await.unwrap();
    backward.reverse();
    assert_eq!(ids(&backward), expected);
    let (filtered, _) = server.read(flow(&["payments"], Direction::Forward)).await.unwrap();
    let payments: Vec<_> = all.into_iter().filter(|event| event.topic == "payments").collect();
    assert_eq!(places(&filtered), places(&payments));
}

#[tokio::test]
async fn pages_forward_and_backward_contain_every_event_once() {
    let server = start().await;
    server.create("a").await;
    server.create("b").await;
    for n in 0..25 {
        server.publish(["a", "b"][n % 2], events(&format!("batch-{n}"), 2)).await.unwrap();
    }
    let (all, end) = server.read(read_from(["a", "b"], None)).await.unwrap();
    assert_eq!(all.len(), 50);
    let mut live = server.subscribe(subscribe_to(["a", "b"], after(&end))).await;
    server.publish("a", [event("next")]).await.unwrap();
    assert_eq!(ids(&live.take(1).await), ["next"]);

    for (direction, pages_of) in [(Direction::Forward, 7), (Direction::Backward, 7)] {
        let mut delivered = Vec::new();
        let mut start = None;
        loop {
            let request = ReadRequest {
                direction: direction.into(),
                max_events: pages_of,
                ..read_from(["a", "b"], start)
            };
            let (page, end) = server.read(request).await.unwrap();
            assert!(!end.is_empty(), "a page without an end cursor");
            start = after(&end);
            if page.is_empty() {
                break;
            }
            delivered.extend(page);
        }
        if direction == Direction::Backward {
            delivered.reverse();
        }
        assert_eq!(delivered.len(), 51, "{direction:?}");
        assert_eq!(places(&delivered[..50]), places(&all), "{direction:?}");
    }

    let backward = |start, max_events| ReadRequest {
        direction: Direction::Backward.into(),
        max_events,
        ..read_from(["a"], start)
    };
    let (delivered, _) = server.read(backward(at(Position::Offset(5)), 3)).await.unwrap();
    assert_eq!(offsets(&delivered), [5, 4, 3], "an offset is included");
    let (delivered, _) = server.read(backward(after(&delivered[0].cursor), 3)).await.unwrap();
    assert_eq!(offsets(&delivered), [4, 3, 2], "a cursor is not");
    let (delivered, _) = server.read(backward(earliest(), 3)).await.unwrap();
    assert!(delivered.is_empty(), "nothing before the earliest");
}

#[tokio::test]
async fn an_event_is_found_by_offset_and_by_identity() {
    let server = start().await;
    server.create("single").await;
    server.publish("single", events("e", 10)).await.unwrap();
    let (all, _) = server.read(read_from(["single"], None)).await.unwrap();
    for recorded in all {
        let sent = recorded.event.clone().unwrap();
        let identity = EventIdentity { source: sent.source, id: sent.id };
        for by in [By::Offset(recorded.offset), By::Identity(identity)] {
            let request = GetEventRequest { topic: "single".into(), by: Some(by), view: 0 };
            let fetched = server.events().get_event(request).await.unwrap().into_inner().event;
            let fetched = fetched.unwrap();
            assert!(!fetched.cursor.is_empty());
            let mut subscription =
                server.subscribe(subscribe_to(["single"], after(&fetched.cursor))).await;
            assert_eq!(subscription.catch_up().await.len() as u64, 9 - recorded.offset);
            assert_eq!(
                fetched,
                RecordedEvent { cursor: fetched.cursor.clone(), ..recorded.clone() }
            );
        }
    }
}

#[tokio::test]
async fn views_contain_the_documented_fields() {
    let server = start().await;
    server.create("views").await;
    let sent = Event {
        subject: "order-1".into(),
        correlationid: "flow".into(),
        payload: Some(Payload::TextData(r#"{"total": 12}"#.into())),
        datacontenttype: "application/json".into(),
        extensions: [("tenant".into(), "blue".into())].into(),
        ..event("seen")
    };
    server.publish("views", [sent.clone()]).await.unwrap();
    let view = async |view: EventView| {
        let request = ReadRequest { view: view.into(), ..read_from(["views"], None) };
        server.read(request).await.unwrap().0.remove(0).event.unwrap()
    };
    let recorded = Event { spec_version: "1.0".into(), ..sent };
    assert_eq!(view(EventView::Unspecified).await, recorded);
    assert_eq!(view(EventView::Full).await, recorded);
    let envelope = Event { payload: None, ..recorded.clone() };
    assert_eq!(view(EventView::Envelope).await, envelope);
    let cloudevents = view(EventView::Cloudevents).await;
    let names: Vec<&str> = cloudevents.attributes.keys().map(String::as_str).collect();
    assert_eq!(names, ["correlationid", "datacontenttype", "subject", "tenant"]);
    let stripped = Event { attributes: Default::default(), ..cloudevents };
    let core = Event {
        id: recorded.id,
        source: recorded.source,
        spec_version: recorded.spec_version,
        r#type: recorded.r#type,
        payload: recorded.payload,
        ..Event::default()
    };
    assert_eq!(stripped, core, "no field above tag 8");
}

#[tokio::test]
async fn heartbeat_cursors_pass_events_that_a_filter_excludes() {
    let server = start().await;
    server.create("quiet").await;
    let filters = vec![attribute(Dialect::Exact, "type", "never")];
    let request = SubscribeRequest { filters, ..subscribe_to(["quiet"], earliest()) };
    let mut subscription = server.subscribe(heartbeats(1, request)).await;
    assert!(subscription.catch_up().await.is_empty());
    server.publish("quiet", events("e", 50)).await.unwrap();
    eventually(PATIENCE, "a heartbeat after the events", async || {
        let Message::Heartbeat(beat) = subscription.expect().await else { return None };
        let mut rest = server.subscribe(subscribe_to(["quiet"], after(&beat.cursor))).await;
        let rest = rest.catch_up().await;
        assert!(rest.is_empty() || rest.len() == 50, "a part of a batch");
        (rest.is_empty() && beat.behind_events == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn caught_up_comes_once_per_catch_up() {
    let server = start().await;
    server.create("edges").await;
    let mut empty = server.subscribe(subscribe_to(["edges"], earliest())).await;
    assert!(
        matches!(empty.expect().await, Message::CaughtUp(_)),
        "CaughtUp is also sent for an empty topic"
    );
    server.publish("edges", events("e", 100)).await.unwrap();
    let request = heartbeats(1, subscribe_to(["edges"], earliest()));
    let mut subscription = server.subscribe(request).await;
    let (mut caught_up, mut fell_behind, mut seen, mut beats) = (0, 0, 0, 0);
    while beats < 2 {
        match subscription.expect().await {
            Message::Batch(batch) => seen += batch.events.len(),
            Message::CaughtUp(_) => caught_up += 1,
            Message::FellBehind(_) => fell_behind += 1,
            Message::Heartbeat(_) if beats == 0 => {
                server.publish("edges", events("live", 100)).await.unwrap();
                beats += 1;
            }
            Message::Heartbeat(_) if seen == 200 => beats += 1,
            Message::Heartbeat(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((caught_up, seen), (1 + fell_behind, 200));
}

#[tokio::test]
async fn batches_stay_within_the_requested_limits() {
    let server = start().await;
    server.create("bounded").await;
    server.publish("bounded", large_events("e", 100, 1_000)).await.unwrap();
    let bounds = [(7, 0, 7), (0, 5_000, 5), (1, 0, 1), (1_000, 1, 1)];
    for (max_batch_events, max_batch_bytes, at_most) in bounds {
        let request = SubscribeRequest {
            max_batch_events,
            max_batch_bytes,
            ..subscribe_to(["bounded"], earliest())
        };
        let mut subscription = server.subscribe(request).await;
        let mut seen = 0;
        while seen < 100 {
            if let Message::Batch(batch) = subscription.expect().await {
                let count = batch.events.len();
                assert!((1..=at_most).contains(&count), "{count} events; the limit is {at_most}");
                assert_eq!(batch.cursor, batch.events[count - 1].cursor);
                seen += count;
            }
        }
    }
}

#[tokio::test]
async fn a_subscriber_resumes_after_restarts_and_crashes() {
    let mut server = start().await;
    server.create("long").await;
    let (mut cursor, mut seen) = (None, Vec::new());
    for round in 0..6 {
        let start = cursor.as_deref().map_or_else(earliest, after);
        let mut subscription = server.subscribe(subscribe_to(["long"], start)).await;
        for n in 0..5 {
            server.publish("long", [event(format!("{round}-{n}"))]).await.unwrap();
        }
        // Leaves some events to the next round.
        seen.extend(offsets(&take_at_least(&mut subscription, 3).await));
        cursor = Some(subscription.cursor.clone());
        drop(subscription);
        server = if round % 2 == 0 { server.restart().await } else { server.crash().await };
    }
    let cursor = cursor.unwrap();
    let mut subscription = server.subscribe(subscribe_to(["long"], after(&cursor))).await;
    seen.extend(offsets(&subscription.catch_up().await));
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

/// Reads whole batches until there are at least this many events.
async fn take_at_least(subscription: &mut Subscription, at_least: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < at_least {
        if let Message::Batch(batch) = subscription.expect().await {
            events.extend(batch.events);
        }
    }
    events
}
