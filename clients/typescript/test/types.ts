// Code that must not compile. None of it runs: the compiler fails if it does not find an expected error.
import { ErrorCode, type OrderClient, type UserClient, paginate } from "orders-platform-client";

export async function types(users: UserClient, orders: OrderClient) {
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
