import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { EventService } from "./stubs/tidings/events/v1/event_service_pb";
import { TopicService } from "./stubs/tidings/events/v1/topic_service_pb";
import { SchemaRegistryService } from "./stubs/tidings/registry/v1/schema_registry_service_pb";

const baseUrl = new URLSearchParams(location.search).get("tidings") ?? "http://localhost:7171";
const transport = createGrpcWebTransport({ baseUrl });
export const events = createClient(EventService, transport);
export const topics = createClient(TopicService, transport);
export const registry = createClient(SchemaRegistryService, transport);
