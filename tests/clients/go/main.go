// A client of Tidings with only generated stubs and the CloudEvents SDK. tests/it runs it.
//
//	client event FILE             writes one event in the CloudEvents Protobuf format
//	client walk ADDRESS           creates, publishes, subscribes, resumes; prints a line per step
//	client round ADDRESS PROTO    runs every operation; PROTO is the definition of the payload
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch {
	case len(arguments) == 2 && arguments[0] == "event":
		return writeEvent(arguments[1])
	case len(arguments) == 2 && arguments[0] == "walk":
		return walk(ctx, arguments[1])
	case len(arguments) == 3 && arguments[0] == "round":
		return goRound(ctx, arguments[1], arguments[2])
	default:
		return fmt.Errorf("usage: client event FILE | client walk ADDRESS | client round ADDRESS PROTO")
	}
}
