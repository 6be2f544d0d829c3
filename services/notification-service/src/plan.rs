//! Which events users are notified of, and on which channels.

use notification_service_api::Channel::{self, Email, Sms};

/// Each event type with the channels on which a message about it is sent, to those users who want messages there.
const PLAN: [(&str, &[Channel]); 6] = [
    ("user.registered", &[Email]),
    ("order.confirmed", &[Email, Sms]),
    ("order.completed", &[Email, Sms]),
    ("order.cancelled", &[Email, Sms]),
    ("payment.completed", &[Email, Sms]),
    ("payment.refunded", &[Email, Sms]),
];

/// The channels on which users are notified of events of this type.
pub(crate) fn channels(event_type: &str) -> &'static [Channel] {
    PLAN.into_iter().find(|(planned, _)| *planned == event_type).map_or(&[], |(_, channels)| channels)
}
