//! widget-service: owns the widgets.
//!
//! A request passes `http` (decode, call, encode), `widgets` (the rules) and `store` (all SQL). `widget-service-api` is the
//! contract.

mod http;
pub mod store;
mod widgets;

use service_runtime::{Service, migrations};

use crate::store::WidgetStore;
use crate::widgets::Widgets;

/// widget-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the widgets of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/widget-service.json"),
    events: Some(include_str!("../../../openapi/events/widget-service.json")),
    settings: None,
    migrations: migrations!["0001_create_widgets"],
    serve: |parts| {
        let store = WidgetStore::new(parts.database.clone(), parts.outbox()?);
        let widgets = Widgets::new(store, parts.keys.clone());
        parts.serve(http::api(), widgets)
    },
};
