import grpc from "@grpc/grpc-js";
import { call, registry, topics } from "./tidings.js";

try {
  await call(topics, "createTopic", { topic: { name: "orders" } });
} catch (error) {
  if (error.code !== grpc.status.ALREADY_EXISTS) throw error;
}

const text = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}';
const schema = { subject: "OrderPlaced", format: "SCHEMA_FORMAT_JSON", definition: { text } };
// Registering the same schema again returns its version.
const registered = await call(registry, "registerSchema", { schema });
console.log(registered.schema.subject, registered.schema.version);
