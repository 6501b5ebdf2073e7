//! Topics: creation, listing, updates, trims and deletion.

use prost_types::FieldMask;
use tidings::proto::events::v1::{
    CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListTopicsRequest, Retention,
    SchemaEnforcement, Topic, TrimTopicRequest, UpdateTopicRequest, start_position::Position,
};
use tonic::Code;

use crate::support::harness::{
    Options, Server, after, assert_refused, at, earliest, events, latest, offsets, read_from,
};

async fn get(server: &Server, name: &str) -> Topic {
    let request = GetTopicRequest { name: name.into() };
    server.topics().get_topic(request).await.unwrap().into_inner().topic.unwrap()
}

#[tokio::test]
async fn a_topic_keeps_its_settings() {
    let server = Server::start(Options::default()).await;
    let requested = Topic {
        name: "orders.eu-1_x".into(),
        retention: Some(Retention { max_events: 1_000_000, ..Retention::default() }),
        allowed_types: vec!["shop.*".into()],
        max_event_bytes: 2_000,
        description: "What customers ordered".into(),
        labels: [("team".into(), "checkout".into())].into(),
        ..Topic::default()
    };
    let created = server.create_with(requested.clone()).await;
    assert!(!created.etag.is_empty() && created.create_time.is_some());
    assert_eq!(created.schema_enforcement(), SchemaEnforcement::IfRegistered);
    let returned = Topic {
        schema_enforcement: 0,
        etag: String::new(),
        create_time: None,
        stats: None,
        ..created.clone()
    };
    assert_eq!(returned, requested);
    assert_eq!(get(&server, "orders.eu-1_x").await, created);
    let server = server.crash().await;
    assert_eq!(get(&server, "orders.eu-1_x").await, created);
}

#[tokio::test]
async fn an_update_changes_the_fields_of_its_mask() {
    let server = Server::start(Options::default()).await;
    let created = server
        .create_with(Topic {
            name: "masked".into(),
            description: "before".into(),
            labels: [("team".into(), "checkout".into())].into(),
            ..Topic::default()
        })
        .await;
    let update = async |topic: Topic, paths: Option<&[&str]>| {
        let mask =
            |paths: &[&str]| FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
        let request = UpdateTopicRequest { topic: Some(topic), update_mask: paths.map(mask) };
        server
            .topics()
            .update_topic(request)
            .await
            .map(|response| response.into_inner().topic.unwrap())
    };
    let named = |description: &str| Topic {
        name: "masked".into(),
        description: description.into(),
        ..Topic::default()
    };
    // Without a mask, an update changes the fields that are set.
    let changed = update(named("after"), None).await.unwrap();
    assert_eq!((changed.description.as_str(), &changed.labels), ("after", &created.labels));
    assert_ne!(changed.etag, created.etag);
    // With a mask, an update changes the fields of the mask, also to empty values.
    let changed = update(named("unused"), Some(&["labels"])).await.unwrap();
    assert_eq!((changed.description.as_str(), changed.labels.len()), ("after", 0));

    let stale = Topic { etag: created.etag, ..named("too late") };
    let status = update(stale, None).await.unwrap_err();
    assert_refused(&status, Code::Aborted, "ETAG_MISMATCH");
    let current = Topic { etag: changed.etag, ..named("in time") };
    assert_eq!(update(current, None).await.unwrap().description, "in time");
    let server = server.crash().await;
    assert_eq!(get(&server, "masked").await.description, "in time");
}

#[tokio::test]
async fn topics_are_listed_in_pages() {
    let server = Server::start(Options::default()).await;
    let mut names: Vec<String> = (0..25).map(|n| format!("list.{:02}", n * 7 % 25)).collect();
    for name in &names {
        server.create(name).await;
    }
    server.create("elsewhere").await;
    names.sort();
    for page_size in [1, 7, 25, 0] {
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListTopicsRequest { page_size, page_token, pattern: "list.*".into() };
            let page = server.topics().list_topics(request).await.unwrap().into_inner();
            assert!(page_size == 0 || page.topics.len() <= usize::try_from(page_size).unwrap());
            listed.extend(page.topics.into_iter().map(|topic| topic.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, names, "in pages of {page_size}");
    }
    let request = ListTopicsRequest::default();
    let all = server.topics().list_topics(request).await.unwrap().into_inner().topics;
    assert_eq!(all.len(), 26);
}

#[tokio::test]
async fn a_trim_reports_the_removed_events_and_can_be_a_dry_run() {
    let server = Server::start(Options::default()).await;
    server.create("trimmed").await;
    server.publish("trimmed", events("e", 10)).await.unwrap();
    let (all, _) = server.read(read_from(["trimmed"], None)).await.unwrap();
    let trim = async |before, validate_only| {
        let request = TrimTopicRequest { name: "trimmed".into(), before, validate_only };
        let response = server.topics().trim_topic(request).await.unwrap().into_inner();
        (response.events_removed, response.first_offset)
    };
    assert_eq!(trim(at(Position::Offset(4)), true).await, (4, 4));
    assert_eq!(get(&server, "trimmed").await.stats.unwrap().first_offset, 0);
    assert_eq!(trim(at(Position::Offset(4)), false).await, (4, 4));
    assert_eq!(
        trim(at(Position::Offset(4)), false).await,
        (0, 4),
        "a repeated trim removes nothing"
    );
    assert_eq!(trim(earliest(), false).await, (0, 4));
    // A cursor points after its event, so the trim removes that event too.
    assert_eq!(trim(after(&all[5].cursor), false).await, (2, 6));
    assert_eq!(trim(at(Position::Last(3)), false).await, (1, 7));
    let (read, _) = server.read(read_from(["trimmed"], None)).await.unwrap();
    assert_eq!(offsets(&read), [7, 8, 9]);
    assert_eq!(trim(latest(), false).await, (3, 10));
    let stats = get(&server, "trimmed").await.stats.unwrap();
    assert_eq!((stats.first_offset, stats.next_offset, stats.bytes), (10, 10, 0));
}

#[tokio::test]
async fn a_deleted_topic_stays_deleted() {
    let server = Server::start(Options::default()).await;
    let created = server.create_with(Topic { name: "gone".into(), ..Topic::default() }).await;
    server.publish("gone", events("e", 10)).await.unwrap();
    let request = DeleteTopicRequest { name: "gone".into(), etag: created.etag };
    server.topics().delete_topic(request).await.unwrap();
    let server = server.crash().await;
    let request = GetTopicRequest { name: "gone".into() };
    let status = server.topics().get_topic(request).await.unwrap_err();
    assert_refused(&status, Code::NotFound, "TOPIC_NOT_FOUND");
    server.create("gone").await;
    let topic = Some(Topic { name: "gone".into(), ..Topic::default() });
    let again = server.topics().create_topic(CreateTopicRequest { topic }).await;
    assert_refused(&again.unwrap_err(), Code::AlreadyExists, "TOPIC_EXISTS");
    let (remaining, _) = server.read(read_from(["gone"], None)).await.unwrap();
    assert!(remaining.is_empty(), "the new topic has no events of the deleted topic of that name");
}
