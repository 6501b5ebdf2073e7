package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	events "example/stubs/tidings/events/v1"
)

func main() {
	address := append(os.Args, "localhost:7171")[1] // or the default
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	// After the kept cursor; the first time, from the earliest event.
	start := &events.StartPosition{Position: &events.StartPosition_Edge{Edge: events.Edge_EDGE_EARLIEST}}
	if kept, err := os.ReadFile("cursor"); err == nil {
		start.Position = &events.StartPosition_Cursor{Cursor: string(kept)}
	}
	// Payloads are delivered in the newest 1.x, from any version they were written in.
	accept := []*events.AcceptedSchema{{Type: "OrderPlaced", Version: "^1.0"}}
	stream, err := events.NewEventServiceClient(connection).Subscribe(context.Background(), &events.SubscribeRequest{
		Topics: []string{"orders"}, Start: start, Schema: &events.SchemaSelection{Accept: accept}, Consumer: "billing",
	})
	for err == nil {
		var it *events.SubscribeResponse
		if it, err = stream.Recv(); err != nil {
			break
		}
		for _, recorded := range it.GetBatch().GetEvents() {
			version := recorded.GetSchema().GetDeliveredVersion()
			fmt.Println(recorded.Offset, recorded.Event.Type, version, recorded.Event.GetTextData())
		}
		if it.GetCaughtUp() != nil {
			fmt.Println("caught up")
		}
		// Every message has a cursor. Keep it after the events before it are processed.
		cursor := cmp.Or(it.GetStarted().GetCursor(), it.GetBatch().GetCursor(), it.GetCaughtUp().GetCursor(),
			it.GetHeartbeat().GetCursor(), it.GetFellBehind().GetCursor(), it.GetGap().GetCursor(),
			it.GetSchemaChanged().GetCursor(), it.GetDraining().GetCursor())
		if err = os.WriteFile("cursor.new", []byte(cursor), 0o644); err == nil {
			err = os.Rename("cursor.new", "cursor")
		}
	}
	log.Fatal(err)
}
