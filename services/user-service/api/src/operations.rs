//! What the document says of each operation beyond the trait: its errors and its examples.

use contract::document::{About, DocumentError, Operation, complete};
use contract::error_code::{
    DATABASE_UNAVAILABLE, DATABASE_UNAVAILABLE_IN_WRITE, ErrorCode, INTERNAL_ERROR, INTERNAL_ERROR_IN_WRITE,
    INVALID_PAGE_TOKEN, INVALID_REQUEST, PAYLOAD_TOO_LARGE, SHUTTING_DOWN, UNSUPPORTED_MEDIA_TYPE,
};
use contract::health::{Health, Readiness};
use dropshot::ErrorStatusCode;
use serde_json::json;

use crate::{User, UserCreate, UserPage, UserReplace, user_service_api_mod};

/// No user has the id.
pub const USER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "user_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No user has this id: there never was one, or they were deleted.",
    example: "User not found",
    retry_after_s: None,
};

/// Another user has the e-mail address.
pub const EMAIL_TAKEN: ErrorCode = ErrorCode {
    code: "email_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another user has this e-mail address, perhaps in other upper and lower case. Nothing was changed.",
    example: "Another user has this e-mail address",
    retry_after_s: None,
};

const READ: &[ErrorCode] = &[INTERNAL_ERROR, DATABASE_UNAVAILABLE];
const WRITE: &[ErrorCode] = &[INTERNAL_ERROR_IN_WRITE, DATABASE_UNAVAILABLE_IN_WRITE];
const INVALID_PATH: ErrorCode = INVALID_REQUEST
    .such_as("path parameter `user_id`: invalid value: integer `0`, expected an integer from 1 to 9007199254740991");
const INVALID_QUERY: ErrorCode =
    INVALID_REQUEST.such_as("query parameter `limit`: invalid value: integer `0`, expected an integer from 1 to 1000");
const INVALID_BODY: ErrorCode = INVALID_REQUEST.such_as("request body `name`: expected 1 to 255 characters, got 300");
const BODY: &[ErrorCode] = &[PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE];

/// The service's OpenAPI document: the trait, completed. A function of this crate alone.
pub fn document() -> Result<String, DocumentError> {
    let description =
        user_service_api_mod::stub_api_description().map_err(|error| DocumentError::Trait(error.to_string()))?;
    complete(description, &about(), operations())
}

fn about() -> About {
    About {
        title: "User Service",
        version: semver::Version::new(0, 1, 0),
        description: "Owns the users of the Orders & Notifications Platform.\n\n\
            Bodies are JSON (UTF-8) with `snake_case` names; times are RFC 3339 in UTC. Unknown fields of \
            a body and unknown query parameters of a list are refused. Ids are integers up to 2^53 - 1, which every JSON reader keeps exactly.\n\n\
            Every error has the shape of the schema `Error`; decide by its `error_code`. Requests with `GET`, `PUT` \
            and `DELETE` are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try again. \
            `user_create` is not: when its answer is `internal_error`, `database_unavailable`, or none at all, look \
            with `user_list` and `email` before you repeat it.\n\n\
            Before version 1.0.0 this contract may change; from then on it only grows within `/api/v1`.",
        server_url: "http://127.0.0.1:8001",
    }
}

fn operations() -> Vec<Operation> {
    let user = json!({ "id": 1, "email": "user@example.com", "name": "John Doe" });
    let without_id = json!({ "email": "user@example.com", "name": "John Doe" });
    vec![
        Operation::new("user_create")
            .takes::<UserCreate>(without_id.clone())
            .answers::<User>("The user as stored.", user.clone())
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_BODY, EMAIL_TAKEN]),
        Operation::new("user_list")
            .answers::<UserPage>("A page of users.", json!({ "items": [user] }))
            .paginated()
            .fails(READ)
            .fails(&[INVALID_QUERY, INVALID_PAGE_TOKEN]),
        Operation::new("user_view")
            .answers::<User>("The user.", user.clone())
            .fails(READ)
            .fails(&[INVALID_PATH, USER_NOT_FOUND]),
        Operation::new("user_replace")
            .takes::<UserReplace>(without_id)
            .answers::<User>("The user as stored now.", user)
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_BODY, USER_NOT_FOUND, EMAIL_TAKEN]),
        Operation::new("user_delete")
            .answers_empty("The user is gone.")
            .fails(WRITE)
            .fails(&[INVALID_PATH, USER_NOT_FOUND]),
        Operation::new("health").answers::<Health>("The process runs.", json!(Health::OK)),
        Operation::new("ready")
            .answers::<Readiness>("The service can do its work.", json!(Readiness::READY))
            .fails(&[DATABASE_UNAVAILABLE, SHUTTING_DOWN]),
    ]
}
