import { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "./stubs/google/rpc/error_details_pb";
import { events } from "./tidings";

/** Publishes an order, and prints the result. */
export async function publish(payload: unknown, say: (line: string) => void) {
  // The same id and source is the same event: repeat a publish until it has a response.
  const event = {
    id: crypto.randomUUID(),
    source: "/shop",
    type: "OrderPlaced",
    payload: { case: "textData", value: JSON.stringify(payload) } as const,
  };
  try {
    const { results } = await events.publish({ topic: "orders", events: [event] });
    say(`recorded at offset ${results[0].offset}, with schema version ${results[0].schemaVersion}`);
  } catch (caught) {
    const error = ConnectError.from(caught);
    const [info] = error.findDetails(ErrorInfoSchema);
    say(`refused: ${info?.reason ?? error.message}`);
    for (const { fieldViolations } of error.findDetails(BadRequestSchema))
      for (const fault of fieldViolations) say(`  ${fault.field}: ${fault.description}`);
  }
}
