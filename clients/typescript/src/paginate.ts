import type { Client } from "openapi-fetch";
import { type Answer, unwrap } from "./error.js";

interface Page<Item> {
  items: Item[];
  next_page?: string;
}

/** A path with an operation that returns a page of items. */
interface List<Query, Item> {
  get: { parameters: { query?: Query }; responses: { 200: { content: { "application/json": Page<Item> } } } };
}

/** The paths of a client that return lists. */
type ListPath<Paths> = {
  [Path in keyof Paths]: Paths[Path] extends List<{ page_token?: string }, unknown> ? Path : never;
}[keyof Paths];

type Filters<Operation> = Operation extends List<infer Query, unknown> ? Omit<NonNullable<Query>, "page_token"> : never;
type Item<Operation> = Operation extends List<unknown, infer Item> ? Item : never;

/**
 * Iterates over all items of a list. Fetches each page when its first item is requested.
 *
 * ```ts
 * for await (const order of paginate(orders, "/api/v1/orders", { status: "created" })) { … }
 * ```
 *
 * @param query The filters, and `limit`, the maximum length of a page.
 * @throws {ApiError} if the service returns an error.
 */
export async function* paginate<Paths extends {}, Path extends ListPath<Paths>>(
  client: Client<Paths>,
  path: Path,
  query?: Filters<Paths[Path]>,
  options?: { signal?: AbortSignal },
): AsyncGenerator<Item<Paths[Path]>, void, undefined> {
  // ListPath guarantees this type, but the compiler cannot infer it for a generic path.
  const get = client.GET as (path: Path, init: object) => Promise<Answer<Page<Item<Paths[Path]>>>>;
  const limit = query && "limit" in query ? { limit: query.limit } : {};
  let next: object | undefined = query ?? {};
  while (next) {
    const page: Page<Item<Paths[Path]>> = await unwrap(get(path, { params: { query: next }, ...options }));
    yield* page.items;
    // The token contains the filters: it can be combined only with a limit.
    next = page.next_page === undefined ? undefined : { page_token: page.next_page, ...limit };
  }
}
