// What every client must be able to do: the steps of scripts/outside-tools/python/scenario.py.
import { deepStrictEqual as expectEqual, ok } from 'node:assert';
import { randomUUID } from 'node:crypto';

/** An id that is not in use. */
const UNKNOWN = 999999999999;
/** A list that has more pages than this does not end. */
export const MAX_PAGES = 1000;

export interface Page {
  ids: number[];
  next: string | undefined;
}

/** Every call rejects with `Refused` if the service answers with an error. */
export interface Client {
  createUser(email: string, name: string, key?: string): Promise<number>;
  user(id: number): Promise<[email: string, name: string]>;
  replaceUser(id: number, email: string, name: string): Promise<[email: string, name: string]>;
  deleteUser(id: number): Promise<void>;
  users(query: { limit?: number; page_token?: string }): Promise<Page>;
  createOrder(user: number, product: number, quantity: number, key?: string): Promise<number>;
  orderStatus(id: number): Promise<string>;
  setStatus(id: number, status: 'confirmed' | 'completed'): Promise<string>;
  cancel(id: number): Promise<string>;
  orders(query: { user_id?: number; limit?: number; page_token?: string }): Promise<Page>;
  /** The orders of a user on all pages of two, read by what the tool generates for that, if it does. */
  allOrders?(user_id: number): Promise<number[]>;
}

export class Refused extends Error {
  constructor(readonly status: number, readonly errorCode: unknown) {
    super(`${status} ${errorCode}`);
  }
}

/** The URL of a running service. */
export function url(name: 'USER_SERVICE_URL' | 'ORDER_SERVICE_URL'): string {
  const found = process.env[name];
  ok(found, `${name} is not set`);
  return found;
}

/** Runs the scenario. Ends the program with 1, and the reason as the last line, if it fails. */
export function run(client: Client): void {
  scenario(client).catch((error) => {
    console.error(error);
    console.error(String(error).split('\n')[0]);
    process.exitCode = 1;
  });
}

async function scenario(client: Client): Promise<void> {
  const runId = randomUUID();
  const emails = [0, 1, 2, 3, 4].map((number) => `${number}-${runId}@example.com`) as [string, string, ...string[]];
  const users = await each(emails, (email) => client.createUser(email, 'Ada Lovelace', `user-${email}`));
  const ada = users[0]!;
  const repeated = await client.createUser(emails[0], 'Ada Lovelace', `user-${emails[0]}`);
  expectEqual(repeated, ada, 'a repeated key creates no user');
  expectEqual(await client.user(ada), [emails[0], 'Ada Lovelace']);
  expectEqual(await client.replaceUser(ada, emails[0], 'Ada King'), [emails[0], 'Ada King']);
  expectEqual(await refusal(client.createUser(emails[1], 'Grace')), [409, 'email_taken']);
  expectAll(users, await pages(client.users));

  const keys = [0, 1, 2, 3, 4].map((number) => `order-${number}-${runId}`);
  const orders = await each(keys, (key) => client.createOrder(ada, 456, 2, key));
  const first = orders[0]!;
  expectEqual(await client.createOrder(ada, 456, 2, keys[0]), first, 'a repeated key places no order');
  expectEqual(await client.orderStatus(first), 'created');
  expectEqual(await client.setStatus(first, 'confirmed'), 'confirmed');
  expectEqual(await client.cancel(first), 'cancelled');
  expectEqual(await refusal(client.setStatus(first, 'completed')), [409, 'invalid_transition']);
  expectEqual(await refusal(client.createOrder(UNKNOWN, 456, 2)), [404, 'user_not_found']);
  const found = await pages((query) => client.orders(query.page_token ? query : { ...query, user_id: ada }));
  expectAll(orders, found);
  expectEqual(found.length, orders.length, 'a filter finds nothing else');
  if (client.allOrders) {
    const all = await client.allOrders(ada).catch((error) => {
      throw new Error(`an infinite query with a filter fails: ${error.message}`);
    });
    expectEqual(all, found, 'an infinite query finds the same');
  }
  expectEqual(await refusal(client.orderStatus(UNKNOWN)), [404, 'order_not_found']);

  await each(users, (user) => client.deleteUser(user));
  expectEqual(await refusal(client.user(ada)), [404, 'user_not_found']);
}

/** One after the other. */
async function each<T, U>(items: T[], call: (item: T) => Promise<U>): Promise<U[]> {
  const results = [];
  for (const item of items) results.push(await call(item));
  return results;
}

/** The status and the error code with which a call is refused. */
async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    return ['success', await call];
  } catch (error) {
    if (error instanceof Refused) return [error.status, error.errorCode];
    throw error;
  }
}

/** The ids of a list that is read two items a page. */
async function pages(list: (query: { limit?: number; page_token?: string }) => Promise<Page>): Promise<number[]> {
  let page = await list({ limit: 2 });
  const ids = [...page.ids];
  for (let count = 1; page.next !== undefined; count += 1) {
    expectEqual(page.ids.length, 2, 'a page that is not the last is full');
    ok(count < MAX_PAGES, 'a list ends');
    // The token contains the filters and the page size.
    page = await list({ page_token: page.next });
    ids.push(...page.ids);
  }
  ok(page.ids.length <= 2, 'the last page is no longer than the others');
  return ids;
}

function expectAll(created: number[], found: number[]): void {
  expectEqual(new Set(found).size, found.length, 'no id is found twice');
  expectEqual(created.filter((id) => !found.includes(id)), [], 'everything is found');
}
