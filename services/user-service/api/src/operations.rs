//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, WRITE};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::events::events;
use crate::{Contact, ContactReplace, User, UserCreate, UserPage, UserReplace, user_service_api_mod};

/// No user has the id.
pub const USER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "user_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No user has this id: it was never assigned, or the user was deleted.",
    message: "User not found",
    retry_after_s: None,
};

/// Another user has the e-mail address.
pub const EMAIL_TAKEN: ErrorCode = ErrorCode {
    code: "email_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another user has this e-mail address, perhaps in another case. Nothing was changed.",
    message: "Another user has this e-mail address",
    retry_after_s: None,
};

/// The channels include `sms`, but there is no phone number.
pub const PHONE_MISSING: ErrorCode = ErrorCode {
    code: "phone_missing",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The channels include `sms`, but there is no `phone`. Nothing was changed.",
    message: "The channel sms needs a phone number",
    retry_after_s: None,
};

/// The contract of user-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "user-service",
        port: 8001,
        version: semver::Version::new(0, 5, 0),
        summary: "Owns the users of the Orders & Notifications Platform.",
        repeating: "Requests with `GET`, `PUT` and `DELETE` are safe to repeat: after a 503 wait for the seconds in \
                    `Retry-After` and try again. `user_create` is safe to repeat if it carries an `Idempotency-Key`. \
                    Without one, after `internal_error`, `database_unavailable`, `deadline_exceeded` or no response at \
                    all, check with `user_list` and `email` whether the user was created before you repeat the request.",
        api: user_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: Some(events()),
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
        Operation::new("contact_view", "How the user is notified.")
            .answers::<Contact>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, USER_NOT_FOUND]),
        Operation::new("contact_replace", "How the user is notified now.")
            .takes::<ContactReplace>()
            .answers::<Contact>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, USER_NOT_FOUND, PHONE_MISSING]),
    ]
}
