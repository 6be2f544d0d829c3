import type { ErrorCode } from "./generated/error-code.js";

/** Thrown by {@link unwrap} and {@link paginate} when a service answers with an error. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status. */
  readonly status: number;
  /** The code to decide by. Absent when no operation was reached, or when a proxy answered. */
  readonly errorCode: ErrorCode | undefined;
  /** The service's id of the request: quote it when reporting a problem. */
  readonly requestId: string | undefined;
  /** How long to wait before trying again, where the service says so. */
  readonly retryAfterSeconds: number | undefined;

  /** @param body What the answer holds: an error of the contract, or whatever a proxy wrote. */
  constructor(response: Response, body: unknown) {
    const field = (name: string): string | undefined => {
      const value: unknown = typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
      return typeof value === "string" ? value : undefined;
    };
    super(field("message") ?? `Status ${response.status} without a message of the service`);
    this.status = response.status;
    this.errorCode = field("error_code");
    this.requestId = field("request_id") ?? response.headers.get("X-Request-Id") ?? undefined;
    const seconds = response.headers.get("Retry-After");
    this.retryAfterSeconds = seconds !== null && /^\d+$/.test(seconds) ? Number(seconds) : undefined;
  }
}

/** What a method of a client answers with: either `data` or `error`. */
export type Answer<Data> =
  | { data: Data; error?: never; response: Response }
  | { data?: never; error: unknown; response: Response };

/** The data of an answer; throws an {@link ApiError} if it is an error. */
export async function unwrap<Data>(call: Promise<Answer<Data>>): Promise<Data> {
  const { data, error, response } = await call;
  // By the status: an error without a body leaves `error` undefined.
  if (!response.ok) throw new ApiError(response, error);
  return data as Data;
}
