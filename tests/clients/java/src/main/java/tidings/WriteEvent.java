package tidings;

import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.protobuf.ProtobufFormat;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;

/** Writes one event, in the CloudEvents Protobuf format, to the file given as the argument. */
public final class WriteEvent {
  public static void main(String[] arguments) throws IOException {
    CloudEvent event =
        CloudEventBuilder.v1()
            .withId("java-1")
            .withSource(URI.create("https://shop.example/java"))
            .withType("shop.orders.v1.OrderPlaced")
            .withSubject("order-77")
            .withTime(OffsetDateTime.parse("2026-11-02T09:30:00.25Z"))
            .withDataSchema(URI.create("https://shop.example/schemas/order"))
            .withData("application/json", "{\"total\":4200}".getBytes(StandardCharsets.UTF_8))
            .withExtension("partitionkey", "order-77")
            .withExtension("correlationid", "flow-77")
            .withExtension("region", "eu-north")
            .withExtension("attempt", 3)
            .withExtension("priority", true)
            .build();
    Files.write(Path.of(arguments[0]), new ProtobufFormat().serialize(event));
  }
}
