/** Typed client of user-service and order-service. The README beside this package is its manual. */

export { createOrderClient, createUserClient } from "./client.js";
export type { ClientOptions, OrderClient, UserClient } from "./client.js";
export { ApiError, unwrap } from "./error.js";
export type { Answer } from "./error.js";
export { ErrorCode } from "./generated/error-code.js";
export { paginate } from "./paginate.js";

import type { components as order } from "./generated/order-service.js";
import type { components as user } from "./generated/user-service.js";

/** The types of user-service by their names in its document, for instance `UserSchemas["User"]`. */
export type UserSchemas = user["schemas"];

/** The types of order-service by their names in its document, for instance `OrderSchemas["Order"]`. */
export type OrderSchemas = order["schemas"];
