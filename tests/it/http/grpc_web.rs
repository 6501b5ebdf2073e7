//! gRPC-Web over HTTP/1.1, frame by frame, as a browser client uses it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message;
use tidings::proto::events::v1::{
    CreateTopicRequest, ListTopicsRequest, ListTopicsResponse, ReadRequest, SubscribeResponse,
    Topic, subscribe_response::Message as StreamMessage,
};
use tonic_types::pb;

use crate::support::{
    harness::{Options, PATIENCE, Server, earliest, event, events, ids, read_from, subscribe_to},
    wire::{Answer, Wire},
};

const PROTO: (&str, &str) = ("content-type", "application/grpc-web+proto");
const TEXT: (&str, &str) = ("content-type", "application/grpc-web-text");

/// The flag and the message of each frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        frames.push((bytes[0], bytes[5..5 + length].to_vec()));
        bytes = &bytes[5 + length..];
    }
    frames
}

fn frame(message: &impl Message) -> Vec<u8> {
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), &encoded].concat()
}

fn trailer<'a>(frame: &'a (u8, Vec<u8>), name: &str) -> &'a str {
    assert_eq!(frame.0, 0x80, "expected the trailer frame");
    let text = str::from_utf8(&frame.1).unwrap();
    let found = text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_default().trim()
}

async fn call(wire: &mut Wire, method: &str, request: &impl Message) -> Answer {
    let line = format!("POST /tidings.events.v1.{method}");
    let headers = [PROTO, ("x-grpc-web", "1"), ("accept", "application/grpc-web+proto")];
    wire.call(&line, &headers, &frame(request)).await
}

#[tokio::test]
async fn unary_calls_and_their_refusals() {
    let server = Server::start(Options::default()).await;
    let mut wire = Wire::connect(server.address()).await;
    let topic = Topic { name: "orders".into(), ..Topic::default() };
    let create = CreateTopicRequest { topic: Some(topic) };
    let created = call(&mut wire, "TopicService/CreateTopic", &create).await.ok();
    assert_eq!(created.head.header("content-type"), "application/grpc-web+proto");
    let parts = frames(&created.body);
    assert_eq!((parts.len(), trailer(&parts[1], "grpc-status")), (2, "0"));

    let listed = call(&mut wire, "TopicService/ListTopics", &ListTopicsRequest::default()).await;
    let parts = frames(&listed.ok().body);
    let topics = ListTopicsResponse::decode(parts[0].1.as_slice()).unwrap().topics;
    assert_eq!(topics[0].name, "orders");

    // A refusal on the same connection has its details in the header that clients read.
    let again = call(&mut wire, "TopicService/CreateTopic", &create).await.ok();
    assert_eq!((again.head.header("grpc-status"), again.body.len()), ("6", 0));
    let details = again.head.header("grpc-status-details-bin").trim_end_matches('=');
    let details = base64::prelude::BASE64_STANDARD_NO_PAD.decode(details).unwrap();
    let status = pb::Status::decode(details.as_slice()).unwrap();
    assert!(status.details.iter().any(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo")));

    let unknown = call(&mut wire, "TopicService/Nothing", &create).await.ok();
    assert_eq!(unknown.head.header("grpc-status"), "12");
}

#[tokio::test]
async fn text_mode_is_base64_both_ways() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let mut wire = Wire::connect(server.address()).await;
    let body = BASE64_STANDARD.encode(frame(&ListTopicsRequest::default()));
    let headers = [TEXT, ("accept", TEXT.1)];
    let line = "POST /tidings.events.v1.TopicService/ListTopics";
    let response = wire.call(line, &headers, body.as_bytes()).await.ok();
    assert_eq!(response.head.header("content-type"), "application/grpc-web-text+proto");
    // Each part has its own padding.
    let decoded: Vec<u8> = response
        .text()
        .as_bytes()
        .chunks(4)
        .flat_map(|chunk| BASE64_STANDARD.decode(chunk).unwrap())
        .collect();
    let parts = frames(&decoded);
    assert_eq!(ListTopicsResponse::decode(parts[0].1.as_slice()).unwrap().topics.len(), 1);
    assert_eq!(trailer(&parts[1], "grpc-status"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_subscribes_and_is_drained() {
    let mut server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.publish("orders", events("e", 3)).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    let request = ReadRequest { max_events: 2, ..read_from(["orders"], earliest()) };
    let read = call(&mut wire, "EventService/Read", &request).await.ok();
    let parts = frames(&read.body);
    assert_eq!(trailer(parts.last().unwrap(), "grpc-status"), "0");

    let body = frame(&subscribe_to(["orders"], earliest()));
    wire.ask("POST /tidings.events.v1.EventService/Subscribe", &[PROTO], &body).await;
    assert_eq!(wire.head().await.status, 200);
    let mut stream = Stream { wire, bytes: Vec::new() };
    assert!(matches!(stream.message().await, StreamMessage::Started(_)));
    let StreamMessage::Batch(batch) = stream.message().await else { panic!("no batch") };
    assert_eq!(ids(&batch.events), ["e-0", "e-1", "e-2"]);
    assert!(matches!(stream.message().await, StreamMessage::CaughtUp(_)));
    server.publish("orders", [event("live")]).await.unwrap();
    let StreamMessage::Batch(batch) = stream.message().await else { panic!("no batch") };
    assert_eq!(ids(&batch.events), ["live"]);

    server.sigterm();
    assert!(matches!(stream.message().await, StreamMessage::Draining(_)));
    let end = stream.frame().await;
    assert_eq!(trailer(&end, "grpc-status"), "14");
    assert!(!trailer(&end, "grpc-status-details-bin").is_empty());
    assert_eq!(stream.wire.chunk().await, None);
    assert_eq!(server.exit_within(PATIENCE).await.code(), Some(0));
    server.assert_calm();
}

/// Reads the frames of an open response.
struct Stream {
    wire: Wire,
    bytes: Vec<u8>,
}

impl Stream {
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(length) = self.bytes.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + 5;
                if self.bytes.len() >= length {
                    let frame: Vec<u8> = self.bytes.drain(..length).collect();
                    return frames(&frame).remove(0);
                }
            }
            self.bytes.extend(self.wire.chunk().await.expect("the stream ended"));
        }
    }

    async fn message(&mut self) -> StreamMessage {
        let (flag, message) = self.frame().await;
        assert_eq!(flag, 0, "{}", String::from_utf8_lossy(&message));
        SubscribeResponse::decode(message.as_slice()).unwrap().message.unwrap()
    }
}
