import json
import sys
import uuid
import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from tidings.events.v1.event_pb2 import Event
from tidings.events.v1.event_service_pb2 import PublishRequest
from tidings.events.v1.event_service_pb2_grpc import EventServiceStub

address = sys.argv[1] if len(sys.argv) > 1 else "localhost:7171"
events = EventServiceStub(grpc.insecure_channel(address))


def publish(payload):
    # The same id and source is the same event: repeat a publish until it has a response.
    event = Event(
        id=str(uuid.uuid4()), source="/shop", type="OrderPlaced", text_data=json.dumps(payload)
    )
    request = PublishRequest(topic="orders", events=[event])
    (result,) = events.Publish(request, timeout=10).results
    print(f"recorded at offset {result.offset}, with schema version {result.schema_version}")


publish({"total": 12.5})
try:
    publish({"total": "many"})
except grpc.RpcError as error:
    status = rpc_status.from_call(error)
    if status is None:  # Not from the server: it was not reached, or not in time.
        raise
    info, request = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(request)
    print("refused:", info.reason)
    for fault in request.field_violations:
        print(f"  {fault.field}: {fault.description}")
