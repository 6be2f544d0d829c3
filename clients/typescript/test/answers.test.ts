// What real services do not do on demand: servers that answer late, half, never, or what no service would.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ApiError, ErrorCode, createUserClient, paginate, unwrap } from "orders-platform-client";

/** A server of the test; gives its URL. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** For what would wait for ever if it failed. */
const SOON = { timeout: 5_000 };

/** Expects a rejection with an error of this name. */
const rejects = (call: Promise<unknown>, name: string) => assert.rejects(call, { name });

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

test("a server that never answers ends in a TimeoutError", SOON, async (t) => {
  const baseUrl = await serve(t, () => collectGarbage());
  await rejects(createUserClient({ baseUrl, timeoutMs: 50 }).GET("/health"), "TimeoutError");
});

test("an answer that never ends ends in a TimeoutError", SOON, async (t) => {
  const baseUrl = await serve(t, (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" }).write('{"status":');
    collectGarbage();
  });
  await rejects(createUserClient({ baseUrl, timeoutMs: 50 }).GET("/health"), "TimeoutError");
});

test("the caller's signal ends a call under way", SOON, async (t) => {
  const controller = new AbortController();
  const baseUrl = await serve(t, () => {
    // What only the garbage collector's mood keeps alive must not be what carries the signal.
    collectGarbage();
    controller.abort();
  });
  await rejects(createUserClient({ baseUrl }).GET("/health", { signal: controller.signal }), "AbortError");
});

test("a call whose signal is aborted already is not made", async (t) => {
  let asked = 0;
  const baseUrl = await serve(t, () => (asked += 1));
  await rejects(createUserClient({ baseUrl }).GET("/health", { signal: AbortSignal.abort() }), "AbortError");
  assert.equal(asked, 0);
});

test("a signal ends paginate between two items", async (t) => {
  const page = { items: [{ id: 1, email: "user@example.com", name: "John Doe" }], next_page: "token" };
  const baseUrl = await serve(t, (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(page));
  });
  const controller = new AbortController();
  const users = paginate(createUserClient({ baseUrl }), "/api/v1/users", {}, { signal: controller.signal });
  assert.equal((await users.next()).done, false);
  controller.abort();
  await rejects(users.next(), "AbortError");
});

test("a refused connection throws what fetch throws", async (t) => {
  const baseUrl = await serve(t, (request) => request.socket.destroy());
  await rejects(createUserClient({ baseUrl }).GET("/health"), "TypeError");
});

test("Retry-After becomes retryAfterSeconds", async (t) => {
  const body = { request_id: "r", error_code: "database_unavailable", message: "Database unavailable" };
  const baseUrl = await serve(t, (_, response) => {
    response.writeHead(503, { "Content-Type": "application/json", "Retry-After": "7" }).end(JSON.stringify(body));
  });
  await assert.rejects(unwrap(createUserClient({ baseUrl }).GET("/ready")), {
    name: "ApiError",
    status: 503,
    errorCode: ErrorCode.database_unavailable,
    requestId: "r",
    message: "Database unavailable",
    retryAfterSeconds: 7,
  });
});

for (const [what, body] of [
  ["a page of HTML", "<h1>Bad Gateway</h1>"],
  ["nothing", ""],
  ["JSON of another shape", '{"error_code": 1, "message": null}'],
  ["null", "null"],
] as const) {
  test(`an error of a proxy that holds ${what} keeps its status`, async (t) => {
    const headers = { "X-Request-Id": "r", "Retry-After": "soon" };
    const baseUrl = await serve(t, (_, response) => response.writeHead(502, headers).end(body));
    await assert.rejects(unwrap(createUserClient({ baseUrl }).GET("/health")), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, error.errorCode, error.requestId], [502, undefined, "r"]);
      assert.equal(error.retryAfterSeconds, undefined);
      assert.match(error.message, /502/);
      return true;
    });
  });
}
