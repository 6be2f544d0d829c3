/** Typed client of the platform's services. The README beside this package is its manual. */

export * from "./generated/clients.js";
export type { ClientOptions } from "./client.js";
export { ApiError, unwrap } from "./error.js";
export type { Answer } from "./error.js";
export { ErrorCode } from "./generated/error-code.js";
export { paginate } from "./paginate.js";
