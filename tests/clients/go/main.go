// A client of Tidings with nothing but generated stubs and the CloudEvents SDK. tests/it/clients.rs runs it.
//
//	client event FILE      writes one event in the CloudEvents Protobuf format
//	client walk ADDRESS    creates, publishes, subscribes and resumes; prints a line for each thing that it saw
package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: client event FILE | client walk ADDRESS")
	}
	switch arguments[0] {
	case "event":
		return writeEvent(arguments[1])
	case "walk":
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return walk(ctx, arguments[1])
	default:
		return fmt.Errorf("no such command: %s", arguments[0])
	}
}
