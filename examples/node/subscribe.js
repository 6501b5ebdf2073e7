import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { events } from "./tidings.js";

const stream = events.subscribe({
  topics: ["orders"],
  // After the kept cursor; the first time, from the earliest event.
  start: existsSync("cursor") ? { cursor: readFileSync("cursor", "utf8") } : { edge: "EDGE_EARLIEST" },
  // Payloads are delivered in the newest 1.x, from any version they were written in.
  schema: { accept: [{ type: "OrderPlaced", version: "^1.0" }] },
  consumer: "billing",
});
// `for await` reads one message at a time: the server waits for slow readers.
for await (const { message: kind, [kind]: message } of stream) {
  if (kind === "batch") {
    for (const { event, offset, schema } of message.events)
      console.log(offset, event.type, schema?.deliveredVersion, event.textData);
  } else if (kind !== "heartbeat") {
    console.log(kind);
  }
  // Every message has a cursor. Keep it after the events before it are processed.
  writeFileSync("cursor.new", message.cursor);
  renameSync("cursor.new", "cursor");
}
