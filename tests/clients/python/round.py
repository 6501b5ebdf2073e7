"""A client of Tidings with only generated stubs, grpcio and grpcio-status. Prints a line per step.

    round.py ADDRESS
"""

import json
import pathlib
import sys
import time

import grpc
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from payment_pb2 import PaymentAuthorized
from tidings.events.v1 import error_reason_pb2 as events_reasons
from tidings.events.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from tidings.events.v1 import topic_service_pb2, topic_service_pb2_grpc
from tidings.registry.v1 import error_reason_pb2 as registry_reasons
from tidings.registry.v1 import compatibility_pb2, schema_pb2, schema_registry_service_pb2
from tidings.registry.v1 import schema_registry_service_pb2_grpc
from tidings.events.v1.event_service_pb2 import PublishRequest, StartPosition, SubscribeRequest

TOPIC = "clients.python"
UNCHECKED = "clients.unchecked"
ORDER = "clients.python.OrderPlaced"
PAYMENT = "clients.v1.PaymentAuthorized"
SCHEMAS = pathlib.Path(__file__).parent.parent / "schemas"
EARLIEST = StartPosition(edge=event_service_pb2.EDGE_EARLIEST)
# The timeout of every wait.
PATIENCE_SECONDS = 30


class Unexpected(Exception):
    pass


def equal(what, seen, expected):
    if seen != expected:
        raise Unexpected(f"{what}: expected {expected!r}, saw {seen!r}")


class Refusal:
    """The error of a refused call: code, text, and the details in grpc-status-details-bin."""

    def __init__(self, call):
        try:
            answer = call()
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            if status is None:
                raise Unexpected(f"{error.code()} {error.details()!r} comes without details") from error
            self.code, self.message, self.details = error.code(), error.details(), status.details
        else:
            raise Unexpected(f"expected a refusal, saw {answer}")

    def detail(self, kind):
        for detail in self.details:
            message = kind()
            if detail.Unpack(message):
                return message
        raise Unexpected(f"no {kind.DESCRIPTOR.full_name} with {self.message!r}")

    def expect(self, code, reason):
        info = self.detail(error_details_pb2.ErrorInfo)
        equal("code", self.code, code)
        equal("domain and reason", (info.domain, info.reason), ("tidings", reason))
        names = events_reasons.ErrorReason.keys() + registry_reasons.ErrorReason.keys()
        equal(f"{reason} is a name in the stubs", f"ERROR_REASON_{reason}" in names, True)
        return info

    def fields(self):
        return [it.field for it in self.detail(error_details_pb2.BadRequest).field_violations]


class Client:
    def __init__(self, address):
        # Default options: grpcio accepts messages of up to 4 MiB.
        channel = grpc.insecure_channel(address)
        self.topics = topic_service_pb2_grpc.TopicServiceStub(channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.registry = schema_registry_service_pb2_grpc.SchemaRegistryServiceStub(channel)

    def register(self, subject, schema_format, file):
        definition = schema_pb2.Definition(text=(SCHEMAS / file).read_text())
        draft = schema_registry_service_pb2.SchemaDraft(
            subject=subject, format=schema_format, definition=definition
        )
        request = schema_registry_service_pb2.RegisterSchemaRequest(schema=draft)
        return self.registry.RegisterSchema(request, timeout=PATIENCE_SECONDS)

    def publish(self, *events, topic=TOPIC, **options):
        request = PublishRequest(topic=topic, events=events, **options)
        return self.events.Publish(request, timeout=PATIENCE_SECONDS).results

    def subscribe(self, start, seconds=PATIENCE_SECONDS, **options):
        request = SubscribeRequest(topics=[TOPIC], start=start, **options)
        return self.events.Subscribe(request, timeout=seconds)

    def catch_up(self, start, **options):
        """Returns the events before caughtUp, and the stream, which stays open."""
        stream = self.subscribe(start, **options)
        equal("first message", next(stream).WhichOneof("message"), "started")
        events = []
        for response in stream:
            kind = response.WhichOneof("message")
            if kind == "caught_up":
                return events, stream
            equal("message", kind, "batch")
            events.extend(response.batch.events)
        raise Unexpected("the stream ended before it caught up")


def order(number, total=None, **attributes):
    payload = {"order": f"o-{number}", "total": number * 100 if total is None else total}
    attributes.setdefault("text_data", json.dumps(payload))
    return event_pb2.Event(
        id=f"order-{number}", source="https://shop.example/python", type=ORDER,
        partitionkey="customer-1", **attributes,
    )


def ids(events):
    return [it.event.id for it in events]


def missing_topic(client):
    request = topic_service_pb2.GetTopicRequest(name="clients.pyton")
    client.topics.CreateTopic(
        topic_service_pb2.CreateTopicRequest(topic=topic_service_pb2.Topic(name=TOPIC))
    )
    refusal = Refusal(lambda: client.topics.GetTopic(request))
    info = refusal.expect(grpc.StatusCode.NOT_FOUND, "TOPIC_NOT_FOUND")
    equal("nearest", info.metadata["nearest"], TOPIC)
    resource = refusal.detail(error_details_pb2.ResourceInfo)
    equal("resource", (resource.resource_type, resource.resource_name), ("topic", "clients.pyton"))


def register_schemas(client):
    for subject, schema_format, file in [
        (ORDER, schema_pb2.SCHEMA_FORMAT_JSON, "order.json"),
        (PAYMENT, schema_pb2.SCHEMA_FORMAT_PROTOBUF, "payment.proto"),
    ]:
        response = client.register(subject, schema_format, file)
        equal("version", response.schema.version, "1.0.0")


def publish(client):
    results = client.publish(*(order(number) for number in range(5)))
    seen = [(it.offset, it.key_version, it.duplicate, it.schema_version) for it in results]
    equal("results", seen, [(n, n + 1, False, "1.0.0") for n in range(5)])
    equal("durability", {it.durability for it in results}, {event_service_pb2.DURABILITY_SYNCED})


def publish_again(client):
    results = client.publish(*(order(number) for number in range(5)))
    equal("results", [(it.offset, it.duplicate) for it in results], [(n, True) for n in range(5)])


def reused_id(client):
    refusal = Refusal(lambda: client.publish(order(0, total=1)))
    refusal.expect(grpc.StatusCode.ALREADY_EXISTS, "EVENT_ID_CONFLICT")


def failed_condition(client):
    condition = event_service_pb2.Condition(
        key_version=event_service_pb2.KeyVersionCondition(key="customer-1", version=3)
    )
    refusal = Refusal(lambda: client.publish(order(5), conditions=[condition]))
    info = refusal.expect(grpc.StatusCode.ABORTED, "KEY_VERSION_MISMATCH")
    equal("expected, actual", (info.metadata["expected"], info.metadata["actual"]), ("3", "5"))
    (violation,) = refusal.detail(error_details_pb2.PreconditionFailure).violations
    equal("violation", violation.subject, f"topics/{TOPIC}/keys/customer-1")


def wrong_payload(client):
    refusal = Refusal(lambda: client.publish(order(5, total="many")))
    refusal.expect(grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
    equal("fields", refusal.fields(), ["events[0].text_data/total"])


def all_faults(client):
    batch = [order(5, total="many"), order(6), order(7, text_data='{"total": -1}')]
    refusal = Refusal(lambda: client.publish(*batch))
    refusal.expect(grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
    places = ["events[0].text_data/total", "events[2].text_data", "events[2].text_data/total"]
    equal("fields", sorted(refusal.fields()), places)


def many_faults(client):
    batch = [order(n, total="many") for n in range(1000, 2000)]
    refusal = Refusal(lambda: client.publish(*batch))
    info = refusal.expect(grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
    equal("total", info.metadata["total"], "1000")
    listed = refusal.fields()
    equal("fields", listed, [f"events[{n}].text_data/total" for n in range(len(listed))])
    size = sum(it.ByteSize() for it in refusal.details)
    equal(f"{size} bytes of details are at most 4 KiB", size <= 4096, True)


def protobuf_payloads(client):
    message = PaymentAuthorized(order="o-1", cents=4200)
    message.at.GetCurrentTime()
    packed = any_pb2.Any()
    packed.Pack(message)
    common = {"source": "https://shop.example/python", "type": PAYMENT}
    client.publish(
        event_pb2.Event(id="payment-1", binary_data=message.SerializeToString(), **common),
        event_pb2.Event(id="payment-2", proto_data=packed, **common),
    )
    recorded = client.catch_up(EARLIEST, view=event_pb2.EVENT_VIEW_ANY)[0][-2:]
    for event in recorded:
        again = PaymentAuthorized()
        equal("unpacked", event.event.proto_data.Unpack(again), True)
        equal("message", again, message)
    shown = client.catch_up(EARLIEST, view=event_pb2.EVENT_VIEW_JSON)[0][-1].event.data
    equal("JSON", (shown.struct_value["order"], shown.struct_value["cents"]), ("o-1", "4200"))

    stranger = any_pb2.Any(type_url="type.googleapis.com/clients.v1.Unheard")
    event = event_pb2.Event(id="payment-3", source="/", type="clients.v1.Unheard", proto_data=stranger)
    refusal = Refusal(lambda: client.publish(event))
    refusal.expect(grpc.StatusCode.FAILED_PRECONDITION, "SCHEMA_REQUIRED")


def catch_up_and_follow(client):
    events, stream = client.catch_up(EARLIEST)
    equal("ids", ids(events), [f"order-{n}" for n in range(5)] + ["payment-1", "payment-2"])
    equal("offsets", [it.offset for it in events], list(range(7)))
    client.publish(order(8))
    live = next(stream)
    equal("live ids", ids(live.batch.events), ["order-8"])
    stream.cancel()
    try:
        next(stream)
    except grpc.RpcError as error:
        equal("code", error.code(), grpc.StatusCode.CANCELLED)
    else:
        raise Unexpected("the stream goes on after it was cancelled")


def resume(client):
    everything, stream = client.catch_up(EARLIEST)
    stream.cancel()
    for place, event in enumerate(everything):
        rest, stream = client.catch_up(StartPosition(cursor=event.cursor))
        stream.cancel()
        equal(f"ids after offset {event.offset}", ids(rest), ids(everything[place + 1 :]))


def accepting(requirement):
    accepted = event_service_pb2.AcceptedSchema(type=PAYMENT, version=requirement)
    return event_service_pb2.SchemaSelection(accept=[accepted])


def resolution(recorded):
    schema = recorded.schema
    return schema.writer_version, schema.delivered_version, schema.converted


def negotiate(client):
    latest = StartPosition(edge=event_service_pb2.EDGE_LATEST)
    older, newer = (
        client.catch_up(latest, schema=accepting(requirement), consumer=f"python-{name}")[1]
        for name, requirement in [("older", "~1.0"), ("newer", "^1.0")]
    )
    registered = client.register(
        PAYMENT, schema_pb2.SCHEMA_FORMAT_PROTOBUF, "payment_1.1.proto"
    )
    equal("version", registered.schema.version, "1.1.0")
    # A JSON payload, which is recorded in the encoding of the schema.
    event = event_pb2.Event(
        id="payment-4", source="https://shop.example/python", type=PAYMENT, schemaversion="1.1.0"
    )
    event.data.struct_value.update({"order": "o-9", "cents": 900, "card": "visa"})
    client.publish(event)

    # The reader of 1.0 receives 1.0.0: the bytes have no fields that are unknown to it.
    (converted,) = next(older).batch.events
    equal("written, delivered, converted", resolution(converted), ("1.1.0", "1.0.0", True))
    expected = PaymentAuthorized(order="o-9", cents=900)
    equal("payload", converted.event.binary_data, expected.SerializeToString())

    # The reader of 1.x is notified that events have version 1.1.0 from now on.
    changed = next(newer)
    equal("message", changed.WhichOneof("message"), "schema_changed")
    equal("version", changed.schema_changed.schema.version, "1.1.0")
    (written,) = next(newer).batch.events
    equal("written, delivered, converted", resolution(written), ("1.1.0", "1.1.0", False))
    equal("the card is there", b"visa" in written.event.binary_data, True)
    older.cancel()
    newer.cancel()

    refusal = Refusal(lambda: next(client.subscribe(EARLIEST, schema=accepting("^2"))))
    refusal.expect(grpc.StatusCode.FAILED_PRECONDITION, "REQUIREMENT_UNSATISFIABLE")


def incompatible_schema(client):
    refusal = Refusal(
        lambda: client.register(ORDER, schema_pb2.SCHEMA_FORMAT_JSON, "order_broken.json")
    )
    refusal.expect(grpc.StatusCode.FAILED_PRECONDITION, "SCHEMA_INCOMPATIBLE")
    report = refusal.detail(compatibility_pb2.CompatibilityReport)
    equal("next version", report.next_version, "2.0.0")
    equal("rules", {it.rule for it in report.findings}, {"JSON_TYPE_CHANGED"})


def deadline(client):
    begun = time.monotonic()
    kinds = []
    try:
        for response in client.subscribe(StartPosition(last=1), seconds=3):
            kinds.append(response.WhichOneof("message"))
    except grpc.RpcError as error:
        equal("code", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    else:
        raise Unexpected("the stream ended by itself")
    equal("messages", kinds, ["started", "batch", "caught_up"])
    equal("took less than 20 s", time.monotonic() - begun < 20, True)


def large_events(client):
    """Sends 12 MB to a client with a limit of 4 MiB for each message."""
    topic = f"{TOPIC}.large"
    client.topics.CreateTopic(
        topic_service_pb2.CreateTopicRequest(topic=topic_service_pb2.Topic(name=topic))
    )
    data = b"\0" * 1_000_000
    for number in range(12):
        event = event_pb2.Event(id=str(number), source="/", type="clients.Blob", binary_data=data)
        client.publish(event, topic=topic)
    pages = list(client.events.Read(event_service_pb2.ReadRequest(topics=[topic])))
    equal("events", sum(len(it.batch.events) for it in pages), 12)
    request = SubscribeRequest(topics=[topic], start=EARLIEST, max_batch_bytes=3 << 20)
    received = 0
    for response in client.events.Subscribe(request, timeout=PATIENCE_SECONDS):
        received += len(response.batch.events)
        if response.HasField("caught_up"):
            break
    equal("events", received, 12)


def invalid_times(client):
    """Events with times out of range, which an earlier version accepted, can be printed."""
    for view in event_pb2.EventView.values():
        request = event_service_pb2.ReadRequest(topics=[UNCHECKED], view=view)
        printed = [json_format.MessageToDict(page) for page in client.events.Read(request)]
        events = [it["event"] for page in printed for it in page.get("batch", {}).get("events", [])]
        equal("events", len(events), 9)
        listed = sum("tidingsinvalidtimes" in json.dumps(it) for it in events)
        equal("events that list times left out", listed, 6)
    stream = client.events.Subscribe(SubscribeRequest(topics=[UNCHECKED], start=EARLIEST), timeout=PATIENCE_SECONDS)
    seen = 0
    for response in stream:
        json_format.MessageToJson(response)
        seen += len(response.batch.events)
        if response.HasField("caught_up"):
            break
    stream.cancel()
    equal("events", seen, 9)


STEPS = [
    ("a topic is created, and one misspelt is NOT_FOUND with the nearest name", missing_topic),
    ("a JSON schema and a Protobuf schema are registered", register_schemas),
    ("a batch is published: offsets from 0", publish),
    ("the same batch again appends nothing", publish_again),
    ("a reused id with other content is refused", reused_id),
    ("a condition that fails says expected and actual", failed_condition),
    ("a wrong payload is refused with its place", wrong_payload),
    ("two wrong events of a batch are told at once", all_faults),
    ("a thousand wrong events are told in at most 4 KiB", many_faults),
    ("Protobuf payloads come back as Any and as JSON; a stranger is refused", protobuf_payloads),
    ("a subscription catches up and follows", catch_up_and_follow),
    ("every cursor resumes: no event twice, none missing", resume),
    ("versions are negotiated while the producer goes to 1.1.0", negotiate),
    ("an incompatible schema is refused with the report", incompatible_schema),
    ("a deadline ends a stream", deadline),
    ("12 MB come in messages that a default client takes", large_events),
    ("events with times out of range print with those around them", invalid_times),
]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: round.py ADDRESS")
    client = Client(sys.argv[1])
    for name, step in STEPS:
        try:
            step(client)
        except Exception as error:
            sys.exit(f"{name}: {type(error).__name__}: {error}")
        print("ok:", name, flush=True)
    print(f"all {len(STEPS)} steps", flush=True)


if __name__ == "__main__":
    main()
