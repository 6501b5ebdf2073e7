import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import tidings.events.v1.CreateTopicRequest;
import tidings.events.v1.Topic;
import tidings.events.v1.TopicServiceGrpc;
import tidings.registry.v1.Definition;
import tidings.registry.v1.RegisterSchemaRequest;
import tidings.registry.v1.Schema;
import tidings.registry.v1.SchemaDraft;
import tidings.registry.v1.SchemaFormat;
import tidings.registry.v1.SchemaRegistryServiceGrpc;

public class Prepare {
  public static void main(String[] arguments) {
    var address = arguments.length > 0 ? arguments[0] : "localhost:7171";
    var channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    var topic = Topic.newBuilder().setName("orders").build();
    try {
      TopicServiceGrpc.newBlockingStub(channel).createTopic(CreateTopicRequest.newBuilder().setTopic(topic).build());
    } catch (StatusRuntimeException error) {
      if (error.getStatus().getCode() != Status.Code.ALREADY_EXISTS) throw error;
    }
    var text = "{\"type\": \"object\", \"properties\": {\"total\": {\"type\": \"number\"}}, \"required\": [\"total\"]}";
    var draft = SchemaDraft.newBuilder().setSubject("OrderPlaced").setFormat(SchemaFormat.SCHEMA_FORMAT_JSON)
        .setDefinition(Definition.newBuilder().setText(text));
    // Registering the same schema again returns its version.
    Schema schema = SchemaRegistryServiceGrpc.newBlockingStub(channel)
        .registerSchema(RegisterSchemaRequest.newBuilder().setSchema(draft).build()).getSchema();
    System.out.println(schema.getSubject() + " " + schema.getVersion());
    channel.shutdownNow();
  }
}
