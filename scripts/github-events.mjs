// Prints GitHub's example webhooks as CloudEvents, one document per line: 329 events of 58 types.
//
//   node scripts/github-events.mjs "$(scripts/tool.sh node_modules)" > events.jsonl
//
// The payloads are those of the npm package @octokit/webhooks-examples, unchanged. Ids are stable:
// UUIDs (version 5) of the type, the example's number and its payload.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const modules = process.argv[2];
if (modules === undefined) {
  console.error("usage: node github-events.mjs NODE_MODULES");
  process.exit(2);
}
const webhooks = createRequire(`${resolve(modules)}/`)("@octokit/webhooks-examples");

// The URL namespace of RFC 9562.
const NAMESPACE = Buffer.from("6ba7b8119dad11d180b400c04fd430c8", "hex");

function stableId(name) {
  const hash = createHash("sha1").update(NAMESPACE).update(name).digest().subarray(0, 16);
  hash[6] = (hash[6] & 0x0f) | 0x50;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const lines = [];
for (const { name, examples } of webhooks) {
  examples.forEach((data, number) => {
    const type = `com.github.${name}`;
    const owner = data.organization?.login ?? data.sender?.login ?? "none";
    const source = data.repository?.html_url ?? `https://github.com/${owner}`;
    lines.push(
      JSON.stringify({
        specversion: "1.0",
        id: stableId(`${source}#${type}/${number}/${JSON.stringify(data)}`),
        source,
        type,
        subject: data.repository?.full_name ?? owner,
        datacontenttype: "application/json",
        data,
      }),
    );
  });
}
process.stdout.write(lines.join("\n") + "\n");
