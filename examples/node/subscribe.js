import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { events } from "./tidings.js";

const stream = events.subscribe({
  topics: ["orders"],
  // Behind what was seen before; the first time, from the beginning.
  start: existsSync("cursor") ? { cursor: readFileSync("cursor", "utf8") } : { edge: "EDGE_EARLIEST" },
  // Payloads come in the newest 1.x, whichever version wrote them.
  schema: { accept: [{ type: "OrderPlaced", version: "^1.0" }] },
  consumer: "billing",
});
// `for await` takes the next message when this one is dealt with: the server waits for slow readers.
for await (const { message: kind, [kind]: message } of stream) {
  if (kind === "batch") {
    for (const { event, offset, schema } of message.events)
      console.log(offset, event.type, schema?.deliveredVersion, event.textData);
  } else if (kind !== "heartbeat") {
    console.log(kind);
  }
  // Every message has a cursor. It is kept when what came before it is dealt with.
  writeFileSync("cursor.new", message.cursor);
  renameSync("cursor.new", "cursor");
}
