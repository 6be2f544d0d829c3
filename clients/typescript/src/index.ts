/** Typed clients for the services of the platform. The README of this package explains how to use them. */

export * from "./generated/clients.js";
export type { ClientOptions } from "./client.js";
export { ApiError, unwrap } from "./error.js";
export type { Answer } from "./error.js";
export { ErrorCode } from "./generated/error-code.js";
export { paginate } from "./paginate.js";
