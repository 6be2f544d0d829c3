//! What the document says of each operation beyond the trait: its errors and its examples.

use contract::document::{About, DocumentError, Operation, complete};
use contract::error_code::{
    BODY, DATABASE_UNAVAILABLE, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, SHUTTING_DOWN, WRITE,
};
use contract::examples::Example;
use contract::health::{Health, Readiness};
use dropshot::ErrorStatusCode;

use crate::{User, UserCreate, UserPage, UserReplace, user_service_api_mod};

/// No user has the id.
pub const USER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "user_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No user has this id: there never was one, or they were deleted.",
    message: "User not found",
    retry_after_s: None,
};

/// Another user has the e-mail address.
pub const EMAIL_TAKEN: ErrorCode = ErrorCode {
    code: "email_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another user has this e-mail address, perhaps in other upper and lower case. Nothing was changed.",
    message: "Another user has this e-mail address",
    retry_after_s: None,
};

/// A request and its answer for every operation and every error code.
pub fn examples() -> Result<Vec<Example>, DocumentError> {
    contract::examples::read(include_str!("../examples.json"))
        .map_err(|error| DocumentError::Examples(error.to_string()))
}

/// The service's OpenAPI document: the trait, completed. A function of this crate alone.
pub fn document() -> Result<String, DocumentError> {
    let description =
        user_service_api_mod::stub_api_description().map_err(|error| DocumentError::Trait(error.to_string()))?;
    complete(description, &about(), operations(), &examples()?)
}

fn about() -> About {
    About {
        title: "User Service",
        version: semver::Version::new(0, 3, 0),
        description: "Owns the users of the Orders & Notifications Platform.\n\n\
            Bodies are JSON (UTF-8) with `snake_case` names; times are RFC 3339 in UTC. Unknown fields of \
            a body and unknown query parameters of a list are refused. Ids are integers up to 2^53 - 1, which every JSON reader keeps exactly.\n\n\
            Every error has the shape of the schema `Error`; decide by its `error_code`. Requests with `GET`, `PUT` \
            and `DELETE` are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try again. \
            `user_create` is safe to repeat if it carries an `Idempotency-Key`. Without one, when its answer is \
            `internal_error`, `database_unavailable`, `deadline_exceeded`, or none at all, look with `user_list` and \
            `email` before you repeat it.\n\n\
            Any request may say in the header `Request-Timeout-Ms` how many milliseconds (1 to 60000) its sender still \
            waits; the service gives up then, if its own limit is not shorter.\n\n\
                        Before version 1.0.0 this contract may change; from then on it only grows within `/api/v1`.",
        server_url: "http://127.0.0.1:8001",
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("user_create", "The user as stored.")
            .takes::<UserCreate>()
            .answers::<User>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, EMAIL_TAKEN]),
        Operation::new("user_list", "A page of users.")
            .answers::<UserPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("user_view", "The user.")
            .answers::<User>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, USER_NOT_FOUND]),
        Operation::new("user_replace", "The user as stored now.")
            .takes::<UserReplace>()
            .answers::<User>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, USER_NOT_FOUND, EMAIL_TAKEN]),
        Operation::new("user_delete", "The user is gone.").fails(WRITE).fails(&[INVALID_REQUEST, USER_NOT_FOUND]),
        Operation::new("health", "The process runs.").answers::<Health>(),
        Operation::new("ready", "The service can do its work.")
            .answers::<Readiness>()
            .fails(&[DATABASE_UNAVAILABLE, SHUTTING_DOWN]),
    ]
}
