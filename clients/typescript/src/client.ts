import createClient, { type Client } from "openapi-fetch";

/** How to reach a service. */
export interface ClientOptions {
  /** Where the service is, for instance `http://127.0.0.1:8001`; in a browser `""` is the page's own origin. */
  baseUrl: string;
  /** Replaces the global `fetch`: to log, to add headers, to answer in tests. */
  fetch?: (request: Request, init: { signal: AbortSignal }) => Promise<Response>;
  /** How long to wait for a whole answer; 10 seconds if absent. Then the call throws a `TimeoutError`. */
  timeoutMs?: number;
}

/** Creates a client for the paths of a document; src/generated/clients.ts has one for each service. */
export function createServiceClient<Paths extends {}>(options: ClientOptions): Client<Paths> {
  return createClient<Paths>({ baseUrl: options.baseUrl, fetch: withTimeout(options) });
}

/**
 * A fetch that ends after `timeoutMs`, or when the caller's own signal aborts.
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
