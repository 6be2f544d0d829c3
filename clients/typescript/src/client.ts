import createClient, { type Client } from "openapi-fetch";

/** The options of a client: address, `fetch` function and time limit. */
export interface ClientOptions {
  /** The base URL of the service, for example `http://127.0.0.1:8001`; in a browser, `""` is the origin of the page. */
  baseUrl: string;
  /** Replaces the global `fetch`, for example to log, to add headers, or to return fixed responses in tests. */
  fetch?: (request: Request, init: { signal: AbortSignal }) => Promise<Response>;
  /** The milliseconds to wait for a complete response before the call throws a `TimeoutError`; 10 000 if absent. */
  timeoutMs?: number;
}

/** Creates a client for the paths of a document; src/generated/clients.ts calls it for each service. */
export function createServiceClient<Paths extends {}>(options: ClientOptions): Client<Paths> {
  return createClient<Paths>({ baseUrl: options.baseUrl, fetch: withTimeout(options) });
}

/**
 * A `fetch` that aborts after `timeoutMs`, or when the caller's signal aborts.
 *
 * It does not use `AbortSignal.any` with `AbortSignal.timeout`, because a garbage collection in Node can disarm a chain
 * of signals (nodejs/node#57736, nodejs/undici#4068). Here the timer and the stack frame hold every required reference.
 */
function withTimeout({ fetch = globalThis.fetch, timeoutMs = 10_000 }: ClientOptions) {
  return async (request: Request): Promise<Response> => {
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal.reason);
    if (request.signal.aborted) abort();
    request.signal.addEventListener("abort", abort);
    const timer = setTimeout(() => {
      controller.abort(new DOMException(`No complete response within ${timeoutMs} ms`, "TimeoutError"));
    }, timeoutMs);
    try {
      const response = await fetch(request, { signal: controller.signal });
      // The time limit covers the body too, so the body is read here.
      const body = await response.arrayBuffer();
      // `Response` rejects even an empty body for a status without a body, such as 204.
      return new Response(body.byteLength === 0 ? null : body, response);
    } finally {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", abort);
    }
  };
}
