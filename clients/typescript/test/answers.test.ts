// Tests the client against servers that respond late, incompletely, not at all, or not as a service would.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ApiError, ErrorCode, createUserClient, paginate, unwrap } from "orders-platform-client";

/** Starts a server for the duration of the test; returns its URL. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Limits the tests that would otherwise wait forever if they failed. */
const TEST_TIMEOUT = { timeout: 5_000 };

/** Asserts that the call rejects with an error of this name. */
const rejects = (call: Promise<unknown>, name: string) => assert.rejects(call, { name });

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

test("a server that never responds causes a TimeoutError", TEST_TIMEOUT, async (t) => {
  const baseUrl = await serve(t, () => collectGarbage());
  await rejects(createUserClient({ baseUrl, timeoutMs: 50 }).GET("/health"), "TimeoutError");
});

test("an incomplete response causes a TimeoutError", TEST_TIMEOUT, async (t) => {
  const baseUrl = await serve(t, (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" }).write('{"status":');
    collectGarbage();
  });
  await rejects(createUserClient({ baseUrl, timeoutMs: 50 }).GET("/health"), "TimeoutError");
});

test("the caller's signal aborts a running call", TEST_TIMEOUT, async (t) => {
  const controller = new AbortController();
  const baseUrl = await serve(t, () => {
    // The signal must arrive even after a garbage collection.
    collectGarbage();
    controller.abort();
  });
  await rejects(createUserClient({ baseUrl }).GET("/health", { signal: controller.signal }), "AbortError");
});

test("an already aborted signal prevents the request", async (t) => {
  let requests = 0;
  const baseUrl = await serve(t, () => (requests += 1));
  await rejects(createUserClient({ baseUrl }).GET("/health", { signal: AbortSignal.abort() }), "AbortError");
  assert.equal(requests, 0);
});

test("a signal aborts paginate between two pages", async (t) => {
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

test("a closed connection causes the TypeError of fetch", async (t) => {
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

for (const [description, body] of [
  ["an HTML page", "<h1>Bad Gateway</h1>"],
  ["an empty body", ""],
  ["JSON of another schema", '{"error_code": 1, "message": null}'],
  ["a JSON null", "null"],
] as const) {
  test(`a proxy error with ${description} keeps its status`, async (t) => {
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
