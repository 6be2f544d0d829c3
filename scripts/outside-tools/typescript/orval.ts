// Runs the scenario with the clients of orval: its functions, and its infinite queries.
import { QueryClient } from '@tanstack/react-query';
import * as orders from './generated/order-service';
import * as users from './generated/user-service';
import { MAX_PAGES, run, type Client } from './scenario';

/** The body of a response with this status. */
function body<R extends { status: number; data: unknown }, S extends R['status']>(
  response: R,
  status: S,
): Extract<R, { status: S }>['data'] {
  if (response.status !== status) throw new Error(`expected ${status}, not ${response.status}`);
  return response.data;
}

function withKey(key: string | undefined): { 'Idempotency-Key'?: string } {
  return key === undefined ? {} : { 'Idempotency-Key': key };
}

function page(found: { items: { id: number }[]; next_page?: string }) {
  return { ids: found.items.map((item) => item.id), next: found.next_page };
}

const client: Client = {
  createUser: async (email, name, key) => body(await users.userCreate({ email, name }, withKey(key)), 201).id,
  user: async (id) => {
    const { email, name } = body(await users.userView(id), 200);
    return [email, name];
  },
  replaceUser: async (id, newEmail, newName) => {
    const { email, name } = body(await users.userReplace(id, { email: newEmail, name: newName }), 200);
    return [email, name];
  },
  deleteUser: async (id) => {
    body(await users.userDelete(id), 204);
  },
  users: async (query) => page(body(await users.userList(query), 200)),
  createOrder: async (user_id, product_id, quantity, key) =>
    body(await orders.orderCreate({ user_id, product_id, quantity }, withKey(key)), 201).order_id,
  orderStatus: async (id) => body(await orders.orderView(id), 200).status,
  setStatus: async (id, status) => body(await orders.orderSetStatus(id, { status }), 200).status,
  cancel: async (id) => body(await orders.orderCancel(id), 200).status,
  orders: async (query) => page(body(await orders.orderList(query), 200)),
  // It repeats the filter with each token.
  allOrders: async (user_id) => {
    const found = await new QueryClient().fetchInfiniteQuery({
      ...orders.getOrderListInfiniteQueryOptions({ user_id, limit: 2 }),
      initialPageParam: undefined,
      getNextPageParam: (last) => body(last, 200).next_page,
      pages: MAX_PAGES,
    });
    return found.pages.flatMap((one) => page(body(one, 200)).ids);
  },
};

run(client);
