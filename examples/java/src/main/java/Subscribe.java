import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import tidings.events.v1.AcceptedSchema;
import tidings.events.v1.Edge;
import tidings.events.v1.EventServiceGrpc;
import tidings.events.v1.SchemaSelection;
import tidings.events.v1.StartPosition;
import tidings.events.v1.SubscribeRequest;
import tidings.events.v1.SubscribeResponse;

public class Subscribe {
  public static void main(String[] arguments) throws IOException {
    var address = arguments.length > 0 ? arguments[0] : "localhost:7171";
    var channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    var kept = Path.of("cursor");
    // After the kept cursor; the first time, from the earliest event.
    var start = StartPosition.newBuilder().setEdge(Edge.EDGE_EARLIEST);
    if (Files.exists(kept)) start.setCursor(Files.readString(kept));
    // Payloads are delivered in the newest 1.x, from any version they were written in.
    var accept = AcceptedSchema.newBuilder().setType("OrderPlaced").setVersion("^1.0");
    var request = SubscribeRequest.newBuilder().addTopics("orders").setStart(start)
        .setSchema(SchemaSelection.newBuilder().addAccept(accept)).setConsumer("billing").build();
    var messages = EventServiceGrpc.newBlockingStub(channel).subscribe(request);
    while (messages.hasNext()) {
      var message = messages.next();
      for (var it : message.getBatch().getEventsList()) {
        System.out.println(it.getOffset() + " " + it.getEvent().getType() + " " + it.getSchema().getDeliveredVersion()
            + " " + it.getEvent().getTextData());
      }
      if (message.hasCaughtUp()) System.out.println("caught up");
      // Every message has a cursor. Keep it after the events before it are processed.
      var next = Files.writeString(Path.of("cursor.new"), cursor(message));
      Files.move(next, kept, StandardCopyOption.ATOMIC_MOVE);
    }
  }

  static String cursor(SubscribeResponse message) {
    return switch (message.getMessageCase()) {
      case STARTED -> message.getStarted().getCursor();
      case BATCH -> message.getBatch().getCursor();
      case CAUGHT_UP -> message.getCaughtUp().getCursor();
      case FELL_BEHIND -> message.getFellBehind().getCursor();
      case HEARTBEAT -> message.getHeartbeat().getCursor();
      case GAP -> message.getGap().getCursor();
      case DRAINING -> message.getDraining().getCursor();
      case SCHEMA_CHANGED -> message.getSchemaChanged().getCursor();
      case MESSAGE_NOT_SET -> throw new IllegalStateException("a message that this program is too old for");
    };
  }
}
