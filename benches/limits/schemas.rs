//! The cost of schemas: (s) checked and unchecked publishes, (v) streams with and without
//! conversion.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use prost::Message;
use tidings::proto::events::v1::{
    AcceptedSchema, CreateTopicRequest, Edge, SchemaEnforcement, SchemaSelection, Topic,
    topic_service_client::TopicServiceClient,
};
use tidings_registry::proto::v1::{
    Compatibility, Definition, RegisterSchemaRequest, SchemaDraft, SchemaFormat, definition::Form,
    schema_registry_service_client::SchemaRegistryServiceClient,
};
use tidings_schema::{
    definition as schemas,
    schema::{Format, Schema},
};

use crate::{
    count::Count,
    figures::{BATCHES, Limits, STREAM, Server, plan},
    load::{
        publish,
        subscribe::{self, EventStream},
        workload::{CHECKSUM, SEQUENCE, TEXT, Workload},
    },
    pairs::{Meter, Sample, interleave},
};

const PAYLOAD_BYTES: usize = 1_024;
const ITEMS: usize = 5;
/// Events of the catch-ups: more than the converted events that a server caches.
const EVENTS: u64 = 200_000;

/// A format, with two versions of a schema that differ in one field.
struct Subject {
    name: &'static str,
    format: SchemaFormat,
    content_type: &'static str,
    first: String,
    second: String,
    payload: Vec<u8>,
    /// Largest accepted CPU of a checked publish, as a multiple of an unchecked one.
    ceiling: f64,
}

#[derive(Message)]
struct Price {
    #[prost(int64, tag = "1")]
    amount: i64,
    #[prost(string, tag = "2")]
    currency: String,
}

#[derive(Message)]
struct Item {
    #[prost(string, tag = "1")]
    sku: String,
    #[prost(uint32, tag = "2")]
    quantity: u32,
    #[prost(message, optional, tag = "3")]
    price: Option<Price>,
}

#[derive(Message)]
struct Order {
    #[prost(string, tag = "1")]
    sequence: String,
    #[prost(string, tag = "2")]
    checksum: String,
    #[prost(string, tag = "3")]
    customer: String,
    #[prost(message, repeated, tag = "4")]
    items: Vec<Item>,
    #[prost(string, tag = "5")]
    text: String,
    #[prost(bool, tag = "6")]
    gift: bool,
}

fn marker(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn protobuf() -> Subject {
    let fields = "string sequence = 1; string checksum = 2; string customer = 3; repeated Item items = 4; string text = 5;";
    let schema = |fields: &str| {
        format!(
            "syntax = \"proto3\"; package bench;\n\
             message Price {{ int64 amount = 1; string currency = 2; }}\n\
             message Item {{ string sku = 1; uint32 quantity = 2; Price price = 3; }}\n\
             message Order {{ {fields} }}\n"
        )
    };
    let mut order = Order {
        sequence: marker(SEQUENCE),
        checksum: marker(CHECKSUM),
        customer: "customer-1029384756".into(),
        items: (0..ITEMS)
            .map(|at| Item {
                sku: format!("sku-{at:08}"),
                quantity: 3,
                price: Some(Price { amount: 1_299, currency: "EUR".into() }),
            })
            .collect(),
        text: String::new(),
        gift: true,
    };
    // The text adds its tag and two bytes of length.
    let text_bytes = PAYLOAD_BYTES - order.encoded_len() - 3;
    order.text = marker(&[TEXT]).repeat(text_bytes);
    Subject {
        name: "bench.Order",
        format: SchemaFormat::Protobuf,
        content_type: "application/protobuf",
        first: schema(fields),
        second: schema(&format!("{fields} bool gift = 6;")),
        payload: order.encode_to_vec(),
        ceiling: 1.5,
    }
}

/// The order as JSON, from which Avro is encoded, too.
fn order(text: &str) -> String {
    let items: Vec<String> = (0..ITEMS)
        .map(|at| {
            format!(
                r#"{{"sku":"sku-{at:08}","quantity":3,"price":{{"amount":1299,"currency":"EUR"}}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"sequence":"{}","checksum":"{}","customer":"customer-1029384756","items":[{}],"text":"{text}","gift":true}}"#,
        marker(SEQUENCE),
        marker(CHECKSUM),
        items.join(",")
    )
}

fn json() -> Subject {
    let schema = |extra_field: &str| {
        format!(
            r#"{{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
            "properties": {{
                "sequence": {{"type": "string", "pattern": "^[0-9a-f]{{16}}$"}},
                "checksum": {{"type": "string", "minLength": 16, "maxLength": 16}},
                "customer": {{"type": "string"}},
                "items": {{"type": "array", "minItems": 1, "items": {{"type": "object", "properties": {{
                    "sku": {{"type": "string"}}, "quantity": {{"type": "integer", "minimum": 1}},
                    "price": {{"type": "object", "properties": {{
                        "amount": {{"type": "integer"}}, "currency": {{"enum": ["EUR", "USD", "CHF"]}}}},
                        "required": ["amount", "currency"], "additionalProperties": false}}}},
                    "required": ["sku", "quantity", "price"], "additionalProperties": false}}}},
                "text": {{"type": "string"}}{extra_field}}},
            "required": ["sequence", "items"]}}"#
        )
    };
    let text_bytes = PAYLOAD_BYTES - order("").len();
    Subject {
        name: "bench.order",
        format: SchemaFormat::Json,
        content_type: "application/json",
        first: schema(""),
        second: schema(r#", "gift": {"type": "boolean"}"#),
        payload: order(&marker(&[TEXT]).repeat(text_bytes)).into_bytes(),
        ceiling: 2.0,
    }
}

fn avro() -> Result<Subject> {
    let schema = |extra_field: &str| {
        format!(
            r#"{{"type": "record", "name": "Order", "namespace": "bench", "fields": [
            {{"name": "sequence", "type": "string"}}, {{"name": "checksum", "type": "string"}},
            {{"name": "customer", "type": "string"}},
            {{"name": "items", "type": {{"type": "array", "items": {{"type": "record", "name": "Item", "fields": [
                {{"name": "sku", "type": "string"}}, {{"name": "quantity", "type": "int"}},
                {{"name": "price", "type": {{"type": "record", "name": "Price", "fields": [
                    {{"name": "amount", "type": "long"}}, {{"name": "currency", "type": "string"}}]}}}}]}}}}}},
            {{"name": "text", "type": "string"}}{extra_field}]}}"#
        )
    };
    let second = schema(r#", {"name": "gift", "type": "boolean", "default": false}"#);
    let name = "bench.OrderInAvro";
    let written = Schema::parse(Format::Avro, name, &schemas::Definition::text(&second), &[]);
    let written = written.map_err(|faults| anyhow!("{faults:?}"))?;
    let encode = |text: &str| written.encode(&order(text)).map_err(|faults| anyhow!("{faults:?}"));
    // The length of the text has two bytes, that of an empty text one.
    let text_bytes = PAYLOAD_BYTES - encode("")?.len() - 1;
    Ok(Subject {
        name,
        format: SchemaFormat::Avro,
        content_type: "application/avro",
        first: schema(""),
        payload: encode(&marker(&[TEXT]).repeat(text_bytes))?,
        second,
        ceiling: 1.5,
    })
}

impl Limits {
    /// Measures (s) and (v), for all formats.
    pub(crate) async fn schemas(&self) -> Result<()> {
        let server = self.server(&self.dir.join("schemas")).await?;
        for subject in [json(), protobuf(), avro()?] {
            register(&server, &subject, &subject.first).await?;
            register(&server, &subject, &subject.second).await?;
            if self.wants("s") {
                self.checked(&server, &subject).await?;
            }
            if self.wants("v") {
                self.converted(&server, &subject).await?;
            }
        }
        server.process.stop()?;
        Ok(())
    }

    async fn checked(&self, server: &Server, subject: &Subject) -> Result<()> {
        let run = async |enforcement: SchemaEnforcement| -> Result<Sample> {
            let topic = create(server, enforcement).await?;
            let plan = plan(STREAM, Arc::new([topic]), STREAM.events / self.scale);
            let meter = Meter::start(&server.process)?;
            let published = publish::publish(&server.channel, workload(subject)?, plan).await?;
            meter.stop(&server.process, published.events)
        };
        let pairs = interleave(
            &format!("s {}", subject.format.as_str_name()),
            self.pairs,
            async || run(SchemaEnforcement::Required).await,
            async || run(SchemaEnforcement::Off).await,
        )
        .await?;
        let description = format!(
            "PublishStream of {PAYLOAD_BYTES} B of {}, checked; compared with: unchecked",
            subject.format.as_str_name()
        );
        println!("{}", pairs.cpu_row("s", &description, subject.ceiling).print());
        Ok(())
    }

    async fn converted(&self, server: &Server, subject: &Subject) -> Result<()> {
        let events = EVENTS / self.scale;
        let topic = create(server, SchemaEnforcement::Required).await?;
        let filled = plan(BATCHES, Arc::new([topic.clone()]), events);
        publish::publish(&server.channel, workload(subject)?, filled).await?;
        let catch_up = async |schema: Option<SchemaSelection>| -> Result<Sample> {
            let mut request = subscribe::request(std::slice::from_ref(&topic), Edge::Earliest);
            request.schema = schema;
            let meter = Meter::start(&server.process)?;
            let mut stream = EventStream::open(&server.channel, request).await?;
            let mut count = Count::dense_from(0);
            while count.events < events {
                count.add(&stream.next().await?)?;
            }
            meter.stop(&server.process, events)
        };
        let accept = AcceptedSchema { r#type: subject.name.into(), version: "=1.0.0".into() };
        let selection = SchemaSelection { accept: vec![accept], on_mismatch: 0 };
        let pairs = interleave(
            &format!("v {}", subject.format.as_str_name()),
            self.pairs,
            async || catch_up(Some(selection.clone())).await,
            async || catch_up(None).await,
        )
        .await?;
        let description = format!(
            "catch-up of {events} events of {}, converted; compared with: as written",
            subject.format.as_str_name()
        );
        println!("{}", pairs.row("v", &description, 0.5).print());
        Ok(())
    }
}

async fn register(server: &Server, subject: &Subject, text: &str) -> Result<()> {
    let mut registry = SchemaRegistryServiceClient::new(server.channel.clone());
    let schema = SchemaDraft {
        subject: subject.name.into(),
        format: subject.format.into(),
        definition: Some(Definition { form: Some(Form::Text(text.into())), ..Default::default() }),
        // A field added to a closed object is compatible only with new readers of old data.
        compatibility: Compatibility::Backward.into(),
        ..SchemaDraft::default()
    };
    let request = RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
    registry.register_schema(request).await.context("registering")?;
    Ok(())
}

async fn create(server: &Server, enforcement: SchemaEnforcement) -> Result<String> {
    let name = format!("bench.{}", uuid::Uuid::new_v4().simple());
    let topic =
        Topic { name: name.clone(), schema_enforcement: enforcement.into(), ..Topic::default() };
    let mut topics = TopicServiceClient::new(server.channel.clone());
    topics.create_topic(CreateTopicRequest { topic: Some(topic) }).await?;
    Ok(name)
}

fn workload(subject: &Subject) -> Result<Arc<Workload>> {
    let run = uuid::Uuid::new_v4().as_fields().0;
    let Subject { name, content_type, payload, .. } = subject;
    Ok(Arc::new(Workload::of(run, name, content_type, payload.clone())?))
}
