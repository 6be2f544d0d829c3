//! The events of widget-service.

use contract::event::{EventType, Events};

use crate::WidgetId;

contract::event! {
    /// A widget was created
    ///
    /// A new widget is stored.
    pub struct WidgetCreated as "widget.created" about widget_id {
        /// The widget.
        pub widget_id: WidgetId,
    }
}

pub(crate) fn events() -> Events {
    Events {
        version: semver::Version::new(0, 1, 0),
        types: || vec![EventType::of::<WidgetCreated>()],
        examples: include_str!("../events.json"),
    }
}
