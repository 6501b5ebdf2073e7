import { Code, ConnectError } from "@connectrpc/connect";
import { SchemaFormat } from "./stubs/tidings/registry/v1/schema_pb";
import { registry, topics } from "./tidings";

const text = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}';

export async function prepare() {
  try {
    await topics.createTopic({ topic: { name: "orders" } });
  } catch (error) {
    if (ConnectError.from(error).code !== Code.AlreadyExists) throw error;
  }
  // Registering the same schema again returns its version.
  await registry.registerSchema({
    schema: {
      subject: "OrderPlaced",
      format: SchemaFormat.JSON,
      definition: { form: { case: "text", value: text } },
    },
  });
}
