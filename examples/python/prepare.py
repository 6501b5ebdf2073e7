import sys
import grpc
from tidings.events.v1.topic_service_pb2 import CreateTopicRequest, Topic
from tidings.events.v1.topic_service_pb2_grpc import TopicServiceStub
from tidings.registry.v1.schema_pb2 import SCHEMA_FORMAT_JSON, Definition
from tidings.registry.v1.schema_registry_service_pb2 import RegisterSchemaRequest, SchemaDraft
from tidings.registry.v1.schema_registry_service_pb2_grpc import SchemaRegistryServiceStub

address = sys.argv[1] if len(sys.argv) > 1 else "localhost:7171"
channel = grpc.insecure_channel(address)
try:
    TopicServiceStub(channel).CreateTopic(CreateTopicRequest(topic=Topic(name="orders")))
except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.ALREADY_EXISTS:
        raise

schema = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}'
draft = SchemaDraft(
    subject="OrderPlaced", format=SCHEMA_FORMAT_JSON, definition=Definition(text=schema)
)
# Registering the same schema again returns its version.
response = SchemaRegistryServiceStub(channel).RegisterSchema(RegisterSchemaRequest(schema=draft))
print(response.schema.subject, response.schema.version)
