//! What Stripe reports: an event that it has signed (<https://docs.stripe.com/webhooks#verify-manually>).
//!
//! A report only says about which payment to ask. What it says of it is not read, so nobody has anything to gain from one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::Sha256;

use crate::settings::Secret;

/// The header of the signature.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
/// The most signatures in a header: there are two while a secret is replaced by another one.
const MAX_SIGNATURES: usize = 16;
/// How far the time of a signature may be from now: whoever has overheard one cannot use it longer.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// The events that end a charge or a refund. The others come while Stripe is being asked.
const ENDS: [&str; 5] = [
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "refund.updated",
    "refund.failed",
];

/// A request that may be of Stripe.
pub(crate) struct Report {
    pub(crate) signature: Option<HeaderValue>,
    pub(crate) body: Vec<u8>,
}

impl Report {
    /// Whether it reports nothing, and does not pretend to.
    pub(crate) fn is_empty(&self) -> bool {
        self.signature.is_none() && self.body.is_empty()
    }

    /// Whether Stripe has signed it with `secret`, about `now`. Without a secret nothing is genuine.
    pub(crate) fn is_genuine(&self, secret: Option<&Secret>, now: DateTime<Utc>) -> bool {
        let header = self.signature.as_ref().and_then(|header| header.to_str().ok());
        let (Some(secret), Some(header)) = (secret, header) else { return false };
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let Some((_, time)) = parts().find(|(name, _)| *name == "t") else { return false };
        let signed_at = time.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        if signed_at.is_none_or(|signed_at| (now - signed_at).abs() > TOLERANCE) {
            return false;
        }
        let Ok(mut code) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else { return false };
        code.update(time.as_bytes());
        code.update(b".");
        code.update(&self.body);
        let signatures = parts().filter(|(name, _)| *name == "v1").take(MAX_SIGNATURES);
        // Comparing takes as long for a wrong one as for the right one, which could be guessed otherwise.
        signatures.filter_map(|(_, text)| bytes(text)).any(|given| code.clone().verify_slice(&given).is_ok())
    }

    /// Whether a refund has failed, perhaps days after it was made.
    pub(crate) fn is_failed_refund(&self) -> bool {
        serde_json::from_slice(&self.body).is_ok_and(|event: Event| event.kind == "refund.failed")
    }

    /// The order and the payment that it is about, if it may have ended something.
    pub(crate) fn subject(&self) -> Option<(i64, i64)> {
        let Event { kind, data } = serde_json::from_slice(&self.body).ok()?;
        let id = |name| data.object.metadata.as_ref()?.get(name)?.parse().ok();
        if ENDS.contains(&kind.as_str()) { Some((id("order_id")?, id("payment_id")?)) } else { None }
    }
}

/// An event of Stripe, as far as it matters here.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Option<BTreeMap<String, String>>,
}

/// The bytes that `text` writes in hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let is_written = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = is_written.then(|| (0..text.len()).step_by(2).map(|start| &text[start..start + 2]))?;
    digits.map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_953_600;
    const BODY: &str = r#"{"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}}"#;
    /// Of `NOW`, a dot and `BODY`, by `openssl dgst -sha256 -hmac whsec_test`.
    const SIGNED: &str = "7d75b79d9853f8187dc25fe4a36e8cf697436b7a5d440341884356959943b7e7";

    fn is_genuine(header: &str, body: &str, secret: Option<&str>) -> bool {
        let report = Report { signature: HeaderValue::from_str(header).ok(), body: body.as_bytes().to_vec() };
        let secret = secret.map(|secret| Secret::from(secret.to_owned()));
        report.is_genuine(secret.as_ref(), DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn one_of_the_signatures_is_right() {
        let wrong = "0".repeat(64);
        for header in [
            format!("t={NOW},v1={SIGNED}"),
            format!("t={NOW},v1={wrong},v1={SIGNED},v0={wrong}"),
            format!("v1={SIGNED}, t={NOW}"),
        ] {
            assert!(is_genuine(&header, BODY, Some("whsec_test")), "{header}");
        }
    }

    #[test]
    fn anything_else_is_not_genuine() {
        let right = format!("t={NOW},v1={SIGNED}");
        assert!(!is_genuine(&right, BODY, None));
        assert!(!is_genuine(&right, BODY, Some("whsec_other")));
        assert!(!is_genuine(&right, &BODY.replace("pi_1", "pi_2"), Some("whsec_test")));
        for header in [
            "",
            "t=,v1=",
            "nonsense",
            &format!("v1={SIGNED}"),
            &format!("t={NOW}"),
            &format!("t={NOW},v0={SIGNED}"),
            &format!("t={NOW},v1={}", &SIGNED[..62]),
            &format!("t={NOW},v1=+{}", &SIGNED[1..]),
            &format!("t={NOW},v1={SIGNED}00"),
            &format!("t={},v1={SIGNED}", NOW + 1),
            &format!("t=99999999999999999999,v1={SIGNED}"),
            &format!("t={NOW},{}v1={SIGNED}", format!("v1={},", "0".repeat(64)).repeat(MAX_SIGNATURES)),
        ] {
            assert!(!is_genuine(header, BODY, Some("whsec_test")), "{header}");
        }
    }

    #[test]
    fn a_signature_is_not_used_later() {
        let (header, body) = (HeaderValue::from_str(&format!("t={NOW},v1={SIGNED}")).ok(), BODY.as_bytes().to_vec());
        let (report, secret) = (Report { signature: header, body }, Secret::from("whsec_test".to_owned()));
        for (seconds, expected) in [(-301, false), (-300, true), (300, true), (301, false)] {
            let now = DateTime::from_timestamp(NOW + seconds, 0).unwrap();
            assert_eq!(report.is_genuine(Some(&secret), now), expected, "{seconds}");
        }
    }

    #[test]
    fn only_the_end_of_a_charge_or_refund_of_this_service_has_a_subject() {
        let subject = |body: &str| Report { signature: None, body: body.as_bytes().to_vec() }.subject();
        let event = |kind: &str, metadata: &str| {
            subject(&format!(r#"{{"type": "{kind}", "data": {{"object": {{"metadata": {metadata}}}}}, "more": 1}}"#))
        };
        let own = r#"{"order_id": "7", "payment_id": "3", "charge_id": "c"}"#;
        assert_eq!(event("payment_intent.succeeded", own), Some((7, 3)));
        assert_eq!(event("refund.failed", own), Some((7, 3)));
        assert_eq!(event("payment_intent.created", own), None);
        for other in ["null", "{}", r#"{"order_id": "7"}"#, r#"{"order_id": "x", "payment_id": "3"}"#] {
            assert_eq!(event("payment_intent.succeeded", other), None, "{other}");
        }
        for other in ["", "null", "[]", "{}", r#"{"type": "payment_intent.succeeded"}"#, BODY] {
            assert_eq!(subject(other), None, "{other}");
        }
    }
}
