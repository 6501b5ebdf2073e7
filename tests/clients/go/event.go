package main

import (
	"os"
	"time"

	format "github.com/cloudevents/sdk-go/binding/format/protobuf/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// The event that tests/it/languages/clients.rs expects.
func sdkEvent() (cloudevents.Event, error) {
	event := cloudevents.NewEvent()
	event.SetID("go-1")
	event.SetSource("https://shop.example/go")
	event.SetType("shop.orders.v1.OrderPlaced")
	event.SetSubject("order-78")
	event.SetTime(time.Date(2026, 11, 2, 9, 30, 0, 250_000_000, time.UTC))
	event.SetDataSchema("https://shop.example/schemas/order")
	event.SetExtension("partitionkey", "order-78")
	event.SetExtension("correlationid", "flow-78")
	event.SetExtension("region", "eu-north")
	event.SetExtension("attempt", 3)
	event.SetExtension("priority", true)
	err := event.SetData(cloudevents.ApplicationJSON, map[string]int{"total": 4200})
	return event, err
}

func writeEvent(file string) error {
	event, err := sdkEvent()
	if err != nil {
		return err
	}
	bytes, err := format.Protobuf.Marshal(&event)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes, 0o644)
}
