//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, READ};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::{Notification, NotificationPage, notification_service_api_mod};

/// No notification has the id.
pub const NOTIFICATION_NOT_FOUND: ErrorCode = ErrorCode {
    code: "notification_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No notification has this id.",
    message: "Notification not found",
    retry_after_s: None,
};

/// The contract of notification-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "notification-service",
        port: 8005,
        version: semver::Version::new(0, 1, 0),
        summary: "Notifies the users of the Orders & Notifications Platform by e-mail and SMS.",
        repeating: "All requests are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try again.",
        api: notification_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: None,
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("notification_list", "A page of notifications.")
            .answers::<NotificationPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("notification_view", "The notification.")
            .answers::<Notification>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, NOTIFICATION_NOT_FOUND]),
    ]
}
