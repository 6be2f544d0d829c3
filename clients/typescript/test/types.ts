// Code that must not compile. None of it runs: the compiler fails if it does not find an expected error.
import { ErrorCode, type OrderClient, type OrderSchemas, type UserClient, paginate, unwrap } from "orders-platform-client";

export async function types(users: UserClient, orders: OrderClient) {
  // @ts-expect-error a field is missing
  users.POST("/api/v1/users", { body: { email: "user@example.com" } });
  // @ts-expect-error a field has the wrong type
  orders.POST("/api/v1/orders", { body: { user_id: "1", product_id: 456, quantity: 2 } });
  // @ts-expect-error the body is missing
  users.POST("/api/v1/users");
  // @ts-expect-error the id is missing
  users.GET("/api/v1/users/{user_id}");
  // @ts-expect-error no such path
  users.GET("/api/v1/orders");
  // @ts-expect-error no such operation on this path
  users.DELETE("/api/v1/users");
  // @ts-expect-error no such status
  orders.GET("/api/v1/orders", { params: { query: { status: "shipped" } } });
  // @ts-expect-error no such query parameter
  orders.GET("/api/v1/orders", { params: { query: { product_id: 456 } } });

  // @ts-expect-error no such filter
  paginate(orders, "/api/v1/orders", { user_id: 1, product_id: 456 });
  // @ts-expect-error no such status
  paginate(orders, "/api/v1/orders", { status: "shipped" });
  // @ts-expect-error paginate sets the page tokens itself
  paginate(orders, "/api/v1/orders", { page_token: "token" });
  // @ts-expect-error not a list
  paginate(orders, "/api/v1/orders/{order_id}");
  // @ts-expect-error not a list
  paginate(orders, "/health");
  // @ts-expect-error a list of the other service
  paginate(users, "/api/v1/orders");

  const order = await unwrap(orders.GET("/api/v1/orders/{order_id}", { params: { path: { order_id: 1 } } }));
  const whole: OrderSchemas["Order"] = order;
  // @ts-expect-error an order has no such field
  whole.total;
  for await (const user of paginate(users, "/api/v1/users")) {
    const name: string = user.name;
    // @ts-expect-error not a number
    const id: string = user.id;
    void [name, id];
  }

  // @ts-expect-error no such code
  ErrorCode.user_vanished;
  const known: ErrorCode = ErrorCode.user_not_found;
  const newer: ErrorCode = "a_code_of_a_newer_service";
  void [known, newer];
}
