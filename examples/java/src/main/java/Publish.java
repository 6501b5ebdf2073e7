import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import tidings.events.v1.Event;
import tidings.events.v1.EventServiceGrpc;
import tidings.events.v1.PublishRequest;

public class Publish {
  public static void main(String[] arguments) throws InvalidProtocolBufferException {
    var address = arguments.length > 0 ? arguments[0] : "localhost:7171";
    var channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    var events = EventServiceGrpc.newBlockingStub(channel);
    for (var payload : new String[] {"{\"total\": 12.5}", "{\"total\": \"many\"}"}) {
      // The same id and source is the same event: repeat a publish until it has a response.
      var event = Event.newBuilder().setId(UUID.randomUUID().toString()).setSource("/shop").setType("OrderPlaced")
          .setTextData(payload);
      var request = PublishRequest.newBuilder().setTopic("orders").addEvents(event).build();
      try {
        var result = events.withDeadlineAfter(10, TimeUnit.SECONDS).publish(request).getResults(0);
        System.out.println(
            "recorded at offset " + result.getOffset() + ", with schema version " + result.getSchemaVersion());
      } catch (StatusRuntimeException refused) {
        var details = StatusProto.fromThrowable(refused).getDetailsList();
        if (details.isEmpty()) throw refused; // Not from the server: it was not reached, or not in time.
        for (var detail : details) {
          if (detail.is(ErrorInfo.class)) {
            System.out.println("refused: " + detail.unpack(ErrorInfo.class).getReason());
          } else if (detail.is(BadRequest.class)) {
            for (var fault : detail.unpack(BadRequest.class).getFieldViolationsList()) {
              System.out.println("  " + fault.getField() + ": " + fault.getDescription());
            }
          }
        }
      }
    }
    channel.shutdownNow();
  }
}
