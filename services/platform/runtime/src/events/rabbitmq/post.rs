//! What is published: an event for whoever wants it, a dead letter, or one that goes back to its queue.

use chrono::{DateTime, SecondsFormat, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::topology::{DEAD, EVENTS, name};
use crate::events::message::{DeadLetter, Outgoing, TransportError, UNDECIDED};

/// Why a dead letter died, and when, in RFC 3339.
const REASON: &str = "x-dead-reason";
const SINCE: &str = "x-dead-since";
/// What the broker itself writes into its dead letters.
const DEATHS: &str = "x-death";
const PERSISTENT: u8 = 2;

/// A message and where it goes.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) exchange: &'static str,
    pub(super) key: ShortString,
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) envelope: Vec<u8>,
}

impl Post {
    /// An event for all who subscribe to its type.
    pub(super) fn event(event: Outgoing) -> Result<Self, TransportError> {
        let key = name(event.event_type)?;
        let properties = BasicProperties::default()
            .with_content_type("application/cloudevents+json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(name(event.event_id)?)
            .with_type(key.clone());
        let Outgoing { mandatory, envelope, .. } = event;
        Ok(Self { exchange: EVENTS, key, mandatory, properties, envelope: envelope.into_bytes() })
    }

    /// A message of `queue` that cannot be handled because of `reason`.
    pub(super) fn dead_letter(
        queue: ShortString,
        properties: &BasicProperties,
        envelope: Vec<u8>,
        reason: &str,
    ) -> Self {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        headers.insert(SINCE.into(), AMQPValue::LongString(now.into()));
        let properties = properties.clone().with_headers(headers);
        Self { exchange: DEAD, key: queue, mandatory: true, properties, envelope }
    }

    /// A dead letter that goes back to `queue`, through the exchange that every broker has for this.
    pub(super) fn replay(queue: ShortString, properties: &BasicProperties, envelope: Vec<u8>) -> Self {
        let properties = properties.clone().with_headers(FieldTable::default());
        Self { exchange: "", key: queue, mandatory: true, properties, envelope }
    }

    /// The id of its event.
    pub(super) fn event_id(&self) -> Option<&ShortString> {
        self.properties.message_id().as_ref()
    }
}

/// The dead letter in a message.
pub(super) fn dead_letter(properties: &BasicProperties, envelope: Vec<u8>) -> DeadLetter {
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string).unwrap_or_default();
    let (reason, dead_since) = death(properties.headers().as_ref());
    DeadLetter {
        event_id: text(properties.message_id()),
        event_type: text(properties.kind()),
        reason,
        dead_since,
        envelope,
    }
}

/// Why and when: as this transport wrote it, or else as the broker did.
fn death(headers: Option<&FieldTable>) -> (String, DateTime<Utc>) {
    let header = |name| headers.and_then(|headers| headers.inner().get(name));
    if let (Some(AMQPValue::LongString(reason)), Some(AMQPValue::LongString(since))) = (header(REASON), header(SINCE)) {
        return (reason.to_string(), since.to_string().parse().unwrap_or_default());
    }
    let Some(AMQPValue::FieldArray(deaths)) = header(DEATHS) else { return (String::new(), DateTime::default()) };
    // The latest is the first.
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else {
        return (String::new(), DateTime::default());
    };
    let seconds = match death.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds).unwrap_or_default(),
        _ => 0,
    };
    let reason = match death.inner().get("reason") {
        Some(AMQPValue::LongString(reason)) if reason.as_bytes() == b"delivery_limit" => UNDECIDED.to_owned(),
        Some(AMQPValue::LongString(reason)) => format!("the broker says: {reason}"),
        _ => String::new(),
    };
    (reason, DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}
