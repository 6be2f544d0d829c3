// Runs the scenario with the clients of hey-api: its functions, and its infinite queries.
import { QueryClient } from '@tanstack/react-query';
import * as orders from './generated/order-service';
import { orderListInfiniteOptions } from './generated/order-service/@tanstack/react-query.gen';
import { client as orderClient } from './generated/order-service/client.gen';
import * as users from './generated/user-service';
import { client as userClient } from './generated/user-service/client.gen';
import { MAX_PAGES, Refused, run, url, type Client } from './scenario';

userClient.setConfig({ baseUrl: url('USER_SERVICE_URL') });
orderClient.setConfig({ baseUrl: url('ORDER_SERVICE_URL') });

/** The body of a response, which is in `data` or in `error`. */
async function body<T>(call: Promise<{ data?: T; error?: { error_code?: unknown }; response?: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (error !== undefined) throw new Refused(response!.status, error.error_code);
  return data!;
}

function page(found: { items: { id: number }[]; next_page?: string }) {
  return { ids: found.items.map((item) => item.id), next: found.next_page };
}

const client: Client = {
  createUser: async (email, name, key) =>
    (await body(users.userCreate({ body: { email, name }, headers: { 'Idempotency-Key': key } }))).id,
  user: async (id) => {
    const { email, name } = await body(users.userView({ path: { user_id: id } }));
    return [email, name];
  },
  replaceUser: async (id, newEmail, newName) => {
    const replacement = { email: newEmail, name: newName };
    const { email, name } = await body(users.userReplace({ path: { user_id: id }, body: replacement }));
    return [email, name];
  },
  deleteUser: async (id) => {
    await body(users.userDelete({ path: { user_id: id } }));
  },
  users: async (query) => page(await body(users.userList({ query }))),
  createOrder: async (user_id, product_id, quantity, key) =>
    (await body(orders.orderCreate({ body: { user_id, product_id, quantity }, headers: { 'Idempotency-Key': key } })))
      .order_id,
  orderStatus: async (id) => (await body(orders.orderView({ path: { order_id: id } }))).status,
  setStatus: async (id, status) =>
    (await body(orders.orderSetStatus({ path: { order_id: id }, body: { status } }))).status,
  cancel: async (id) => (await body(orders.orderCancel({ path: { order_id: id } }))).status,
  orders: async (query) => page(await body(orders.orderList({ query }))),
  // It repeats the filter with each token.
  allOrders: async (user_id) => {
    const found = await new QueryClient().fetchInfiniteQuery({
      ...orderListInfiniteOptions({ query: { user_id, limit: 2 } }),
      initialPageParam: {},
      getNextPageParam: (last) => last.next_page,
      pages: MAX_PAGES,
    });
    return found.pages.flatMap((one) => page(one).ids);
  },
};

run(client);
