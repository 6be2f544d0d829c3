// Runs the scenario with the TypeScript clients of openapi-generator.
import * as orders from './generated/order-service';
import * as users from './generated/user-service';
import { Refused, run, url, type Client } from './scenario';

const userApi = new users.UsersApi(new users.Configuration({ basePath: url('USER_SERVICE_URL') }));
const orderApi = new orders.OrdersApi(new orders.Configuration({ basePath: url('ORDER_SERVICE_URL') }));

/** The result of a call; an error of the service becomes `Refused`. */
async function answer<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof users.ResponseError || error instanceof orders.ResponseError)) throw error;
    throw new Refused(error.response.status, (await error.response.json()).error_code);
  }
}

function page(found: { items: { id: number }[]; nextPage?: string }) {
  return { ids: found.items.map((item) => item.id), next: found.nextPage };
}

const client: Client = {
  createUser: async (email, name, idempotencyKey) =>
    (await answer(userApi.userCreate({ idempotencyKey, userCreate: { email, name } }))).id,
  user: async (userId) => {
    const { email, name } = await answer(userApi.userView({ userId }));
    return [email, name];
  },
  replaceUser: async (userId, newEmail, newName) => {
    const userReplace = { email: newEmail, name: newName };
    const { email, name } = await answer(userApi.userReplace({ userId, userReplace }));
    return [email, name];
  },
  deleteUser: (userId) => answer(userApi.userDelete({ userId })),
  users: async ({ limit, page_token }) => page(await answer(userApi.userList({ limit, pageToken: page_token }))),
  createOrder: async (userId, productId, quantity, idempotencyKey) => {
    const orderCreate = { userId, productId, quantity };
    return (await answer(orderApi.orderCreate({ idempotencyKey, orderCreate }))).orderId;
  },
  orderStatus: async (orderId) => (await answer(orderApi.orderView({ orderId }))).status,
  setStatus: async (orderId, status) =>
    (await answer(orderApi.orderSetStatus({ orderId, orderStatusUpdate: { status } }))).status,
  cancel: async (orderId) => (await answer(orderApi.orderCancel({ orderId }))).status,
  orders: async ({ user_id, limit, page_token }) =>
    page(await answer(orderApi.orderList({ userId: user_id, limit, pageToken: page_token }))),
};

run(client);
