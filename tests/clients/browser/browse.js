// Opens the example's page, presses its button, and opens the page again.
//
//     browse.js ADDRESS PORT README
import { readFileSync } from "node:fs";
import { argv, exit, stderr, stdout } from "node:process";
import { setTimeout } from "node:timers/promises";
import { Chromium } from "./chromium.js";

const [address, port, readme] = argv.slice(2);
// The timeout of every wait.
const PATIENCE_MS = 30_000;
const url = `http://localhost:${port}/?tidings=${encodeURIComponent(`http://${address}`)}`;
const promised = /```text\n([^]*?)```/.exec(readFileSync(readme, "utf8"))[1].trim().split("\n");

/** Waits until the page has `count` lines, and returns its lines. */
async function lines(page, count) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const text = await page('document.querySelector("#log")?.textContent');
    const seen = (text ?? "").trim().split("\n");
    if (seen.length >= count && text) return seen;
    await setTimeout(20);
    if (Date.now() > until) throw new Error(`the page shows ${JSON.stringify(seen)}, ${count} lines were expected`);
  }
}

// In any order: the page may show the event before the response to its publisher.
function same(seen, expected) {
  const sorted = (it) => JSON.stringify([...it].sort());
  if (sorted(seen) !== sorted(expected))
    throw new Error(`expected ${JSON.stringify(expected)}, saw ${JSON.stringify(seen)}`);
}

const chromium = new Chromium();
const press = 'document.querySelector("#publish").click()';

/** Waits until the page is served. */
async function served() {
  const until = Date.now() + PATIENCE_MS;
  while (!(await fetch(url).catch(() => {}))?.ok) {
    if (Date.now() > until) throw new Error(`nobody serves ${url}`);
    await setTimeout(50);
  }
}

async function browse() {
  await served();
  const first = await chromium.open(url);
  same(await lines(first, 2), promised.slice(0, 2));
  await first(press);
  same(await lines(first, promised.length), promised);
  stdout.write("ok: the page shows what its README says\n");

  const again = await chromium.open(url);
  same(await lines(again, 2), promised.slice(0, 2));
  await again(press);
  const next = promised.map((line) => line.replace("offset 0", "offset 1").replace(/^0 /, "1 "));
  same(await lines(again, promised.length), next);
  stdout.write("ok: opened again, it goes on behind its cursor\n");
}

let failed;
const gone = chromium.ended.then(() => Promise.reject(new Error("Chromium ended")));
await Promise.race([browse(), gone]).catch((error) => (failed = error));
gone.catch(() => {});
await chromium.close();
if (failed) stderr.write(`${failed.message}\n${chromium.log}`);
exit(failed ? 1 : 0);
