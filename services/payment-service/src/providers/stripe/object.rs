//! The objects of Stripe, as far as they matter here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::providers::provider::{RefundOutcome, Unknown};

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: IntentStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntentStatus {
    Succeeded,
    Canceled,
    Processing,
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    status: Option<RefundStatus>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
    Canceled,
    #[serde(other)]
    Other,
}

impl Refund {
    /// What became of it. One on its way counts as made: banks take days.
    pub(super) fn outcome(&self) -> Result<RefundOutcome, Unknown> {
        match self.status {
            Some(RefundStatus::Pending | RefundStatus::Succeeded) => Ok(RefundOutcome::Refunded),
            Some(RefundStatus::Failed | RefundStatus::Canceled) => Ok(RefundOutcome::Refused),
            Some(RefundStatus::Other) | None => Err(Unknown("Stripe has no outcome yet".to_owned())),
        }
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// Whether `text` is the id of an object: it is put into URLs.
pub(super) fn is_id(text: &str) -> bool {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=255).contains(&text.len()) && text.bytes().all(is_of_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_may_have_a_status_that_is_not_known_here() {
        for (text, expected) in [
            ("succeeded", IntentStatus::Succeeded),
            ("requires_payment_method", IntentStatus::RequiresPaymentMethod),
            ("requires_source", IntentStatus::Other),
        ] {
            let text = format!(r#"{{"id": "pi_1", "status": "{text}", "amount": 1}}"#);
            assert_eq!(serde_json::from_str::<Intent>(&text).unwrap().status, expected);
        }
    }

    #[test]
    fn a_refund_on_its_way_is_made() {
        for (status, expected) in [
            (r#""pending""#, Some(RefundOutcome::Refunded)),
            (r#""succeeded""#, Some(RefundOutcome::Refunded)),
            (r#""failed""#, Some(RefundOutcome::Refused)),
            (r#""canceled""#, Some(RefundOutcome::Refused)),
            (r#""requires_action""#, None),
            ("null", None),
        ] {
            let refund: Refund = serde_json::from_str(&format!(r#"{{"id": "re_1", "status": {status}}}"#)).unwrap();
            assert_eq!(refund.outcome().ok(), expected, "{status}");
        }
    }

    #[test]
    fn an_id_fits_into_a_url() {
        assert!(is_id("pi_3MtwBwLkdIwHu7ix28a3tqPa"));
        for wrong in ["", "pi_1/confirm", "pi_1?a=b", "pi 1", "..", &"p".repeat(256)] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
