//! Events: facts that a service publishes, declared as types beside its API trait.
//!
//! An event is sent as a CloudEvent 1.0 in JSON; an API crate declares what is in its `data`, with [`event!`](crate::event!).
//! Consumers ignore fields that they do not know, so an event may get new ones, and never loses one.
//!
//! ```
//! contract::integer_type! {
//!     /// The id of a lamp.
//!     pub struct LampId in 1..=100, example 1;
//! }
//!
//! contract::event! {
//!     /// A lamp was lit
//!     ///
//!     /// Somebody has lit it.
//!     pub struct LampLit as "lamp.lit" about lamp_id {
//!         /// The lamp.
//!         pub lamp_id: LampId,
//!     }
//! }
//!
//! use contract::event::{Event, EventType};
//!
//! let lit = LampLit { lamp_id: 7.try_into().unwrap() };
//! assert_eq!((LampLit::TYPE, lit.subject()), ("lamp.lit", "7".to_owned()));
//! assert_eq!(EventType::of::<LampLit>().title(), "A lamp was lit");
//! ```

use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operation::{TypeCheck, check_as};
use crate::time::Timestamp;

/// The media type of an event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// What a service publishes: the `data` of a CloudEvent. It must not contain personal data.
pub trait Event: Serialize + DeserializeOwned + JsonSchema {
    /// The type of the CloudEvent: what the event is about, a dot, and what happened to it.
    const TYPE: &'static str;
    /// Its description in Markdown: a title, an empty line, a paragraph.
    const TEXT: &'static str;

    /// The id of what it is about.
    fn subject(&self) -> String;
}

/// The events of a service.
#[derive(Debug)]
pub struct Events {
    /// `info.version`: the version of the event document.
    pub version: semver::Version,
    /// The types, in any order.
    pub types: fn() -> Vec<EventType>,
    /// The text of `events.json`: examples as objects with `type` and `data`, at least one for each type.
    pub examples: &'static str,
}

/// A type of event, without its Rust type.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// [`Event::TYPE`].
    pub name: &'static str,
    text: &'static str,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) check: TypeCheck,
    pub(crate) subject: fn(&serde_json::Value) -> serde_json::Result<String>,
}

impl EventType {
    /// The type of `E`.
    pub fn of<E: Event>() -> Self {
        Self {
            name: E::TYPE,
            text: E::TEXT,
            schema: |generator| generator.subschema_for::<E>(),
            check: check_as::<E>,
            subject: |data| Ok(serde_json::from_value::<E>(data.clone())?.subject()),
        }
    }

    /// The first line of its description.
    pub fn title(&self) -> &'static str {
        self.text.trim().lines().next().unwrap_or_default()
    }

    /// What follows the first line, in one paragraph or more.
    pub(crate) fn paragraphs(&self) -> String {
        let paragraphs = self.text.trim().split("\n\n").skip(1);
        paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
    }
}

/// A CloudEvent 1.0, as it is sent.
#[derive(Debug, Serialize)]
pub struct CloudEvent<'a, T> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    dataschema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: T,
}

/// What an event is sent with, besides itself.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Unique among all events: a UUID of version 7.
    pub id: &'a str,
    /// From [`source()`].
    pub source: &'a str,
    /// From [`data_schema()`].
    pub data_schema: &'a str,
    /// When it happened.
    pub time: Timestamp,
    /// Where in a trace it happened, by W3C Trace Context.
    pub traceparent: Option<&'a str>,
}

impl<'a, E: Event> CloudEvent<'a, &'a E> {
    /// `event` as it is sent.
    pub fn new(event: &'a E, context: &Context<'a>) -> Self {
        Self::of(context, E::TYPE, event.subject(), event)
    }
}

impl<'a, T> CloudEvent<'a, T> {
    pub(crate) fn of(context: &Context<'a>, r#type: &'a str, subject: String, data: T) -> Self {
        let Context { id, source, data_schema: dataschema, time, traceparent } = *context;
        let (specversion, datacontenttype) = ("1.0", "application/json");
        Self { specversion, id, source, r#type, subject, time, datacontenttype, dataschema, traceparent, data }
    }
}

/// The `source` of the events of `service`.
pub fn source(service: &str) -> String {
    format!("/{service}")
}

/// The `dataschema` of the events of `service`, whose event document has this version.
pub fn data_schema(service: &str, version: &str) -> String {
    format!("urn:orders-platform:events:{service}:{version}")
}

/// Declares a type of event: a structure with its type and the field that says what it is about; see
/// [`event`](mod@crate::event).
#[macro_export]
macro_rules! event {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident as $type:literal about $subject:ident {
            $($(#[$meta:meta])* $field_vis:vis $field:ident: $field_type:ty),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Clone,
            Debug,
            PartialEq,
            $crate::macro_support::serde::Serialize,
            $crate::macro_support::serde::Deserialize,
            $crate::macro_support::schemars::JsonSchema,
        )]
        #[serde(crate = "contract::macro_support::serde")]
        #[schemars(crate = "contract::macro_support::schemars")]
        $vis struct $name {
            $($(#[$meta])* $field_vis $field: $field_type),+
        }

        impl $crate::event::Event for $name {
            const TYPE: &'static str = $type;
            const TEXT: &'static str = concat!($($doc, "\n"),*);

            fn subject(&self) -> String {
                self.$subject.to_string()
            }
        }
    };
}
