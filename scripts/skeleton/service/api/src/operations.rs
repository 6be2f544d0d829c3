//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, WRITE};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::events::events;
use crate::{Widget, WidgetCreate, WidgetPage, widget_service_api_mod};

/// No widget has the id.
pub const WIDGET_NOT_FOUND: ErrorCode = ErrorCode {
    code: "widget_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No widget has this id.",
    message: "Widget not found",
    retry_after_s: None,
};

/// The contract of widget-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "widget-service",
        port: EXAMPLE_PORT,
        version: semver::Version::new(0, 1, 0),
        summary: "Owns the widgets of the Orders & Notifications Platform.",
        repeating: "Requests with `GET` are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try \
                    again. `widget_create` is safe to repeat if it carries an `Idempotency-Key`.",
        api: widget_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: Some(events()),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("widget_create", "The widget as stored.")
            .takes::<WidgetCreate>()
            .answers::<Widget>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST]),
        Operation::new("widget_list", "A page of widgets.")
            .answers::<WidgetPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("widget_view", "The widget.")
            .answers::<Widget>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, WIDGET_NOT_FOUND]),
    ]
}
