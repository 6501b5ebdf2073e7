// Writes GitHub's webhook schemas, one file per event type, each with the definitions that it
// references.
//
//   node scripts/github-schemas.mjs "$(scripts/tool.sh node_modules)" FOLDER
//
// They are extracted from the single schema of the npm package @octokit/webhooks-schemas, otherwise
// unchanged.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node github-schemas.mjs NODE_MODULES FOLDER");
  process.exit(2);
}
const schema = createRequire(`${resolve(modules)}/`)("@octokit/webhooks-schemas");

const PREFIX = "#/definitions/";

function references(value) {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, member]) =>
    name === "$ref" && typeof member === "string" ? [member.slice(PREFIX.length)] : references(member),
  );
}

function reached(from) {
  const definitions = {};
  const open = [from];
  while (open.length > 0) {
    const name = open.pop();
    if (definitions[name] !== undefined) continue;
    definitions[name] = schema.definitions[name];
    open.push(...references(definitions[name]));
  }
  return definitions;
}

mkdirSync(folder, { recursive: true });
for (const { $ref } of schema.oneOf) {
  const name = $ref.slice(PREFIX.length);
  // A type with one action is "push$event", one with several is "branch_protection_rule_event".
  const type = `com.github.${name.replace(/[$_]event$/, "")}`;
  const definitions = reached(name);
  writeFileSync(
    join(folder, `${type}.json`),
    JSON.stringify({ $schema: schema.$schema, title: type, $ref, definitions }),
  );
}
