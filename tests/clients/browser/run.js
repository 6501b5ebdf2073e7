// Serves the page of round.ts at PORT, opens it in Chromium, and prints its output.
//
//     run.js ADDRESS PORT BUNDLE SCHEMAS
//
// The page's origin is http://127.0.0.1:PORT, which the server has to list. The server does not
// list http://localhost:PORT, so a page from there must not be able to read responses.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { argv, exit, stderr, stdout } from "node:process";
import { Chromium } from "./chromium.js";

const [address, port, bundle, schemas] = argv.slice(2);
// The timeout of the complete round.
const PATIENCE_MS = 180_000;

let done;
const outcome = new Promise((resolve) => (done = resolve));
const page = '<!doctype html><meta charset="utf-8"><title>round</title><script type="module" src="/round.js"></script>';
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://page");
  const answer = (type, body) => response.writeHead(200, { "content-type": type }).end(body);
  if (request.method === "POST") {
    let text = "";
    request.setEncoding("utf8").on("data", (part) => (text += part));
    request.on("end", () => {
      answer("text/plain", "");
      (pathname === "/failed" ? stderr : stdout).write(`${text}\n`);
      if (pathname !== "/line") done(pathname === "/done");
    });
  } else if (pathname === "/") answer("text/html", page);
  else if (pathname === "/blank") answer("text/html", "<!doctype html>");
  else if (pathname === "/round.js") answer("text/javascript", readFileSync(bundle));
  else if (pathname.startsWith("/schemas/")) answer("text/plain", readFileSync(join(schemas, basename(pathname))));
  else response.writeHead(404).end();
});
await new Promise((resolve, reject) => server.on("error", reject).listen(port, resolve));

const chromium = new Chromium();

async function round() {
  // A call as in the round, from an origin that is not listed.
  const elsewhere = await chromium.open(`http://localhost:${port}/blank`);
  const seen = await elsewhere(`fetch("http://${address}/tidings.events.v1.TopicService/ListTopics", {
    method: "POST", headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" }, body: new Uint8Array(5),
  }).then((it) => \`status \${it.status}\`, (error) => \`\${error.name} at \${location.origin}\`)`);
  const expected = `TypeError at http://localhost:${port}`;
  if (seen !== expected) throw new Error(`an origin that is not listed: expected ${expected}, saw ${seen}`);
  stdout.write("ok: an origin that is not listed reads nothing\n");

  await chromium.open(`http://127.0.0.1:${port}/?tidings=${encodeURIComponent(`http://${address}`)}`);
  return outcome;
}

const late = new Promise((_, reject) =>
  setTimeout(() => reject(new Error(`the page is not done after ${PATIENCE_MS} ms`)), PATIENCE_MS),
);
const gone = chromium.ended.then(() => Promise.reject(new Error("Chromium ended")));
let well = false;
try {
  well = await Promise.race([round(), late, gone]);
} catch (error) {
  stderr.write(`${error.message}\n`);
}
if (!well) stderr.write(chromium.log);
gone.catch(() => {});
await chromium.close();
exit(well ? 0 : 1);
