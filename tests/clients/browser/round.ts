// A client of Tidings in a page, with stubs of protoc-gen-es and Connect's transport for gRPC-Web.
// run.js serves the page from another origin than the server's, and opens it. The page reports each
// completed step to run.js.
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
} from "./stubs/google/rpc/error_details_pb";
import { PaymentAuthorizedSchema } from "./stubs/payment_pb";
import { ErrorReasonSchema as EventReasons } from "./stubs/tidings/events/v1/error_reason_pb";
import { EventView, type RecordedEvent } from "./stubs/tidings/events/v1/event_pb";
import {
  Durability,
  Edge,
  EventService,
  type PublishRequestSchema,
  type SubscribeRequestSchema,
} from "./stubs/tidings/events/v1/event_service_pb";
import { TopicService } from "./stubs/tidings/events/v1/topic_service_pb";
import { CompatibilityReportSchema } from "./stubs/tidings/registry/v1/compatibility_pb";
import { ErrorReasonSchema as RegistryReasons } from "./stubs/tidings/registry/v1/error_reason_pb";
import { SchemaFormat } from "./stubs/tidings/registry/v1/schema_pb";
import { SchemaRegistryService } from "./stubs/tidings/registry/v1/schema_registry_service_pb";

/** The initial fields of a message. */
type Init<D extends DescMessage> = Extract<MessageInitShape<D>, { $typeName?: never }>;
type PublishInit = Init<typeof PublishRequestSchema>;
type EventInit = NonNullable<PublishInit["events"]>[number];
type SubscribeInit = Init<typeof SubscribeRequestSchema>;

const TOPIC = "clients.browser";
const ORDER = "clients.browser.OrderPlaced";
const PAYMENT = "clients.v1.PaymentAuthorized";
const EARLIEST = { position: { case: "edge", value: Edge.EARLIEST } } as const;
// The timeout of every wait.
const PATIENCE_MS = 30_000;

const baseUrl = new URLSearchParams(location.search).get("tidings") ?? "http://localhost:7171";
const transport = createGrpcWebTransport({ baseUrl });
const topics = createClient(TopicService, transport);
const events = createClient(EventService, transport);
const registry = createClient(SchemaRegistryService, transport);
const options = { timeoutMs: PATIENCE_MS };

const show = (value: unknown) =>
  JSON.stringify(value, (_, it) => (typeof it === "bigint" ? `${it}` : it));

function equal<T>(what: string, seen: T, expected: T) {
  if (show(seen) !== show(expected))
    throw new Error(`${what}: expected ${show(expected)}, saw ${show(seen)}`);
}

/** The error of a refused call: code, text, and the details of the given types. */
class Refusal {
  constructor(readonly error: ConnectError) {}

  static async of(answer: Promise<unknown>, code: Code, reason: string): Promise<Refusal> {
    const seen = await answer.then(
      (it) => new Error(`expected a refusal, saw ${show(it)}`),
      (error: unknown) => error,
    );
    if (!(seen instanceof ConnectError)) throw seen;
    const it = new Refusal(seen);
    equal("code", Code[seen.code], Code[code]);
    const info = it.detail(ErrorInfoSchema);
    equal("domain and reason", [info.domain, info.reason], ["tidings", reason]);
    const names = [...EventReasons.values, ...RegistryReasons.values].map((value) => value.name);
    equal(`${reason} is a name in the stubs`, names.includes(`ERROR_REASON_${reason}`), true);
    return it;
  }

  detail<D extends DescMessage>(schema: D): MessageShape<D> {
    const [found] = this.error.findDetails(schema);
    if (!found) throw new Error(`no ${schema.typeName} with ${this.error.message}`);
    return found;
  }

  fields(): string[] {
    return this.detail(BadRequestSchema)
      .fieldViolations.map((it) => it.field)
      .sort();
  }
}

async function register(subject: string, format: SchemaFormat, file: string) {
  const text = await (await fetch(`/schemas/${file}`)).text();
  const definition = { form: { case: "text", value: text } } as const;
  return registry.registerSchema({ schema: { subject, format, definition } }, options);
}

async function publish(batch: EventInit[], rest: PublishInit = {}) {
  return (await events.publish({ topic: TOPIC, events: batch, ...rest }, options)).results;
}

/** A subscription that is read message by message. */
class Subscription {
  private readonly abort = new AbortController();
  private readonly messages;

  constructor(request: SubscribeInit, timeoutMs = PATIENCE_MS) {
    const { signal } = this.abort;
    const stream = events.subscribe({ topics: [TOPIC], ...request }, { signal, timeoutMs });
    this.messages = stream[Symbol.asyncIterator]();
  }

  async next() {
    const { done, value } = await this.messages.next();
    if (done) throw new Error("the stream ended without a status");
    return value.message;
  }

  async batch(): Promise<RecordedEvent[]> {
    const message = await this.next();
    if (message.case !== "batch") throw new Error(`expected a batch, saw ${message.case}`);
    return message.value.events;
  }

  /** The events before caughtUp. */
  async catchUp(): Promise<RecordedEvent[]> {
    equal("first message", (await this.next()).case, "started");
    const events: RecordedEvent[] = [];
    for (;;) {
      const message = await this.next();
      if (message.case === "caughtUp") return events;
      if (message.case !== "batch") throw new Error(`expected a batch, saw ${message.case}`);
      events.push(...message.value.events);
    }
  }

  /** Cancels the stream, and waits until it has ended. */
  async cancel() {
    this.abort.abort();
    try {
      for (;;) await this.next();
    } catch (error) {
      equal("code", ConnectError.from(error).code, Code.Canceled);
    }
  }
}

async function recorded(request: SubscribeInit = {}): Promise<RecordedEvent[]> {
  const subscription = new Subscription({ start: EARLIEST, ...request });
  const events = await subscription.catchUp();
  await subscription.cancel();
  return events;
}

const order = (number: number, total: unknown = number * 100, text?: string): EventInit => ({
  id: `order-${number}`,
  source: "https://shop.example/browser",
  type: ORDER,
  partitionkey: "customer-1",
  payload: { case: "textData", value: text ?? JSON.stringify({ order: `o-${number}`, total }) },
});
const orders = [0, 1, 2, 3, 4].map((number) => order(number));
const ids = (events: RecordedEvent[]) => events.map((it) => it.event?.id);

async function createTopic() {
  const { topic } = await topics.createTopic({ topic: { name: TOPIC } }, options);
  equal("name", topic?.name, TOPIC);
  const missing = topics.getTopic({ name: "clients.browse" }, options);
  const refusal = await Refusal.of(missing, Code.NotFound, "TOPIC_NOT_FOUND");
  equal("nearest", refusal.detail(ErrorInfoSchema).metadata.nearest, TOPIC);
  const { resourceType, resourceName } = refusal.detail(ResourceInfoSchema);
  equal("resource", [resourceType, resourceName], ["topic", "clients.browse"]);
}

async function registerSchemas() {
  const json = await register(ORDER, SchemaFormat.JSON, "order.json");
  const protobuf = await register(PAYMENT, SchemaFormat.PROTOBUF, "payment.proto");
  equal("versions", [json.schema?.version, protobuf.schema?.version], ["1.0.0", "1.0.0"]);
}

async function publishBatch() {
  const results = await publish(orders);
  equal(
    "results",
    results.map((it) => [Number(it.offset), Number(it.keyVersion), it.duplicate, it.schemaVersion]),
    orders.map((_, n) => [n, n + 1, false, "1.0.0"]),
  );
  equal("durability", results[0]?.durability, Durability.SYNCED);
}

async function publishAgain() {
  const results = await publish(orders);
  equal("results", results.map((it) => [Number(it.offset), it.duplicate]), orders.map((_, n) => [n, true]));
}

async function reusedId() {
  await Refusal.of(publish([order(0, 1)]), Code.AlreadyExists, "EVENT_ID_CONFLICT");
}

async function failedCondition() {
  const keyVersion = { key: "customer-1", version: 3n };
  const conditions = [{ kind: { case: "keyVersion", value: keyVersion } } as const];
  const answer = publish([order(5)], { conditions });
  const refusal = await Refusal.of(answer, Code.Aborted, "KEY_VERSION_MISMATCH");
  const { expected, actual } = refusal.detail(ErrorInfoSchema).metadata;
  equal("expected, actual", [expected, actual], ["3", "5"]);
  const { violations } = refusal.detail(PreconditionFailureSchema);
  equal("violations", violations.map((it) => it.subject), [`topics/${TOPIC}/keys/customer-1`]);
}

async function wrongPayload() {
  const refusal = await Refusal.of(publish([order(5, "many")]), Code.InvalidArgument, "PAYLOAD_INVALID");
  equal("fields", refusal.fields(), ["events[0].text_data/total"]);
}

async function allFaults() {
  const batch = [order(5, "many"), order(6), order(7, 0, '{"total": -1}')];
  const refusal = await Refusal.of(publish(batch), Code.InvalidArgument, "PAYLOAD_INVALID");
  const places = ["events[0].text_data/total", "events[2].text_data", "events[2].text_data/total"];
  equal("fields", refusal.fields(), places);
}

async function protobufPayloads() {
  const at = { seconds: 1_793_611_800n, nanos: 250_000_000 };
  const message = create(PaymentAuthorizedSchema, { order: "o-1", cents: 4200n, at });
  const bytes = toBinary(PaymentAuthorizedSchema, message);
  const common = { source: "https://shop.example/browser", type: PAYMENT };
  await publish([
    { id: "payment-1", payload: { case: "binaryData", value: bytes }, ...common },
    { id: "payment-2", payload: { case: "protoData", value: anyPack(PaymentAuthorizedSchema, message) }, ...common },
  ]);
  for (const { event } of (await recorded({ view: EventView.ANY })).slice(-2)) {
    const any = event?.payload.case === "protoData" ? event.payload.value : undefined;
    equal("unpacked", any && anyUnpack(any, PaymentAuthorizedSchema), message);
  }
  const shown = (await recorded({ view: EventView.JSON })).at(-1)?.event?.payload;
  const json = shown?.case === "data" ? toJson(ValueSchema, shown.value) : undefined;
  equal("JSON", json, { at: "2026-11-02T09:30:00.250Z", cents: "4200", order: "o-1" });

  const value = { typeUrl: "type.googleapis.com/clients.v1.Unheard", value: new Uint8Array() };
  const stranger: EventInit = { id: "payment-3", source: "/", type: "clients.v1.Unheard", payload: { case: "protoData", value } };
  await Refusal.of(publish([stranger]), Code.FailedPrecondition, "SCHEMA_REQUIRED");
}

async function catchUpAndFollow() {
  const subscription = new Subscription({ start: EARLIEST });
  const events = await subscription.catchUp();
  equal("ids", ids(events), [0, 1, 2, 3, 4].map((n) => `order-${n}`).concat("payment-1", "payment-2"));
  equal("offsets", events.map((it) => Number(it.offset)), [0, 1, 2, 3, 4, 5, 6]);
  await publish([order(8)]);
  equal("live ids", ids(await subscription.batch()), ["order-8"]);
  await subscription.cancel();
}

async function resume() {
  const everything = await recorded();
  for (const [place, { cursor, offset }] of everything.entries()) {
    const rest = await recorded({ start: { position: { case: "cursor", value: cursor } } });
    equal(`ids after offset ${offset}`, ids(rest), ids(everything.slice(place + 1)));
  }
}

const accepting = (version: string) => ({ accept: [{ type: PAYMENT, version }] });
const resolution = (it?: RecordedEvent) => [it?.schema?.writerVersion, it?.schema?.deliveredVersion, it?.schema?.converted];

/** The payload of an event as bytes. */
function bytesOf(it?: RecordedEvent): Uint8Array {
  const payload = it?.event?.payload;
  if (payload?.case !== "binaryData") throw new Error(`expected binaryData, saw ${payload?.case}`);
  return payload.value;
}

async function negotiate() {
  const start = { position: { case: "edge", value: Edge.LATEST } } as const;
  const older = new Subscription({ start, schema: accepting("~1.0"), consumer: "browser-older" });
  const newer = new Subscription({ start, schema: accepting("^1.0"), consumer: "browser-newer" });
  await Promise.all([older.catchUp(), newer.catchUp()]);
  const registered = await register(PAYMENT, SchemaFormat.PROTOBUF, "payment_1.1.proto");
  equal("version", registered.schema?.version, "1.1.0");
  // A JSON payload, which is recorded in the encoding of the schema.
  const value = '{"order": "o-9", "cents": 900, "card": "visa"}';
  await publish([
    {
      id: "payment-4",
      source: "https://shop.example/browser",
      type: PAYMENT,
      schemaversion: "1.1.0",
      datacontenttype: "application/json",
      payload: { case: "textData", value },
    },
  ]);

  // The reader of 1.0 receives 1.0.0: the bytes have no fields that are unknown to it.
  const [converted] = await older.batch();
  equal("written, delivered, converted", resolution(converted), ["1.1.0", "1.0.0", true]);
  const expected = create(PaymentAuthorizedSchema, { order: "o-9", cents: 900n });
  equal("payload", fromBinary(PaymentAuthorizedSchema, bytesOf(converted)), expected);

  // The reader of 1.x is notified that events have version 1.1.0 from now on.
  const changed = await newer.next();
  equal("message", changed.case, "schemaChanged");
  equal("version", changed.case === "schemaChanged" && changed.value.schema?.version, "1.1.0");
  const [written] = await newer.batch();
  equal("written, delivered, converted", resolution(written), ["1.1.0", "1.1.0", false]);
  equal("the card is there", new TextDecoder().decode(bytesOf(written)).includes("visa"), true);
  await Promise.all([older.cancel(), newer.cancel()]);

  const stranger = new Subscription({ start: EARLIEST, schema: accepting("^2") });
  await Refusal.of(stranger.next(), Code.FailedPrecondition, "REQUIREMENT_UNSATISFIABLE");
}

async function incompatibleSchema() {
  const answer = register(ORDER, SchemaFormat.JSON, "order_broken.json");
  const refusal = await Refusal.of(answer, Code.FailedPrecondition, "SCHEMA_INCOMPATIBLE");
  const report = refusal.detail(CompatibilityReportSchema);
  equal("next version", report.nextVersion, "2.0.0");
  equal("rules", [...new Set(report.findings.map((it) => it.rule))], ["JSON_TYPE_CHANGED"]);
}

async function deadline() {
  const begun = performance.now();
  const subscription = new Subscription({ start: { position: { case: "last", value: 1n } } }, 3_000);
  const kinds: unknown[] = [];
  try {
    for (;;) kinds.push((await subscription.next()).case);
  } catch (error) {
    equal("code", ConnectError.from(error).code, Code.DeadlineExceeded);
  }
  equal("messages", kinds, ["started", "batch", "caughtUp"]);
  equal("took less than 20 s", performance.now() - begun < 20_000, true);
}

async function largeEvents() {
  const topic = `${TOPIC}.large`;
  await topics.createTopic({ topic: { name: topic } }, options);
  const payload = { case: "binaryData", value: new Uint8Array(1_000_000) } as const;
  for (let id = 0; id < 12; id += 1)
    await publish([{ id: `${id}`, source: "/", type: "clients.Blob", payload }], { topic });
  let read = 0;
  for await (const page of events.read({ topics: [topic] }, options)) read += page.batch?.events.length ?? 0;
  const subscribed = await recorded({ topics: [topic], maxBatchBytes: 3 << 20 });
  equal("events", [read, subscribed.length], [12, 12]);
}

const eventsUrl = `${baseUrl}/v1/topics/${TOPIC}/events`;

/** Publishes over HTTP, as a CloudEvents document. */
function post(id: string, total: unknown) {
  const source = "https://shop.example/browser";
  const event = { specversion: "1.0", id, source, type: ORDER, data: { order: id, total } };
  const headers = { "content-type": "application/cloudevents+json" };
  return fetch(eventsUrl, { method: "POST", headers, body: JSON.stringify(event) });
}

async function publishOverHttp() {
  const answer = await post("posted-1", 100);
  const { results } = await answer.json();
  equal("status, id", [answer.status, results[0].id], [200, "posted-1"]);
  const refused = await post("posted-2", "many");
  const problem = await refused.json();
  equal("status, reason", [refused.status, problem.reason], [400, "PAYLOAD_INVALID"]);
  const places = problem.violations.map((it: { field: string }) => it.field.split("/").at(-1));
  equal("places", places, ["total"]);
}

async function eventSource() {
  const everything = ids(await recorded());
  // The response ends after the events that are recorded now. An EventSource then reconnects with
  // the last received id.
  const source = new EventSource(`${eventsUrl}?from=earliest&until=end`);
  const seen: string[] = [];
  let ends = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      setTimeout(() => reject(new Error(`after ${PATIENCE_MS} ms: ${show(seen)}`)), PATIENCE_MS);
      source.onmessage = ({ data }) => {
        seen.push(JSON.parse(data).id);
        if (seen.at(-1) === "posted-3") resolve();
      };
      source.addEventListener("end", () => {
        ends += 1;
        if (ends === 1) post("posted-3", 300).catch(reject);
      });
      source.addEventListener("failed", ({ data }) => reject(new Error(data)));
    });
  } finally {
    source.close();
  }
  equal("ids", seen, [...everything, "posted-3"]);
}

const STEPS: [string, () => Promise<void>][] = [
  ["a topic is created, and one misspelt is NOT_FOUND with the nearest name", createTopic],
  ["a JSON schema and a Protobuf schema are registered", registerSchemas],
  ["a batch is published: offsets from 0", publishBatch],
  ["the same batch again appends nothing", publishAgain],
  ["a reused id with other content is refused", reusedId],
  ["a condition that fails says expected and actual", failedCondition],
  ["a wrong payload is refused with its place", wrongPayload],
  ["two wrong events of a batch are told at once", allFaults],
  ["Protobuf payloads come back as Any and as JSON; a stranger is refused", protobufPayloads],
  ["a subscription catches up and follows", catchUpAndFollow],
  ["every cursor resumes: no event twice, none missing", resume],
  ["versions are negotiated while the producer goes to 1.1.0", negotiate],
  ["an incompatible schema is refused with the report", incompatibleSchema],
  ["a deadline ends a stream", deadline],
  ["12 MB come to a page", largeEvents],
  ["a CloudEvents document is posted over HTTP; a refusal says where it is wrong", publishOverHttp],
  ["an EventSource that loses its connection goes on: no event twice, none missing", eventSource],
];

/** Reports to run.js. */
const tell = (path: string, text: string) => fetch(path, { method: "POST", body: text });

for (const [name, step] of STEPS) {
  try {
    await step();
  } catch (error) {
    await tell("/failed", `${name}: ${error instanceof Error ? error.stack : error}`);
    throw error;
  }
  await tell("/line", `ok: ${name}`);
}
await tell("/done", `all ${STEPS.length} steps`);
