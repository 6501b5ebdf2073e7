import { Edge } from "./stubs/tidings/events/v1/event_service_pb";
import { events } from "./tidings";

export async function subscribe(say: (line: string) => void) {
  const cursor = localStorage.getItem("cursor");
  const stream = events.subscribe({
    topics: ["orders"],
    // After the kept cursor; the first time, from the earliest event.
    start: {
      position: cursor ? { case: "cursor", value: cursor } : { case: "edge", value: Edge.EARLIEST },
    },
    // Payloads are delivered in the newest 1.x, from any version they were written in.
    schema: { accept: [{ type: "OrderPlaced", version: "^1.0" }] },
    consumer: "orders-page",
  });
  for await (const { message } of stream) {
    if (message.case === "batch") {
      for (const { event, offset, schema } of message.value.events)
        say(`${offset} ${event?.type} ${schema?.deliveredVersion} ${event?.payload.value}`);
    } else if (message.case !== "heartbeat") {
      say(`${message.case}`);
    }
    // Every message has a cursor. Keep it after the events before it are processed.
    if (message.value) localStorage.setItem("cursor", message.value.cursor);
  }
}
