package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	events "example/stubs/tidings/events/v1"
)

func main() {
	address := append(os.Args, "localhost:7171")[1] // or the default
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	service := events.NewEventServiceClient(connection)
	for _, payload := range []string{`{"total": 12.5}`, `{"total": "many"}`} {
		// The same id and source is the same event: repeat a publish until it has a response.
		event := &events.Event{Id: uuid.NewString(), Source: "/shop", Type: "OrderPlaced",
			Payload: &events.Event_TextData{TextData: payload}}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		response, err := service.Publish(ctx, &events.PublishRequest{Topic: "orders", Events: []*events.Event{event}})
		cancel()
		for _, it := range response.GetResults() {
			fmt.Printf("recorded at offset %d, with schema version %s\n", it.Offset, it.SchemaVersion)
		}
		for _, detail := range status.Convert(err).Details() {
			switch detail := detail.(type) {
			case *errdetails.ErrorInfo:
				fmt.Println("refused:", detail.Reason)
			case *errdetails.BadRequest:
				for _, fault := range detail.FieldViolations {
					fmt.Printf("  %s: %s\n", fault.Field, fault.Description)
				}
			}
		}
		if err != nil && len(status.Convert(err).Details()) == 0 {
			log.Fatal(err) // Not from the server: it was not reached, or not in time.
		}
	}
}
