// Debian's Chromium, headless, over the DevTools protocol on a pipe: no WebSocket, no driver.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Chromium {
  #answers = new Map();
  #last = 0;

  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), "tidings-chromium-"));
    const flags = [
      "--headless",
      // There is no sandbox as root; the pages are trusted.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--no-first-run",
      "--remote-debugging-pipe",
      `--user-data-dir=${this.profile}`,
      "about:blank",
    ];
    // A separate process group, so that all processes of Chromium can be killed.
    const stdio = ["ignore", "ignore", "pipe", "pipe", "pipe"];
    this.process = spawn("chromium", flags, { stdio, detached: true });
    /** Chromium's log, to find the cause of a failure. */
    this.log = "";
    this.process.stderr.setEncoding("utf8").on("data", (text) => {
      // A machine without a desktop has no D-Bus.
      this.log += text.replace(/^.*dbus.*\n/gm, "");
    });
    /** Settles when Chromium has ended, or did not start. */
    this.ended = new Promise((resolve) => {
      this.process.once("exit", resolve);
      this.process.once("error", (error) => {
        this.log += `${error.message}\n`;
        resolve();
      });
    });
    this.process.stdio[3].on("error", () => {});
    let read = "";
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (read + text).split("\0");
      read = messages.pop();
      for (const message of messages) this.#hear(JSON.parse(message));
    });
  }

  #hear({ id, result, error, method, params }) {
    if (method === "Runtime.consoleAPICalled") this.log += `${params.args.map((it) => it.value).join(" ")}\n`;
    if (method === "Runtime.exceptionThrown") this.log += `${JSON.stringify(params.exceptionDetails)}\n`;
    if (method === "Log.entryAdded") this.log += `${params.entry.text} ${params.entry.url ?? ""}\n`;
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (error) answer?.reject(new Error(error.message));
    else answer?.resolve(result);
  }

  #send(method, params, sessionId) {
    const id = (this.#last += 1);
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  /** Opens a page. Returns a function that evaluates an expression in it. */
  async open(url) {
    const { targetId } = await this.#send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#send("Target.attachToTarget", { targetId, flatten: true });
    await this.#send("Runtime.enable", {}, sessionId);
    await this.#send("Log.enable", {}, sessionId);
    await this.#send("Page.navigate", { url }, sessionId);
    return async (expression) => {
      const parameters = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await this.#send("Runtime.evaluate", parameters, sessionId);
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
  }

  async close() {
    try {
      process.kill(-this.process.pid, "SIGKILL");
    } catch {
      // Chromium did not start, or has ended.
    }
    await this.ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
