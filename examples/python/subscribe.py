import pathlib
import signal
import sys
import grpc
from tidings.events.v1.event_service_pb2 import EDGE_EARLIEST, AcceptedSchema, SchemaSelection
from tidings.events.v1.event_service_pb2 import StartPosition, SubscribeRequest
from tidings.events.v1.event_service_pb2_grpc import EventServiceStub

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a traceback.
address = sys.argv[1] if len(sys.argv) > 1 else "localhost:7171"
events = EventServiceStub(grpc.insecure_channel(address))
kept = pathlib.Path("cursor")
request = SubscribeRequest(
    topics=["orders"],
    # After the kept cursor; the first time, from the earliest event.
    start=StartPosition(cursor=kept.read_text())
    if kept.exists()
    else StartPosition(edge=EDGE_EARLIEST),
    # Payloads are delivered in the newest 1.x, from any version they were written in.
    schema=SchemaSelection(accept=[AcceptedSchema(type="OrderPlaced", version="^1.0")]),
    consumer="billing",
)
for message in events.Subscribe(request):
    kind = message.WhichOneof("message")
    if kind == "batch":
        for it in message.batch.events:
            version = it.schema.delivered_version
            print(it.offset, it.event.type, version, it.event.text_data, flush=True)
    elif kind != "heartbeat":
        print(kind, flush=True)
    # Every message has a cursor. Keep it after the events before it are processed.
    next_one = kept.with_suffix(".new")
    next_one.write_text(getattr(message, kind).cursor)
    next_one.replace(kept)
