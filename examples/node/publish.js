import { randomUUID } from "node:crypto";
import { call, details, events } from "./tidings.js";

async function publish(payload) {
  // The same id and source is the same event: repeat a publish until it has a response.
  const event = { id: randomUUID(), source: "/shop", type: "OrderPlaced", textData: JSON.stringify(payload) };
  const { results } = await call(events, "publish", { topic: "orders", events: [event] });
  console.log(`recorded at offset ${results[0].offset}, with schema version ${results[0].schemaVersion}`);
}

await publish({ total: 12.5 });
try {
  await publish({ total: "many" });
} catch (error) {
  const { ErrorInfo, BadRequest } = details(error);
  if (!ErrorInfo) throw error;
  console.log("refused:", ErrorInfo.reason);
  for (const fault of BadRequest?.fieldViolations ?? []) console.log(`  ${fault.field}: ${fault.description}`);
}
