import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const files = [
  "tidings/events/v1/event_service.proto",
  "tidings/events/v1/topic_service.proto",
  "tidings/registry/v1/schema_registry_service.proto",
  "google/rpc/error_details.proto",
  "google/rpc/status.proto",
];
// 64-bit integers are strings; an Any of a known type, as in error details, is its message with "@type".
const options = { longs: String, enums: String, defaults: true, oneofs: true, json: true };
const definition = loader.loadSync(files, { ...options, includeDirs: ["../../proto"] });
const { tidings } = grpc.loadPackageDefinition(definition);

const address = process.argv[2] ?? "localhost:7171";
const open = (service) => new service(address, grpc.credentials.createInsecure());
export const events = open(tidings.events.v1.EventService);
export const topics = open(tidings.events.v1.TopicService);
export const registry = open(tidings.registry.v1.SchemaRegistryService);

/** Returns the response of a call, or throws an error for `details`. */
export function call(client, method, request) {
  return promisify(client[method]).call(client, request, { deadline: Date.now() + 10_000 });
}

/** ErrorInfo, BadRequest and other details by name; none if the server was not reached. */
export function details(error) {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const status = bytes && definition["google.rpc.Status"].deserialize(bytes);
  return Object.fromEntries(status?.details.map((it) => [it["@type"].split(".").pop(), it]) ?? []);
}
