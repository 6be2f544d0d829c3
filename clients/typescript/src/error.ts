import type { ErrorCode } from "./generated/error-code.js";

/** {@link unwrap} and {@link paginate} throw it when a service returns an error. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status. */
  readonly status: number;
  /** The code to branch on. Absent only if something other than a service responded, such as a proxy. */
  readonly errorCode: ErrorCode | undefined;
  /** The id that the service gave the request: include it when you report a problem. */
  readonly requestId: string | undefined;
  /** The seconds to wait before a retry; absent if the response has no `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  /** @param body The body of the response: an error as in the contract, or the output of a proxy. */
  constructor(response: Response, body: unknown) {
    const field = (name: string): string | undefined => {
      const value: unknown = typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
      return typeof value === "string" ? value : undefined;
    };
    super(field("message") ?? `Status ${response.status} without an error message from the service`);
    this.status = response.status;
    this.errorCode = field("error_code");
    this.requestId = field("request_id") ?? response.headers.get("X-Request-Id") ?? undefined;
    const seconds = response.headers.get("Retry-After");
    this.retryAfterSeconds = seconds !== null && /^\d+$/.test(seconds) ? Number(seconds) : undefined;
  }
}

/** The result of a client method: either `data` or `error`. */
export type Answer<Data> =
  | { data: Data; error?: never; response: Response }
  | { data?: never; error: unknown; response: Response };

/** Returns the data of a response; throws an {@link ApiError} if the response is an error. */
export async function unwrap<Data>(call: Promise<Answer<Data>>): Promise<Data> {
  const { data, error, response } = await call;
  // Check the status, because `error` is undefined for an error without a body.
  if (!response.ok) throw new ApiError(response, error);
  return data as Data;
}
