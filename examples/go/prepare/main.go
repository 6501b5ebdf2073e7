package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	events "example/stubs/tidings/events/v1"
	registry "example/stubs/tidings/registry/v1"
)

const order = `{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}`

func main() {
	address := append(os.Args, "localhost:7171")[1] // or the default
	ctx := context.Background()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	topic := &events.CreateTopicRequest{Topic: &events.Topic{Name: "orders"}}
	_, err = events.NewTopicServiceClient(connection).CreateTopic(ctx, topic)
	if err != nil && status.Code(err) != codes.AlreadyExists {
		log.Fatal(err)
	}
	draft := &registry.SchemaDraft{
		Subject:    "OrderPlaced",
		Format:     registry.SchemaFormat_SCHEMA_FORMAT_JSON,
		Definition: &registry.Definition{Form: &registry.Definition_Text{Text: order}},
	}
	// Registering the same schema again returns its version.
	schemas := registry.NewSchemaRegistryServiceClient(connection)
	registered, err := schemas.RegisterSchema(ctx, &registry.RegisterSchemaRequest{Schema: draft})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(registered.Schema.Subject, registered.Schema.Version)
}
