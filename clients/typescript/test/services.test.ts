// Tests the client against the real services.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  ApiError,
  ErrorCode,
  type OrderClient,
  type OrderSchemas,
  type UserClient,
  createOrderClient,
  createProductClient,
  createUserClient,
  paginate,
  unwrap,
} from "orders-platform-client";
import { type Platform, startPlatform } from "./platform.js";

describe("with the real services", () => {
  let platform: Platform;
  let users: UserClient;
  let orders: OrderClient;
  /** A product with enough in stock for every order. */
  let product_id: number;
  /** The URLs that the order client requested. */
  let requested: URL[];

  before(async () => {
    platform = await startPlatform();
    users = createUserClient({ baseUrl: platform.userServiceUrl });
    const products = createProductClient({ baseUrl: platform.productServiceUrl });
    const price = { amount: 1998, currency: "EUR" } as const;
    const mug = { sku: "TEST-01", name: "Blue mug", category: "kitchen", price, stock: 1000 };
    product_id = (await unwrap(products.POST("/api/v1/products", { body: mug }))).id;
    requested = [];
    orders = createOrderClient({
      baseUrl: platform.orderServiceUrl,
      fetch: (request, init) => {
        requested.push(new URL(request.url));
        return fetch(request, init);
      },
    });
  });

  after(() => platform.stop());

  let created = 0;
  async function newUser() {
    created += 1;
    return unwrap(users.POST("/api/v1/users", { body: { email: `user${created}@example.com`, name: "John Doe" } }));
  }

  /** An order that stays `created`: its payment gets no answer. */
  function unpaid(user_id: number) {
    return { user_id, product_id, quantity: 2, payment_method: "tok_hang" };
  }

  async function newOrders(user_id: number, count: number) {
    const ids: number[] = [];
    for (let i = 0; i < count; i += 1) {
      const receipt = await unwrap(orders.POST("/api/v1/orders", { body: unpaid(user_id) }));
      ids.push(receipt.order_id);
    }
    return ids;
  }

  /** Asserts that the call throws an `ApiError`, and returns it. */
  async function apiError(call: Promise<unknown>): Promise<ApiError> {
    const error = await call.then(
      (data) => assert.fail(`the call succeeded: ${JSON.stringify(data)}`),
      (error: unknown) => error,
    );
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }

  test("a user is created, read, replaced and deleted", async () => {
    const user = await newUser();
    const one = { params: { path: { user_id: user.id } } };
    assert.deepEqual(await unwrap(users.GET("/api/v1/users/{user_id}", one)), user);

    const body = { email: user.email, name: "Jane Doe" };
    const replaced = await unwrap(users.PUT("/api/v1/users/{user_id}", { ...one, body }));
    assert.deepEqual(replaced, { ...user, name: "Jane Doe" });

    const nothing: undefined = await unwrap(users.DELETE("/api/v1/users/{user_id}", one));
    assert.equal(nothing, undefined);
    const error = await apiError(unwrap(users.GET("/api/v1/users/{user_id}", one)));
    assert.equal(error.errorCode, ErrorCode.user_not_found);
  });

  test("an order is placed, read, confirmed and cancelled", async () => {
    const user = await newUser();
    const [order_id = 0] = await newOrders(user.id, 1);
    const one = { params: { path: { order_id } } };

    const order = await unwrap(orders.GET("/api/v1/orders/{order_id}", one));
    const { created_at, updated_at, items, total, payment_due_at, ...rest } = order;
    assert.deepEqual(rest, { id: order_id, user_id: user.id, product_id, quantity: 2, status: "created" });
    assert.deepEqual([items?.[0]?.name, total], ["Blue mug", { amount: 3996, currency: "EUR" }]);
    assert.equal(created_at, updated_at);
    assert.ok(payment_due_at && payment_due_at > created_at);

    const body = { status: "confirmed" } as const;
    assert.equal((await unwrap(orders.PUT("/api/v1/orders/{order_id}/status", { ...one, body }))).status, "confirmed");
    assert.equal((await unwrap(orders.POST("/api/v1/orders/{order_id}/cancel", one))).status, "cancelled");
  });

  test("paginate returns each matching order once, newest first", async () => {
    const [user, other] = [await newUser(), await newUser()];
    const ids = await newOrders(user.id, 5);
    await newOrders(other.id, 2);
    const [cancelled = 0, ...created] = ids;
    await unwrap(orders.POST("/api/v1/orders/{order_id}/cancel", { params: { path: { order_id: cancelled } } }));

    requested.length = 0;
    const found: OrderSchemas["Order"][] = [];
    for await (const order of paginate(orders, "/api/v1/orders", { user_id: user.id, status: "created", limit: 2 })) {
      found.push(order);
    }
    assert.deepEqual(
      found.map((order) => order.id),
      created.reverse(),
    );
    const queries = requested.map((url) => [...url.searchParams.keys()].sort());
    assert.deepEqual(queries, [
      ["limit", "status", "user_id"],
      ["limit", "page_token"],
    ]);
  });

  test("paginate fetches a page only when its items are needed", async () => {
    const user = await newUser();
    const [first] = (await newOrders(user.id, 3)).reverse();

    requested.length = 0;
    for await (const order of paginate(orders, "/api/v1/orders", { user_id: user.id, limit: 1 })) {
      assert.equal(order.id, first);
      break;
    }
    assert.equal(requested.length, 1);
  });

  test("paginate without filters returns every user", async () => {
    const user = await newUser();
    const ids: number[] = [];
    for await (const { id } of paginate(users, "/api/v1/users")) ids.push(id);
    assert.equal(ids.at(-1), user.id);
    assert.equal(ids.length, new Set(ids).size);
  });

  test("paginate throws the error of the service", async () => {
    const list = paginate(orders, "/api/v1/orders", { limit: 0 });
    assert.equal((await apiError(list.next())).errorCode, ErrorCode.invalid_request);
  });

  test("an order for an unknown user fails with user_not_found", async () => {
    const body = { user_id: 4711, product_id, quantity: 2 };
    const error = await apiError(unwrap(orders.POST("/api/v1/orders", { body })));
    assert.equal(error.status, 404);
    assert.equal(error.errorCode, ErrorCode.user_not_found);
    assert.match(error.requestId ?? "", /^[0-9a-f-]{36}$/);
    assert.notEqual(error.message, "");
    assert.equal(error.retryAfterSeconds, undefined);
  });

  test("an unknown field that compiles fails with invalid_request", async () => {
    const body = { email: "jane@example.com", name: "Jane Doe", age: 42 };
    assert.equal((await apiError(unwrap(users.POST("/api/v1/users", { body })))).errorCode, ErrorCode.invalid_request);
  });

  test("an unknown path fails with not_found", async () => {
    const elsewhere = createUserClient({ baseUrl: `${platform.userServiceUrl}/no/such/path` });
    const error = await apiError(unwrap(elsewhere.GET("/health")));
    assert.deepEqual([error.status, error.errorCode], [404, ErrorCode.not_found]);
    assert.match(error.requestId ?? "", /^[0-9a-f-]{36}$/);
  });

  test("without unwrap a call returns either data or error", async () => {
    const { data, error, response } = await users.GET("/api/v1/users/{user_id}", { params: { path: { user_id: 4711 } } });
    assert.equal(data, undefined);
    assert.equal(error?.error_code, ErrorCode.user_not_found);
    assert.equal(response.status, 404);
  });
});
