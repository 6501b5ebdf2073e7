package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	orders "tidings.example/client/stubs/shop/orders/v1"
	events "tidings.example/client/stubs/tidings/events/v1"
	schemas "tidings.example/client/stubs/tidings/registry/v1"
)

const (
	roundTopic = "clients.round.go"
	noteType   = "shop.orders.NoteTaken"
	orderType  = "shop.orders.v1.OrderPlaced"
	noteSchema = `{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}, "stars": {"type": "integer"}}}`
)

// State that one step passes to the next.
type round struct {
	topics    events.TopicServiceClient
	events    events.EventServiceClient
	registry  schemas.SchemaRegistryServiceClient
	order     string // the .proto that the stubs of the payload were generated from
	published *events.PublishResponse
	recorded  []*events.RecordedEvent
}

// Runs every operation of a client once.
func goRound(ctx context.Context, address, orderProto string) error {
	order, err := os.ReadFile(orderProto)
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	it := &round{
		topics:   events.NewTopicServiceClient(connection),
		events:   events.NewEventServiceClient(connection),
		registry: schemas.NewSchemaRegistryServiceClient(connection),
		order:    string(order),
	}
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"a topic is created", it.createTopic},
		{"a missing topic is NOT_FOUND, and the nearest one is named", it.missingTopic},
		{"a JSON schema is registered", it.registerJSON},
		{"a Protobuf schema is registered", it.registerProtobuf},
		{"a batch is published", it.publish},
		{"a duplicate is told so", it.publishAgain},
		{"an id with other content is refused", it.conflict},
		{"a condition that fails says what was found", it.condition},
		{"a wrong payload is refused with its place", it.wrongPayload},
		{"all faults of a batch come at once", it.allFaults},
		{"an Any of an unregistered type is refused", it.unregisteredAny},
		{"a subscription catches up, and a live event arrives", it.subscribe},
		{"a Protobuf payload comes back as the Any that it was", it.readAny},
		{"a cursor resumes exactly", it.resume},
		{"a stream that asks for ^1.0 is told of 1.1.0", it.negotiate},
		{"an event is converted for a reader of 1.0", it.convert},
		{"the schema can be read back", it.readSchema},
		{"a deadline ends the call", it.deadline},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("ok:", step.name)
	}
	return nil
}

func (it *round) createTopic(ctx context.Context) error {
	response, err := it.topics.CreateTopic(ctx, &events.CreateTopicRequest{Topic: &events.Topic{Name: roundTopic}})
	if err != nil {
		return err
	}
	return equal("name", response.GetTopic().GetName(), roundTopic)
}

func (it *round) missingTopic(ctx context.Context) error {
	_, err := it.topics.GetTopic(ctx, &events.GetTopicRequest{Name: "clients.round.goo"})
	refusal := refusalOf(err)
	return errors.Join(
		equal("code", refusal.code, codes.NotFound),
		equal("reason", refusal.info.GetReason(), "TOPIC_NOT_FOUND"),
		equal("nearest", refusal.info.GetMetadata()["nearest"], roundTopic),
		equal("resource", refusal.resource.GetResourceType()+" "+refusal.resource.GetResourceName(), "topic clients.round.goo"),
	)
}

func (it *round) register(ctx context.Context, subject string, format schemas.SchemaFormat, text, version string) error {
	response, err := it.registry.RegisterSchema(ctx, &schemas.RegisterSchemaRequest{Schema: &schemas.SchemaDraft{
		Subject:    subject,
		Format:     format,
		Definition: &schemas.Definition{Form: &schemas.Definition_Text{Text: text}},
	}})
	if err != nil {
		return err
	}
	return errors.Join(
		equal("version", response.GetSchema().GetVersion(), version),
		equal("outcome", response.GetOutcome(), schemas.Outcome_OUTCOME_REGISTERED),
	)
}

func (it *round) registerJSON(ctx context.Context) error {
	return it.register(ctx, noteType, schemas.SchemaFormat_SCHEMA_FORMAT_JSON, noteSchema, "1.0.0")
}

func (it *round) registerProtobuf(ctx context.Context) error {
	return it.register(ctx, orderType, schemas.SchemaFormat_SCHEMA_FORMAT_PROTOBUF, it.order, "1.0.0")
}

// A JSON payload, as text: integers keep their value, whatever their size.
func note(id, payload string) *events.Event {
	return &events.Event{
		Id: id, Source: "/go", Type: noteType, Subject: "o-1", Datacontenttype: "application/json",
		Payload: &events.Event_TextData{TextData: payload},
	}
}

// A Protobuf payload, as its own type.
func placed(id string, order *orders.OrderPlaced) *events.Event {
	payload, err := anypb.New(order)
	if err != nil {
		panic(err) // a generated message can be written
	}
	return &events.Event{
		Id: id, Source: "/go", Type: orderType, Subject: "o-2",
		Payload: &events.Event_ProtoData{ProtoData: payload},
	}
}

func batchOf(all ...*events.Event) *events.PublishRequest {
	return &events.PublishRequest{Topic: roundTopic, Events: all}
}

var firstOrder = &orders.OrderPlaced{Number: "1", Total: 1<<53 + 1}

func firstBatch() *events.PublishRequest {
	return batchOf(note("n-1", `{"text": "ready"}`), placed("o-1", firstOrder), note("n-2", `{"text": "set", "stars": 3}`))
}

func (it *round) publish(ctx context.Context) (err error) {
	if it.published, err = it.events.Publish(ctx, firstBatch()); err != nil {
		return err
	}
	if err := equal("results", len(it.published.GetResults()), 3); err != nil {
		return err
	}
	for n, result := range it.published.GetResults() {
		err = errors.Join(err,
			equal("offset", result.GetOffset(), uint64(n)),
			equal("key version", result.GetKeyVersion(), []uint64{1, 1, 2}[n]),
			equal("schema version", result.GetSchemaVersion(), "1.0.0"),
			equal("durability", result.GetDurability(), events.Durability_DURABILITY_SYNCED),
		)
	}
	return err
}

func (it *round) publishAgain(ctx context.Context) error {
	again, err := it.events.Publish(ctx, firstBatch())
	if err != nil {
		return err
	}
	for n, result := range again.GetResults() {
		err = errors.Join(err,
			equal("duplicate", result.GetDuplicate(), true),
			equal("first place", result.GetCursor(), it.published.GetResults()[n].GetCursor()),
		)
	}
	return err
}

func (it *round) conflict(ctx context.Context) error {
	_, err := it.events.Publish(ctx, batchOf(note("n-1", `{"text": "other"}`)))
	return refused(err, codes.AlreadyExists, events.ErrorReason_ERROR_REASON_EVENT_ID_CONFLICT)
}

func keyVersion(key string, version uint64) *events.Condition {
	condition := &events.KeyVersionCondition{Key: key, Version: proto.Uint64(version)}
	return &events.Condition{Kind: &events.Condition_KeyVersion{KeyVersion: condition}}
}

func (it *round) condition(ctx context.Context) error {
	request := batchOf(note("n-3", `{"text": "go"}`))
	request.Conditions = []*events.Condition{keyVersion("o-1", 1), keyVersion("o-2", 0)}
	_, err := it.events.Publish(ctx, request)
	refusal := refusalOf(err)
	var failed []string
	for _, violation := range refusal.precondition.GetViolations() {
		failed = append(failed, violation.GetType()+" "+violation.GetSubject())
	}
	return errors.Join(
		equal("code", refusal.code, codes.Aborted),
		equal("reason", refusal.info.GetReason(), "KEY_VERSION_MISMATCH"),
		equal("expected", refusal.info.GetMetadata()["expected"], "1"),
		equal("actual", refusal.info.GetMetadata()["actual"], "2"),
		equal("violations", strings.Join(failed, ", "), "KEY_VERSION_MISMATCH topics/clients.round.go/keys/o-1, "+
			"KEY_VERSION_MISMATCH topics/clients.round.go/keys/o-2"),
	)
}

// The payload is refused with violations at these fields.
func (it *round) refusedAt(ctx context.Context, request *events.PublishRequest, places ...string) error {
	_, err := it.events.Publish(ctx, request)
	refusal := refusalOf(err)
	var found []string
	for _, violation := range refusal.fields.GetFieldViolations() {
		found = append(found, violation.GetField())
	}
	return errors.Join(
		equal("code", refusal.code, codes.InvalidArgument),
		equal("reason", refusal.info.GetReason(), "PAYLOAD_INVALID"),
		equal("places", strings.Join(found, ", "), strings.Join(places, ", ")),
	)
}

func (it *round) wrongPayload(ctx context.Context) error {
	return it.refusedAt(ctx, batchOf(note("n-3", `{"text": 7}`)), "events[0].text_data/text")
}

func (it *round) allFaults(ctx context.Context) error {
	return it.refusedAt(ctx, batchOf(note("n-3", `{"text": "go", "stars": "many"}`), note("n-4", `{"stars": 1}`)),
		"events[0].text_data/stars", "events[1].text_data")
}

func (it *round) unregisteredAny(ctx context.Context) error {
	payload, err := anypb.New(durationpb.New(3 * time.Second))
	if err != nil {
		return err
	}
	event := &events.Event{Id: "a-1", Source: "/go", Type: "shop.orders.v1.Unheard"}
	event.Payload = &events.Event_ProtoData{ProtoData: payload}
	_, err = it.events.Publish(ctx, batchOf(event))
	return refused(err, codes.FailedPrecondition, events.ErrorReason_ERROR_REASON_SCHEMA_REQUIRED)
}

func earliest() *events.StartPosition {
	return &events.StartPosition{Position: &events.StartPosition_Edge{Edge: events.Edge_EDGE_EARLIEST}}
}

// Reads events until there are `count`.
func receive(stream grpc.ServerStreamingClient[events.SubscribeResponse], count int) ([]*events.RecordedEvent, error) {
	var received []*events.RecordedEvent
	for len(received) < count {
		message, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if message.GetBatch() == nil {
			return nil, fmt.Errorf("expected a batch, found %v", message)
		}
		received = append(received, message.GetBatch().GetEvents()...)
	}
	return received, nil
}

func caughtUp(stream grpc.ServerStreamingClient[events.SubscribeResponse]) error {
	message, err := stream.Recv()
	if err == nil && message.GetCaughtUp() == nil {
		err = fmt.Errorf("expected caughtUp, found %v", message)
	}
	return err
}

// Opens a subscription; its first message says where it starts.
func (it *round) open(ctx context.Context, request *events.SubscribeRequest) (
	grpc.ServerStreamingClient[events.SubscribeResponse], *events.SubscribeStarted, error,
) {
	request.Topics = []string{roundTopic}
	stream, err := it.events.Subscribe(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	message, err := stream.Recv()
	if err == nil && message.GetStarted() == nil {
		err = fmt.Errorf("expected started, found %v", message)
	}
	return stream, message.GetStarted(), err
}

func (it *round) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, started, err := it.open(ctx, &events.SubscribeRequest{Start: earliest()})
	if err != nil {
		return err
	}
	if err := equal("next offset", started.GetTopics()[0].GetNextOffset(), 3); err != nil {
		return err
	}
	if it.recorded, err = receive(stream, 3); err != nil {
		return err
	}
	if err := caughtUp(stream); err != nil {
		return err
	}
	if _, err := it.events.Publish(ctx, batchOf(note("n-5", `{"text": "live"}`))); err != nil {
		return err
	}
	live, err := receive(stream, 1)
	if err != nil {
		return err
	}
	it.recorded = append(it.recorded, live...)
	var ids []string
	for _, recorded := range it.recorded {
		ids = append(ids, recorded.GetEvent().GetId())
	}
	return equal("ids", strings.Join(ids, " "), "n-1 o-1 n-2 n-5")
}

func (it *round) readAny(ctx context.Context) error {
	response, err := it.events.GetEvent(ctx, &events.GetEventRequest{
		Topic: roundTopic, By: &events.GetEventRequest_Offset{Offset: 1}, View: events.EventView_EVENT_VIEW_ANY,
	})
	if err != nil {
		return err
	}
	order := &orders.OrderPlaced{}
	if err := response.GetEvent().GetEvent().GetProtoData().UnmarshalTo(order); err != nil {
		return err
	}
	return equal("payload", order.String(), firstOrder.String())
}

// A stream that resumes after any of the events delivers exactly the rest.
func (it *round) resume(ctx context.Context) error {
	for n, event := range it.recorded {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		start := &events.StartPosition{Position: &events.StartPosition_Cursor{Cursor: event.GetCursor()}}
		stream, _, err := it.open(ctx, &events.SubscribeRequest{Start: start})
		if err != nil {
			return err
		}
		rest, err := receive(stream, len(it.recorded)-n-1)
		if err != nil {
			return err
		}
		same := slices.EqualFunc(rest, it.recorded[n+1:], func(a, b *events.RecordedEvent) bool {
			return a.GetOffset() == b.GetOffset() && proto.Equal(a.GetEvent(), b.GetEvent())
		})
		if !same {
			return fmt.Errorf("behind offset %d came %v", event.GetOffset(), rest)
		}
		if err := caughtUp(stream); err != nil {
			return err
		}
		cancel()
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			return fmt.Errorf("a cancelled stream ended with %v", err)
		}
	}
	return nil
}

func accepting(version string) *events.SchemaSelection {
	return &events.SchemaSelection{Accept: []*events.AcceptedSchema{{Type: orderType, Version: version}}}
}

func (it *round) negotiate(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, started, err := it.open(ctx, &events.SubscribeRequest{Schema: accepting("^1.0")})
	if err != nil {
		return err
	}
	err = errors.Join(equal("negotiated", started.GetSchemas()[0].GetVersion(), "1.0.0"), caughtUp(stream))
	if err != nil {
		return err
	}
	// The producer changes to version 1.1.0.
	newer := strings.Replace(it.order, "int64 total = 2;", "int64 total = 2; string currency = 3;", 1)
	if err := it.register(ctx, orderType, schemas.SchemaFormat_SCHEMA_FORMAT_PROTOBUF, newer, "1.1.0"); err != nil {
		return err
	}
	event := note("o-3", `{"number": "3", "total": "30", "currency": "EUR"}`)
	event.Type, event.Subject = orderType, "o-2"
	response, err := it.events.Publish(ctx, batchOf(event))
	if err != nil {
		return err
	}
	if err := equal("schema version", response.GetResults()[0].GetSchemaVersion(), "1.1.0"); err != nil {
		return err
	}
	message, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := equal("changed", message.GetSchemaChanged().GetSchema().GetVersion(), "1.1.0"); err != nil {
		return fmt.Errorf("%w in %v", err, message)
	}
	received, err := receive(stream, 1)
	if err != nil {
		return err
	}
	schema := received[0].GetSchema()
	return errors.Join(equal("written", schema.GetWriterVersion(), "1.1.0"), equal("delivered", schema.GetDeliveredVersion(), "1.1.0"))
}

func (it *round) convert(ctx context.Context) error {
	stream, err := it.events.Read(ctx, &events.ReadRequest{
		Topics: []string{roundTopic}, Key: "o-2", Direction: events.Direction_DIRECTION_BACKWARD, MaxEvents: 1,
		Schema: accepting("~1.0"),
	})
	if err != nil {
		return err
	}
	var read []*events.RecordedEvent
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		read = append(read, response.GetBatch().GetEvents()...)
	}
	if err := equal("events", len(read), 1); err != nil {
		return err
	}
	order := &orders.OrderPlaced{}
	if err := proto.Unmarshal(read[0].GetEvent().GetBinaryData(), order); err != nil {
		return err
	}
	schema := read[0].GetSchema()
	return errors.Join(
		equal("written", schema.GetWriterVersion(), "1.1.0"),
		equal("delivered", schema.GetDeliveredVersion(), "1.0.0"),
		equal("converted", schema.GetConverted(), true),
		equal("payload", order.String(), (&orders.OrderPlaced{Number: "3", Total: 30}).String()),
		equal("bytes that 1.0 does not know", len(order.ProtoReflect().GetUnknown()), 0),
	)
}

func (it *round) readSchema(ctx context.Context) error {
	response, err := it.registry.GetSchema(ctx, &schemas.GetSchemaRequest{By: &schemas.GetSchemaRequest_SubjectVersion{
		SubjectVersion: &schemas.SubjectVersion{Subject: noteType, Version: "1.0.0"},
	}})
	if err != nil {
		return err
	}
	return equal("definition", response.GetSchema().GetDefinition().GetText(), noteSchema)
}

func (it *round) deadline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, _, err := it.open(ctx, &events.SubscribeRequest{})
	if err != nil {
		return err
	}
	for err == nil {
		_, err = stream.Recv()
	}
	return equal("code", status.Code(err), codes.DeadlineExceeded)
}

// A status with its details.
type refusal struct {
	code         codes.Code
	info         *errdetails.ErrorInfo
	fields       *errdetails.BadRequest
	precondition *errdetails.PreconditionFailure
	resource     *errdetails.ResourceInfo
}

func refusalOf(err error) refusal {
	found := status.Convert(err)
	it := refusal{code: found.Code()}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			it.info = detail
		case *errdetails.BadRequest:
			it.fields = detail
		case *errdetails.PreconditionFailure:
			it.precondition = detail
		case *errdetails.ResourceInfo:
			it.resource = detail
		}
	}
	return it
}
