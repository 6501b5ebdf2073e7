// A client of Tidings with only @grpc/grpc-js and @grpc/proto-loader. Prints a line for each step.
//
//     round.js ADDRESS PROTO SCHEMAS
import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv, exit, hrtime } from "node:process";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, proto, schemas] = argv.slice(2);
const TOPIC = "clients.node";
const ORDER = "clients.node.OrderPlaced";
const PAYMENT = "clients.v1.PaymentAuthorized";
const EARLIEST = { edge: "EDGE_EARLIEST" };
// The timeout of every wait.
const PATIENCE_MS = 30_000;

const definition = loader.loadSync(
  [
    "tidings/events/v1/event_service.proto",
    "tidings/events/v1/topic_service.proto",
    "tidings/events/v1/error_reason.proto",
    "tidings/registry/v1/schema_registry_service.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "payment.proto",
  ],
  // With `json`, an Any of a loaded type is the message with `@type`, in both directions. Integers
  // of 64 bits are strings.
  { includeDirs: [proto, schemas], longs: String, enums: String, defaults: true, oneofs: true, json: true },
);
const { tidings } = grpc.loadPackageDefinition(definition);

// Default options: grpc-js accepts messages of up to 4 MiB.
const open = (service) => new service(address, grpc.credentials.createInsecure());
const topics = open(tidings.events.v1.TopicService);
const events = open(tidings.events.v1.EventService);
const registry = open(tidings.registry.v1.SchemaRegistryService);

const call = (client, method, request) =>
  new Promise((resolve, reject) => {
    const answered = (error, response) => (error ? reject(error) : resolve(response));
    client[method](request, { deadline: Date.now() + PATIENCE_MS }, answered);
  });

function equal(what, seen, expected) {
  try {
    deepStrictEqual(seen, expected);
  } catch {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, saw ${JSON.stringify(seen)}`);
  }
}

/** The error of a refused call, with its details by type name. */
async function refused(answer, code, reason) {
  let error;
  try {
    throw new Error(`expected a refusal, saw ${JSON.stringify(await answer)}`);
  } catch (caught) {
    error = caught;
  }
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!bytes) throw error;
  equal(`${bytes.length} bytes of details are at most 4 KiB`, bytes.length <= 4096, true);
  const status = definition["google.rpc.Status"].deserialize(bytes);
  const details = Object.fromEntries(status.details.map((it) => [it["@type"].split(".").at(-1), it]));
  const { domain, reason: said } = details.ErrorInfo;
  equal("code, domain and reason", [grpc.status[error.code], domain, said], [grpc.status[code], "tidings", reason]);
  const names = ["events", "registry"].flatMap((it) =>
    definition[`tidings.${it}.v1.ErrorReason`].type.value.map((value) => value.name),
  );
  equal(`${reason} is a name in the contract`, names.includes(`ERROR_REASON_${reason}`), true);
  return details;
}

const fields = (details) => details.BadRequest.fieldViolations.map((it) => it.field).sort();

const register = (subject, format, file) =>
  call(registry, "registerSchema", {
    schema: { subject, format, definition: { text: readFileSync(join(schemas, file), "utf8") } },
  });

async function publish(batch, options) {
  return (await call(events, "publish", { topic: TOPIC, events: batch, ...options })).results;
}

/** A subscription that is read message by message. */
class Subscription {
  constructor(request, milliseconds = PATIENCE_MS) {
    this.call = events.subscribe({ topics: [TOPIC], ...request }, { deadline: Date.now() + milliseconds });
    this.messages = this.call[Symbol.asyncIterator]();
  }

  /** The kind of the next message, and its content. */
  async next() {
    const { done, value } = await this.messages.next();
    if (done) throw new Error("the stream ended without a status");
    return [value.message, value[value.message]];
  }

  async expect(kind) {
    const [seen, message] = await this.next();
    equal("message", seen, kind);
    return message;
  }

  /** The events before caughtUp. */
  async catchUp() {
    await this.expect("started");
    const events = [];
    for (;;) {
      const [kind, message] = await this.next();
      if (kind === "caughtUp") return events;
      equal("message", kind, "batch");
      events.push(...message.events);
    }
  }

  /** Cancels the stream, and waits until it has ended. */
  async cancel() {
    this.call.cancel();
    try {
      for (;;) await this.next();
    } catch (error) {
      equal("code", error.code, grpc.status.CANCELLED);
    }
  }
}

async function recorded(request) {
  const subscription = new Subscription({ start: EARLIEST, ...request });
  const events = await subscription.catchUp();
  await subscription.cancel();
  return events;
}

const order = (number, total = number * 100, rest = {}) => ({
  id: `order-${number}`,
  source: "https://shop.example/node",
  type: ORDER,
  partitionkey: "customer-1",
  textData: JSON.stringify({ order: `o-${number}`, total }),
  ...rest,
});
const orders = [0, 1, 2, 3, 4].map((number) => order(number));
const ids = (events) => events.map((it) => it.event.id);

async function createTopic() {
  const { topic } = await call(topics, "createTopic", { topic: { name: TOPIC } });
  equal("name", topic.name, TOPIC);
  const missing = call(topics, "getTopic", { name: "clients.nod" });
  const details = await refused(missing, grpc.status.NOT_FOUND, "TOPIC_NOT_FOUND");
  equal("nearest", details.ErrorInfo.metadata.nearest, TOPIC);
  const { resourceType, resourceName } = details.ResourceInfo;
  equal("resource", [resourceType, resourceName], ["topic", "clients.nod"]);
}

async function registerSchemas() {
  const json = await register(ORDER, "SCHEMA_FORMAT_JSON", "order.json");
  const protobuf = await register(PAYMENT, "SCHEMA_FORMAT_PROTOBUF", "payment.proto");
  equal("versions", [json.schema.version, protobuf.schema.version], ["1.0.0", "1.0.0"]);
}

async function publishBatch() {
  const results = await publish(orders);
  const seen = results.map((it) => [it.offset, it.keyVersion, it.duplicate, it.schemaVersion, it.durability]);
  const expected = orders.map((_, n) => [`${n}`, `${n + 1}`, false, "1.0.0", "DURABILITY_SYNCED"]);
  equal("results", seen, expected);
}

async function publishAgain() {
  const results = await publish(orders);
  equal("results", results.map((it) => [it.offset, it.duplicate]), orders.map((_, n) => [`${n}`, true]));
}

async function reusedId() {
  await refused(publish([order(0, 1)]), grpc.status.ALREADY_EXISTS, "EVENT_ID_CONFLICT");
}

async function failedCondition() {
  const conditions = [{ keyVersion: { key: "customer-1", version: 3 } }];
  const answer = publish([order(5)], { conditions });
  const details = await refused(answer, grpc.status.ABORTED, "KEY_VERSION_MISMATCH");
  const { expected, actual } = details.ErrorInfo.metadata;
  equal("expected, actual", [expected, actual], ["3", "5"]);
  const subjects = details.PreconditionFailure.violations.map((it) => it.subject);
  equal("violations", subjects, [`topics/${TOPIC}/keys/customer-1`]);
}

async function wrongPayload() {
  const details = await refused(publish([order(5, "many")]), grpc.status.INVALID_ARGUMENT, "PAYLOAD_INVALID");
  equal("fields", fields(details), ["events[0].text_data/total"]);
}

async function allFaults() {
  const batch = [order(5, "many"), order(6), order(7, 0, { textData: '{"total": -1}' })];
  const details = await refused(publish(batch), grpc.status.INVALID_ARGUMENT, "PAYLOAD_INVALID");
  const places = ["events[0].text_data/total", "events[2].text_data", "events[2].text_data/total"];
  equal("fields", fields(details), places);
}

async function manyFaults() {
  const batch = Array.from({ length: 1000 }, (_, n) => order(1000 + n, "many"));
  const details = await refused(publish(batch), grpc.status.INVALID_ARGUMENT, "PAYLOAD_INVALID");
  equal("total", details.ErrorInfo.metadata.total, "1000");
  const listed = details.BadRequest.fieldViolations.map((it) => it.field);
  equal("fields", listed, listed.map((_, n) => `events[${n}].text_data/total`));
}

async function protobufPayloads() {
  const message = { order: "o-1", cents: "4200", at: { seconds: "1793611800", nanos: 250_000_000 } };
  const common = { source: "https://shop.example/node", type: PAYMENT };
  const packed = { "@type": `type.googleapis.com/${PAYMENT}`, ...message };
  await publish([
    { id: "payment-1", binaryData: definition[PAYMENT].serialize(message), ...common },
    { id: "payment-2", protoData: packed, ...common },
  ]);
  const anys = (await recorded({ view: "EVENT_VIEW_ANY" })).slice(-2);
  for (const { event } of anys) equal("Any", event.protoData, packed);
  const shown = (await recorded({ view: "EVENT_VIEW_JSON" })).at(-1).event.data.structValue.fields;
  equal("JSON", [shown.order.stringValue, shown.cents.stringValue], ["o-1", "4200"]);

  const stranger = { type_url: "type.googleapis.com/clients.v1.Unheard", value: Buffer.alloc(0) };
  const event = { id: "payment-3", source: "/", type: "clients.v1.Unheard", protoData: stranger };
  await refused(publish([event]), grpc.status.FAILED_PRECONDITION, "SCHEMA_REQUIRED");
}

async function catchUpAndFollow() {
  const subscription = new Subscription({ start: EARLIEST });
  const events = await subscription.catchUp();
  equal("ids", ids(events), [...ids(orders.map((event) => ({ event }))), "payment-1", "payment-2"]);
  equal("offsets", events.map((it) => it.offset), ["0", "1", "2", "3", "4", "5", "6"]);
  await publish([order(8)]);
  const live = await subscription.expect("batch");
  equal("live ids", ids(live.events), ["order-8"]);
  await subscription.cancel();
}

async function resume() {
  const everything = await recorded();
  for (const [place, { cursor, offset }] of everything.entries()) {
    const rest = await recorded({ start: { cursor } });
    equal(`ids after offset ${offset}`, ids(rest), ids(everything.slice(place + 1)));
  }
}

const accepting = (version) => ({ accept: [{ type: PAYMENT, version }] });
const resolution = ({ schema }) => [schema.writerVersion, schema.deliveredVersion, schema.converted];

async function negotiate() {
  const start = { edge: "EDGE_LATEST" };
  const older = new Subscription({ start, schema: accepting("~1.0"), consumer: "node-older" });
  const newer = new Subscription({ start, schema: accepting("^1.0"), consumer: "node-newer" });
  await Promise.all([older.catchUp(), newer.catchUp()]);
  const registered = await register(PAYMENT, "SCHEMA_FORMAT_PROTOBUF", "payment_1.1.proto");
  equal("version", registered.schema.version, "1.1.0");
  // A JSON payload, which is recorded in the encoding of the schema.
  await publish([
    {
      id: "payment-4",
      source: "https://shop.example/node",
      type: PAYMENT,
      schemaversion: "1.1.0",
      datacontenttype: "application/json",
      textData: '{"order": "o-9", "cents": 900, "card": "visa"}',
    },
  ]);

  // The reader of 1.0 receives 1.0.0: the bytes have no fields that are unknown to it.
  const [converted] = (await older.expect("batch")).events;
  equal("written, delivered, converted", resolution(converted), ["1.1.0", "1.0.0", true]);
  const expected = definition[PAYMENT].serialize({ order: "o-9", cents: 900 });
  equal("payload", converted.event.binaryData, expected);

  // The reader of 1.x is notified that events have version 1.1.0 from now on.
  const changed = await newer.expect("schemaChanged");
  equal("version", changed.schema.version, "1.1.0");
  const [written] = (await newer.expect("batch")).events;
  equal("written, delivered, converted", resolution(written), ["1.1.0", "1.1.0", false]);
  equal("the card is there", written.event.binaryData.includes("visa"), true);
  await Promise.all([older.cancel(), newer.cancel()]);

  const stranger = new Subscription({ start: EARLIEST, schema: accepting("^2") });
  await refused(stranger.next(), grpc.status.FAILED_PRECONDITION, "REQUIREMENT_UNSATISFIABLE");
}

async function incompatibleSchema() {
  const answer = register(ORDER, "SCHEMA_FORMAT_JSON", "order_broken.json");
  const details = await refused(answer, grpc.status.FAILED_PRECONDITION, "SCHEMA_INCOMPATIBLE");
  const report = details.CompatibilityReport;
  equal("next version", report.nextVersion, "2.0.0");
  equal("rules", [...new Set(report.findings.map((it) => it.rule))], ["JSON_TYPE_CHANGED"]);
}

async function deadline() {
  const begun = hrtime.bigint();
  const subscription = new Subscription({ start: { last: 1 } }, 3_000);
  const kinds = [];
  try {
    for (;;) kinds.push((await subscription.next())[0]);
  } catch (error) {
    equal("code", error.code, grpc.status.DEADLINE_EXCEEDED);
  }
  equal("messages", kinds, ["started", "batch", "caughtUp"]);
  equal("took less than 20 s", hrtime.bigint() - begun < 20_000_000_000n, true);
}

/** Sends 12 MB to a client with a limit of 4 MiB for each message. */
async function largeEvents() {
  const topic = `${TOPIC}.large`;
  await call(topics, "createTopic", { topic: { name: topic } });
  for (let id = 0; id < 12; id += 1) {
    const event = { id: `${id}`, source: "/", type: "clients.Blob", binaryData: Buffer.alloc(1_000_000) };
    await publish([event], { topic });
  }
  let read = 0;
  for await (const page of events.read({ topics: [topic] })) read += page.batch.events.length;
  const subscribed = await recorded({ topics: [topic], maxBatchBytes: 3 << 20 });
  equal("events", [read, subscribed.length], [12, 12]);
}

const STEPS = [
  ["a topic is created, and one misspelt is NOT_FOUND with the nearest name", createTopic],
  ["a JSON schema and a Protobuf schema are registered", registerSchemas],
  ["a batch is published: offsets from 0", publishBatch],
  ["the same batch again appends nothing", publishAgain],
  ["a reused id with other content is refused", reusedId],
  ["a condition that fails says expected and actual", failedCondition],
  ["a wrong payload is refused with its place", wrongPayload],
  ["two wrong events of a batch are told at once", allFaults],
  ["a thousand wrong events are told in at most 4 KiB", manyFaults],
  ["Protobuf payloads come back as Any and as JSON; a stranger is refused", protobufPayloads],
  ["a subscription catches up and follows", catchUpAndFollow],
  ["every cursor resumes: no event twice, none missing", resume],
  ["versions are negotiated while the producer goes to 1.1.0", negotiate],
  ["an incompatible schema is refused with the report", incompatibleSchema],
  ["a deadline ends a stream", deadline],
  ["12 MB come in messages that a default client takes", largeEvents],
];

for (const [name, step] of STEPS) {
  try {
    await step();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    exit(1);
  }
  console.log(`ok: ${name}`);
}
console.log(`all ${STEPS.length} steps`);
// Idle connections would keep the process running.
exit(0);
