package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	format "github.com/cloudevents/sdk-go/binding/format/protobuf/v2"
	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	events "tidings.example/client/stubs/tidings/events/v1"
)

const topic = "clients.go"

type client struct {
	topics events.TopicServiceClient
	events events.EventServiceClient
}

func walk(ctx context.Context, address string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	it := client{events.NewTopicServiceClient(connection), events.NewEventServiceClient(connection)}

	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"a missing topic is NOT_FOUND with its reason", it.missingTopic},
		{"a topic is created", it.createTopic},
		{"a batch is published", it.publish},
		{"the same batch again appends nothing", it.publishAgain},
		{"a reused id with other content is refused", it.conflict},
		{"a subscription resumes from a cursor", it.resume},
		{"the SDK reads back what the SDK wrote", it.sdkRoundTrip},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("ok:", step.name)
	}
	return nil
}

func (it client) missingTopic(ctx context.Context) error {
	_, err := it.topics.GetTopic(ctx, &events.GetTopicRequest{Name: "clients.nowhere"})
	return refused(err, codes.NotFound, events.ErrorReason_ERROR_REASON_TOPIC_NOT_FOUND)
}

func (it client) createTopic(ctx context.Context) error {
	request := &events.CreateTopicRequest{Topic: &events.Topic{Name: topic}}
	response, err := it.topics.CreateTopic(ctx, request)
	if err != nil {
		return err
	}
	return equal("name", response.GetTopic().GetName(), topic)
}

func batch() *events.PublishRequest {
	request := &events.PublishRequest{Topic: topic}
	for n := range 5 {
		request.Events = append(request.Events, &events.Event{
			Id:           fmt.Sprintf("walk-%d", n),
			Source:       "https://shop.example/go",
			Type:         "shop.orders.v1.OrderPlaced",
			Partitionkey: "order-1",
			Payload:      &events.Event_TextData{TextData: fmt.Sprintf(`{"line":%d}`, n)},
		})
	}
	return request
}

func (it client) publish(ctx context.Context) error {
	return it.publishExpecting(ctx, false)
}

func (it client) publishAgain(ctx context.Context) error {
	return it.publishExpecting(ctx, true)
}

func (it client) publishExpecting(ctx context.Context, duplicate bool) error {
	response, err := it.events.Publish(ctx, batch())
	if err != nil {
		return err
	}
	if err := equal("results", len(response.GetResults()), 5); err != nil {
		return err
	}
	for n, result := range response.GetResults() {
		err := errors.Join(
			equal("offset", result.GetOffset(), uint64(n)),
			equal("key version", result.GetKeyVersion(), uint64(n+1)),
			equal("duplicate", result.GetDuplicate(), duplicate),
			equal("durability", result.GetDurability(), events.Durability_DURABILITY_SYNCED),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func (it client) conflict(ctx context.Context) error {
	request := batch()
	request.Events = request.Events[:1]
	request.Events[0].Payload = &events.Event_TextData{TextData: `{"line":100}`}
	_, err := it.events.Publish(ctx, request)
	return refused(err, codes.AlreadyExists, events.ErrorReason_ERROR_REASON_EVENT_ID_CONFLICT)
}

// A read after the cursor of any event delivers exactly the rest.
func (it client) resume(ctx context.Context) error {
	edge := &events.StartPosition_Edge{Edge: events.Edge_EDGE_EARLIEST}
	all, err := it.catchUp(ctx, &events.StartPosition{Position: edge})
	if err != nil {
		return err
	}
	if err := equal("events", len(all), 5); err != nil {
		return err
	}
	for n, event := range all {
		cursor := &events.StartPosition_Cursor{Cursor: event.GetCursor()}
		rest, err := it.catchUp(ctx, &events.StartPosition{Position: cursor})
		if err != nil {
			return err
		}
		same := slices.EqualFunc(rest, all[n+1:], func(a, b *events.RecordedEvent) bool {
			return a.GetOffset() == b.GetOffset() && proto.Equal(a.GetEvent(), b.GetEvent())
		})
		if !same {
			return fmt.Errorf("after offset %d came %v", event.GetOffset(), rest)
		}
	}
	return nil
}

// The events that a subscription delivers before it has caught up.
func (it client) catchUp(ctx context.Context, start *events.StartPosition) ([]*events.RecordedEvent, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := it.events.Subscribe(ctx, &events.SubscribeRequest{Topics: []string{topic}, Start: start})
	if err != nil {
		return nil, err
	}
	var recorded []*events.RecordedEvent
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if response.GetCaughtUp() != nil {
			return recorded, nil
		}
		recorded = append(recorded, response.GetBatch().GetEvents()...)
	}
}

// Publishes the bytes of the SDK and reads the CloudEvents form: the SDK decodes the same event.
func (it client) sdkRoundTrip(ctx context.Context) error {
	sent, err := sdkEvent()
	if err != nil {
		return err
	}
	bytes, err := format.Protobuf.Marshal(&sent)
	if err != nil {
		return err
	}
	event := &events.Event{}
	if err := proto.Unmarshal(bytes, event); err != nil {
		return err
	}
	request := &events.PublishRequest{Topic: topic, Events: []*events.Event{event}}
	if _, err := it.events.Publish(ctx, request); err != nil {
		return err
	}

	stream, err := it.events.Read(ctx, &events.ReadRequest{
		Topics:    []string{topic},
		Direction: events.Direction_DIRECTION_BACKWARD,
		MaxEvents: 1,
		View:      events.EventView_EVENT_VIEW_CLOUDEVENTS,
	})
	if err != nil {
		return err
	}
	var recorded []*events.RecordedEvent
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		recorded = append(recorded, response.GetBatch().GetEvents()...)
	}
	if err := equal("events", len(recorded), 1); err != nil {
		return err
	}
	if bytes, err = proto.Marshal(recorded[0].GetEvent()); err != nil {
		return err
	}
	read := &pb.CloudEvent{}
	if err := proto.Unmarshal(bytes, read); err != nil {
		return err
	}
	if unknown := read.ProtoReflect().GetUnknown(); len(unknown) != 0 {
		return fmt.Errorf("%d bytes that the SDK does not know", len(unknown))
	}
	received, err := format.FromProto(read)
	if err != nil {
		return err
	}
	return equal("event", received.String(), sent.String())
}

func refused(err error, code codes.Code, reason events.ErrorReason) error {
	refusal, _ := status.FromError(err)
	if err := equal("code", refusal.Code(), code); err != nil {
		return err
	}
	for _, detail := range refusal.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return errors.Join(
				equal("domain", info.GetDomain(), "tidings"),
				equal("reason", "ERROR_REASON_"+info.GetReason(), reason.String()),
			)
		}
	}
	return fmt.Errorf("no ErrorInfo in %v", refusal)
}

func equal[T comparable](what string, actual, expected T) error {
	if actual == expected {
		return nil
	}
	return fmt.Errorf("%s: expected %v, found %v", what, expected, actual)
}
