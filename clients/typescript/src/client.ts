import createClient, { type Client } from "openapi-fetch";
import type { paths as orderPaths } from "./generated/order-service.js";
import type { paths as userPaths } from "./generated/user-service.js";

/** How to reach a service. */
export interface ClientOptions {
  /** Where the service is, for instance `http://127.0.0.1:8001`; in a browser `""` is the page's own origin. */
  baseUrl: string;
  /** Asks in place of the global `fetch`: to log, to add headers, to answer in tests. */
  fetch?: (request: Request, init: { signal: AbortSignal }) => Promise<Response>;
  /** How long to wait for a whole answer; 10 seconds if absent. Then the call throws a `TimeoutError`. */
  timeoutMs?: number;
}

/** A client of user-service, as openapi-fetch makes it from the document. */
export type UserClient = Client<userPaths>;

/** A client of order-service, as openapi-fetch makes it from the document. */
export type OrderClient = Client<orderPaths>;

/** Makes a client of user-service. It holds nothing open; make one and share it. */
export function createUserClient(options: ClientOptions): UserClient {
  return createClient<userPaths>({ baseUrl: options.baseUrl, fetch: withTimeout(options) });
}

/** Makes a client of order-service. It holds nothing open; make one and share it. */
export function createOrderClient(options: ClientOptions): OrderClient {
  return createClient<orderPaths>({ baseUrl: options.baseUrl, fetch: withTimeout(options) });
}

/**
 * A fetch that gives up after `timeoutMs`, or when the caller's own signal says so.
 *
 * Not with `AbortSignal.any` and `AbortSignal.timeout`: in Node a garbage collection can disarm a chain of signals
 * (nodejs/node#57736, nodejs/undici#4068). The timer and this function's own frame hold all that is needed here.
 */
function withTimeout({ fetch = globalThis.fetch, timeoutMs = 10_000 }: ClientOptions) {
  return async (request: Request): Promise<Response> => {
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal.reason);
    if (request.signal.aborted) abort();
    request.signal.addEventListener("abort", abort);
    const timer = setTimeout(() => {
      controller.abort(new DOMException(`No answer within ${timeoutMs} ms`, "TimeoutError"));
    }, timeoutMs);
    try {
      const response = await fetch(request, { signal: controller.signal });
      // The body is read here, under the same time limit: it may come late, or never.
      const body = await response.arrayBuffer();
      // An answer that must not have a body, as 204, may not even be given an empty one.
      return new Response(body.byteLength === 0 ? null : body, response);
    } finally {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", abort);
    }
  };
}
