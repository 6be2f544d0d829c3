//! How an attempt to send a notification ends.

use notification_service_api::NotificationReason;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It is sent.
    Sent,
    /// It will not be sent.
    Ended(NotificationReason),
    /// It can be tried again.
    Again(Blame),
}

/// What an attempt failed for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Blame {
    /// Something that every message needs.
    Server,
    /// Perhaps this message.
    Message,
    /// It is unknown whether it failed.
    Nobody,
}

impl Outcome {
    /// All labels in metrics.
    pub(crate) const LABELS: [&'static str; 9] = [
        "sent",
        "user_deleted",
        "opted_out",
        "refused",
        "expired",
        "unwritable",
        "unavailable",
        "postponed",
        "unknown",
    ];

    /// The label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Ended(reason) => reason.as_str(),
            Self::Again(Blame::Server) => "unavailable",
            Self::Again(Blame::Message) => "postponed",
            Self::Again(Blame::Nobody) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_label() {
        let reasons = NotificationReason::ALL.map(|reason| Outcome::Ended(reason).label());
        assert!(reasons.iter().all(|label| Outcome::LABELS.contains(label)), "{reasons:?}");
    }
}
