package tidings;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.BadRequest;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.ResourceInfo;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import shop.orders.v1.OrderPlaced;
import tidings.events.v1.AcceptedSchema;
import tidings.events.v1.Condition;
import tidings.events.v1.CreateTopicRequest;
import tidings.events.v1.Direction;
import tidings.events.v1.Durability;
import tidings.events.v1.Edge;
import tidings.events.v1.Event;
import tidings.events.v1.EventServiceGrpc;
import tidings.events.v1.EventView;
import tidings.events.v1.GetEventRequest;
import tidings.events.v1.GetTopicRequest;
import tidings.events.v1.KeyVersionCondition;
import tidings.events.v1.PublishRequest;
import tidings.events.v1.PublishResponse;
import tidings.events.v1.PublishResult;
import tidings.events.v1.ReadRequest;
import tidings.events.v1.RecordedEvent;
import tidings.events.v1.SchemaResolution;
import tidings.events.v1.SchemaSelection;
import tidings.events.v1.StartPosition;
import tidings.events.v1.SubscribeRequest;
import tidings.events.v1.SubscribeResponse;
import tidings.events.v1.SubscribeResponse.MessageCase;
import tidings.events.v1.Topic;
import tidings.events.v1.TopicServiceGrpc;
import tidings.registry.v1.Definition;
import tidings.registry.v1.GetSchemaRequest;
import tidings.registry.v1.Outcome;
import tidings.registry.v1.RegisterSchemaRequest;
import tidings.registry.v1.RegisterSchemaResponse;
import tidings.registry.v1.SchemaDraft;
import tidings.registry.v1.SchemaFormat;
import tidings.registry.v1.SchemaRegistryServiceGrpc;
import tidings.registry.v1.SubjectVersion;

/**
 * Runs every operation of a client once, with generated stubs: {@code Round ADDRESS PROTO}, where
 * PROTO is the definition of its payload. Prints a line for each step, and fails at an unexpected
 * result.
 */
public final class Round {
  private static final String TOPIC = "clients.java";
  private static final String NOTE = "shop.orders.NoteTaken";
  private static final String ORDER = "shop.orders.v1.OrderPlaced";
  private static final String NOTE_SCHEMA =
      """
      {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}, "stars": {"type": "integer"}}}""";
  private static final OrderPlaced FIRST =
      OrderPlaced.newBuilder().setNumber("1").setTotal((1L << 53) + 1).build();

  /** The timeout of every wait. */
  private static final int SECONDS_MAX = 20;

  private interface Step {
    void run() throws Exception;
  }

  private final TopicServiceGrpc.TopicServiceBlockingStub topics;
  private final EventServiceGrpc.EventServiceBlockingStub events;
  private final SchemaRegistryServiceGrpc.SchemaRegistryServiceBlockingStub registry;
  private final String order;
  private PublishResponse published;
  private final List<RecordedEvent> recorded = new ArrayList<>();

  private Round(ManagedChannel channel, String order) {
    topics = TopicServiceGrpc.newBlockingStub(channel);
    events = EventServiceGrpc.newBlockingStub(channel);
    registry = SchemaRegistryServiceGrpc.newBlockingStub(channel);
    this.order = order;
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create()).build();
    try {
      new Round(channel, Files.readString(Path.of(arguments[1]))).run();
    } finally {
      channel.shutdownNow().awaitTermination(SECONDS_MAX, TimeUnit.SECONDS);
    }
  }

  private void run() throws Exception {
    step("a topic is created", this::createTopic);
    step("a missing topic is NOT_FOUND, and the nearest one is named", this::missingTopic);
    step(
        "a JSON schema is registered",
        () -> register(NOTE, SchemaFormat.SCHEMA_FORMAT_JSON, NOTE_SCHEMA, "1.0.0"));
    step(
        "a Protobuf schema is registered",
        () -> register(ORDER, SchemaFormat.SCHEMA_FORMAT_PROTOBUF, order, "1.0.0"));
    step("a batch is published", this::publish);
    step("a duplicate is told so", this::publishAgain);
    step("an id with other content is refused", this::conflict);
    step("a condition that fails says what was found", this::condition);
    step("a wrong payload is refused with its place", this::wrongPayload);
    step("all faults of a batch come at once", this::allFaults);
    step("an Any of an unregistered type is refused", this::unregisteredAny);
    step("a subscription catches up, and a live event arrives", this::subscribe);
    step("a Protobuf payload comes back as the Any that it was", this::readAny);
    step("a cursor resumes exactly", this::resume);
    step("a stream that asks for ^1.0 is told of 1.1.0", this::negotiate);
    step("an event is converted for a reader of 1.0", this::convert);
    step("the schema can be read back", this::readSchema);
    step("a deadline ends the call", this::deadline);
  }

  private static void step(String name, Step step) throws Exception {
    try {
      step.run();
    } catch (Exception | AssertionError failed) {
      System.err.println(name + ": " + failed.getMessage());
      throw failed;
    }
    System.out.println("ok: " + name);
  }

  private EventServiceGrpc.EventServiceBlockingStub events() {
    return events.withDeadlineAfter(SECONDS_MAX, TimeUnit.SECONDS);
  }

  private void createTopic() {
    Topic topic = Topic.newBuilder().setName(TOPIC).build();
    Topic created = topics.createTopic(CreateTopicRequest.newBuilder().setTopic(topic).build()).getTopic();
    equal("name", created.getName(), TOPIC);
  }

  private void missingTopic() throws Exception {
    GetTopicRequest request = GetTopicRequest.newBuilder().setName("clients.jave").build();
    Refusal refusal = Refusal.of(() -> topics.getTopic(request));
    equal("code", refusal.code(), Status.Code.NOT_FOUND);
    equal("reason", refusal.info().getReason(), "TOPIC_NOT_FOUND");
    equal("nearest", refusal.info().getMetadataMap().get("nearest"), TOPIC);
    ResourceInfo resource = refusal.detail(ResourceInfo.class);
    equal("resource", resource.getResourceType() + " " + resource.getResourceName(), "topic clients.jave");
  }

  private void register(String subject, SchemaFormat format, String text, String version) {
    SchemaDraft draft =
        SchemaDraft.newBuilder()
            .setSubject(subject)
            .setFormat(format)
            .setDefinition(Definition.newBuilder().setText(text))
            .build();
    RegisterSchemaResponse response =
        registry.registerSchema(RegisterSchemaRequest.newBuilder().setSchema(draft).build());
    equal("version", response.getSchema().getVersion(), version);
    equal("outcome", response.getOutcome(), Outcome.OUTCOME_REGISTERED);
  }

  /** A JSON payload, as text: integers keep their value, whatever their size. */
  private static Event.Builder note(String id, String payload) {
    return Event.newBuilder()
        .setId(id)
        .setSource("/java")
        .setType(NOTE)
        .setSubject("o-1")
        .setDatacontenttype("application/json")
        .setTextData(payload);
  }

  /** A Protobuf payload, as its own type. */
  private static Event.Builder placed(String id, OrderPlaced order) {
    return Event.newBuilder()
        .setId(id)
        .setSource("/java")
        .setType(ORDER)
        .setSubject("o-2")
        .setProtoData(Any.pack(order));
  }

  private static PublishRequest.Builder batch(Event.Builder... all) {
    PublishRequest.Builder request = PublishRequest.newBuilder().setTopic(TOPIC);
    for (Event.Builder event : all) {
      request.addEvents(event);
    }
    return request;
  }

  private static PublishRequest firstBatch() {
    return batch(
            note("n-1", "{\"text\": \"ready\"}"),
            placed("o-1", FIRST),
            note("n-2", "{\"text\": \"set\", \"stars\": 3}"))
        .build();
  }

  private void publish() {
    published = events().publish(firstBatch());
    equal("results", published.getResultsCount(), 3);
    for (int n = 0; n < 3; n++) {
      PublishResult result = published.getResults(n);
      equal("offset", result.getOffset(), (long) n);
      equal("key version", result.getKeyVersion(), List.of(1L, 1L, 2L).get(n));
      equal("schema version", result.getSchemaVersion(), "1.0.0");
      equal("durability", result.getDurability(), Durability.DURABILITY_SYNCED);
    }
  }

  private void publishAgain() {
    PublishResponse again = events().publish(firstBatch());
    equal("results", again.getResultsCount(), 3);
    for (int n = 0; n < 3; n++) {
      equal("duplicate", again.getResults(n).getDuplicate(), true);
      equal("first place", again.getResults(n).getCursor(), published.getResults(n).getCursor());
    }
  }

  private Refusal refused(PublishRequest.Builder request) throws Exception {
    return Refusal.of(() -> events().publish(request.build()));
  }

  private void conflict() throws Exception {
    Refusal refusal = refused(batch(note("n-1", "{\"text\": \"other\"}")));
    equal("code", refusal.code(), Status.Code.ALREADY_EXISTS);
    equal("reason", refusal.info().getReason(), "EVENT_ID_CONFLICT");
  }

  private static Condition keyVersion(String key, long version) {
    KeyVersionCondition condition =
        KeyVersionCondition.newBuilder().setKey(key).setVersion(version).build();
    return Condition.newBuilder().setKeyVersion(condition).build();
  }

  private void condition() throws Exception {
    Refusal refusal =
        refused(
            batch(note("n-3", "{\"text\": \"go\"}"))
                .addConditions(keyVersion("o-1", 1))
                .addConditions(keyVersion("o-2", 0)));
    equal("code", refusal.code(), Status.Code.ABORTED);
    equal("reason", refusal.info().getReason(), "KEY_VERSION_MISMATCH");
    equal("expected", refusal.info().getMetadataMap().get("expected"), "1");
    equal("actual", refusal.info().getMetadataMap().get("actual"), "2");
    List<String> failed =
        refusal.detail(PreconditionFailure.class).getViolationsList().stream()
            .map(it -> it.getType() + " " + it.getSubject())
            .toList();
    equal(
        "violations",
        failed,
        List.of(
            "KEY_VERSION_MISMATCH topics/clients.java/keys/o-1",
            "KEY_VERSION_MISMATCH topics/clients.java/keys/o-2"));
  }

  private void refusedAt(PublishRequest.Builder request, String... places) throws Exception {
    Refusal refusal = refused(request);
    equal("code", refusal.code(), Status.Code.INVALID_ARGUMENT);
    equal("reason", refusal.info().getReason(), "PAYLOAD_INVALID");
    List<String> found =
        refusal.detail(BadRequest.class).getFieldViolationsList().stream()
            .map(BadRequest.FieldViolation::getField)
            .toList();
    equal("places", found, List.of(places));
  }

  private void wrongPayload() throws Exception {
    refusedAt(batch(note("n-3", "{\"text\": 7}")), "events[0].text_data/text");
  }

  private void allFaults() throws Exception {
    refusedAt(
        batch(note("n-3", "{\"text\": \"go\", \"stars\": \"many\"}"), note("n-4", "{\"stars\": 1}")),
        "events[0].text_data/stars",
        "events[1].text_data");
  }

  private void unregisteredAny() throws Exception {
    Event.Builder event =
        Event.newBuilder()
            .setId("a-1")
            .setSource("/java")
            .setType("shop.orders.v1.Unheard")
            .setProtoData(Any.pack(Duration.newBuilder().setSeconds(3).build()));
    Refusal refusal = refused(batch(event));
    equal("code", refusal.code(), Status.Code.FAILED_PRECONDITION);
    equal("reason", refusal.info().getReason(), "SCHEMA_REQUIRED");
  }

  /** An open subscription. Closing it cancels the call. */
  private final class Stream implements AutoCloseable {
    private final Context.CancellableContext context = Context.current().withCancellation();
    private final Iterator<SubscribeResponse> messages;

    Stream(SubscribeRequest.Builder request) throws Exception {
      SubscribeRequest complete = request.addTopics(TOPIC).build();
      messages = context.call(() -> events().subscribe(complete));
    }

    SubscribeResponse next(MessageCase kind) {
      SubscribeResponse message = messages.next();
      equal("message", message.getMessageCase(), kind);
      return message;
    }

    List<RecordedEvent> take(int count) {
      List<RecordedEvent> taken = new ArrayList<>();
      while (taken.size() < count) {
        taken.addAll(next(MessageCase.BATCH).getBatch().getEventsList());
      }
      return taken;
    }

    @Override
    public void close() {
      context.cancel(null);
    }
  }

  private void subscribe() throws Exception {
    StartPosition earliest = StartPosition.newBuilder().setEdge(Edge.EDGE_EARLIEST).build();
    try (Stream stream = new Stream(SubscribeRequest.newBuilder().setStart(earliest))) {
      SubscribeResponse started = stream.next(MessageCase.STARTED);
      equal("next offset", started.getStarted().getTopics(0).getNextOffset(), 3L);
      recorded.addAll(stream.take(3));
      stream.next(MessageCase.CAUGHT_UP);
      events().publish(batch(note("n-5", "{\"text\": \"live\"}")).build());
      recorded.addAll(stream.take(1));
    }
    List<String> ids = recorded.stream().map(it -> it.getEvent().getId()).toList();
    equal("ids", ids, List.of("n-1", "o-1", "n-2", "n-5"));
  }

  private void readAny() throws Exception {
    GetEventRequest request =
        GetEventRequest.newBuilder().setTopic(TOPIC).setOffset(1).setView(EventView.EVENT_VIEW_ANY).build();
    Event event = events().getEvent(request).getEvent().getEvent();
    equal("payload", event.getProtoData().unpack(OrderPlaced.class), FIRST);
  }

  /** A stream that resumes after any of the events delivers exactly the rest. */
  private void resume() throws Exception {
    for (int n = 0; n < recorded.size(); n++) {
      StartPosition behind = StartPosition.newBuilder().setCursor(recorded.get(n).getCursor()).build();
      try (Stream stream = new Stream(SubscribeRequest.newBuilder().setStart(behind))) {
        stream.next(MessageCase.STARTED);
        List<RecordedEvent> rest = recorded.subList(n + 1, recorded.size());
        equal(
            "events behind offset " + n,
            stream.take(rest.size()).stream().map(RecordedEvent::getEvent).toList(),
            rest.stream().map(RecordedEvent::getEvent).toList());
        stream.next(MessageCase.CAUGHT_UP);
      }
    }
  }

  private static SchemaSelection accepting(String version) {
    AcceptedSchema accepted = AcceptedSchema.newBuilder().setType(ORDER).setVersion(version).build();
    return SchemaSelection.newBuilder().addAccept(accepted).build();
  }

  private void negotiate() throws Exception {
    try (Stream stream = new Stream(SubscribeRequest.newBuilder().setSchema(accepting("^1.0")))) {
      SubscribeResponse started = stream.next(MessageCase.STARTED);
      equal("negotiated", started.getStarted().getSchemas(0).getVersion(), "1.0.0");
      stream.next(MessageCase.CAUGHT_UP);

      // The producer changes to version 1.1.0.
      String newer = order.replace("int64 total = 2;", "int64 total = 2; string currency = 3;");
      register(ORDER, SchemaFormat.SCHEMA_FORMAT_PROTOBUF, newer, "1.1.0");
      Event.Builder event =
          note("o-3", "{\"number\": \"3\", \"total\": \"30\", \"currency\": \"EUR\"}")
              .setType(ORDER)
              .setSubject("o-2");
      PublishResponse response = events().publish(batch(event).build());
      equal("schema version", response.getResults(0).getSchemaVersion(), "1.1.0");
      SubscribeResponse changed = stream.next(MessageCase.SCHEMA_CHANGED);
      equal("changed", changed.getSchemaChanged().getSchema().getVersion(), "1.1.0");
      SchemaResolution schema = stream.take(1).get(0).getSchema();
      equal("written", schema.getWriterVersion(), "1.1.0");
      equal("delivered", schema.getDeliveredVersion(), "1.1.0");
    }
  }

  private void convert() throws Exception {
    ReadRequest request =
        ReadRequest.newBuilder()
            .addTopics(TOPIC)
            .setKey("o-2")
            .setDirection(Direction.DIRECTION_BACKWARD)
            .setMaxEvents(1)
            .setSchema(accepting("~1.0"))
            .build();
    List<RecordedEvent> read = new ArrayList<>();
    events().read(request).forEachRemaining(it -> read.addAll(it.getBatch().getEventsList()));
    equal("events", read.size(), 1);
    SchemaResolution schema = read.get(0).getSchema();
    equal("written", schema.getWriterVersion(), "1.1.0");
    equal("delivered", schema.getDeliveredVersion(), "1.0.0");
    equal("converted", schema.getConverted(), true);
    // Equality also means that there are no fields that are unknown in 1.0.
    OrderPlaced expected = OrderPlaced.newBuilder().setNumber("3").setTotal(30).build();
    equal("payload", OrderPlaced.parseFrom(read.get(0).getEvent().getBinaryData()), expected);
  }

  private void readSchema() {
    SubjectVersion wanted = SubjectVersion.newBuilder().setSubject(NOTE).setVersion("1.0.0").build();
    GetSchemaRequest request = GetSchemaRequest.newBuilder().setSubjectVersion(wanted).build();
    equal("definition", registry.getSchema(request).getSchema().getDefinition().getText(), NOTE_SCHEMA);
  }

  private void deadline() {
    SubscribeRequest request = SubscribeRequest.newBuilder().addTopics(TOPIC).build();
    try {
      events.withDeadlineAfter(1, TimeUnit.SECONDS).subscribe(request).forEachRemaining(it -> {});
    } catch (StatusRuntimeException ended) {
      equal("code", ended.getStatus().getCode(), Status.Code.DEADLINE_EXCEEDED);
      return;
    }
    throw new AssertionError("the stream ended by itself");
  }

  private static void equal(String what, Object found, Object expected) {
    if (!expected.equals(found)) {
      throw new AssertionError(what + ": expected " + expected + ", found " + found);
    }
  }
}
