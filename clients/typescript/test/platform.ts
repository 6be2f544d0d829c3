// Starts the real services as `cargo run` does.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = join(resolve(ROOT, process.env["CARGO_TARGET_DIR"] ?? "target"), "debug/all-in-one");

/** All services in one process, on free ports and in their own temporary directory. */
export interface Platform {
  userServiceUrl: string;
  productServiceUrl: string;
  orderServiceUrl: string;
  /** Stops the process as Ctrl-C does. */
  stop(): Promise<void>;
}

/** The services of the platform: each has a document. */
const services = readdirSync(new URL("../../../openapi/", import.meta.url)).map((name) => name.replace(/\.json$/, ""));
const listenAddress = (service: string) => `${service.toUpperCase().replace("-", "_")}_LISTEN_ADDRESS`;

export async function startPlatform(): Promise<Platform> {
  assert.ok(existsSync(PROGRAM), `${PROGRAM} is missing: run \`cargo build -p all-in-one\` first`);
  const directory = await mkdtemp(join(tmpdir(), "platform-"));
  const child = spawn(PROGRAM, {
    cwd: directory,
    // The environment of the tests must not configure the services.
    env: {
      PATH: process.env["PATH"],
      DATA_DIRECTORY: join(directory, "data"),
      ...Object.fromEntries(services.map((name) => [listenAddress(name), "127.0.0.1:0"])),
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  // The process must not outlive a test run that ends early: the test runner sends SIGTERM after a timeout.
  process.once("exit", () => child.kill("SIGKILL"));
  process.once("SIGTERM", () => process.exit(1));

  const urls = new Map<string, string>();
  let output = "";
  for await (const line of createInterface(child.stderr)) {
    output += `${line}\n`;
    const [, service, url] = /^ +(user-service|product-service|order-service) +(http:\S+)/.exec(line) ?? [];
    if (service && url) urls.set(service, url);
    if (line.startsWith("Ctrl-C stops everything")) break;
  }
  // Discard further output: a full pipe would block the process.
  child.stderr.resume();
  const url = (service: string): string => urls.get(service) ?? assert.fail(`no URL of ${service} in: ${output}`);
  return {
    userServiceUrl: url("user-service"),
    productServiceUrl: url("product-service"),
    orderServiceUrl: url("order-service"),
    async stop() {
      child.kill("SIGINT");
      const [code] = await exited;
      await rm(directory, { recursive: true });
      assert.equal(code, 0);
    },
  };
}
