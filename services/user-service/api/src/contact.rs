//! How a user wants to be notified.

use contract::extract::optional;
use contract::items::each_once;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

contract::string_type! {
    /// A phone number in international form (E.164): `+`, the country code, which does not begin with 0, and the number;
    /// 7 to 15 digits without spaces.
    pub struct PhoneNumber {
        length: 8..=16,
        pattern: "^\\+[1-9][0-9]{6,14}$",
        expected: "a phone number in international form: `+`, a country code that does not begin with 0, and the number; 7 to 15 digits without spaces",
        example: "+14155550123",
    }
}

contract::string_type! {
    /// A language: two lower-case letters, as in ISO 639-1, without a region. Notifications are in English if there are no
    /// texts in this language.
    pub struct Language {
        length: 2..=2,
        pattern: "^[a-z]{2}$",
        expected: "a language of two lower-case letters, as in ISO 639-1",
        example: "en",
    }
}

contract::string_enum! {
    /// A way to notify a user. `email`: at the user's e-mail address. `sms`: at the user's phone number.
    pub enum Channel {
        Email = "email",
        Sms = "sms",
    }
}

/// How a user wants to be notified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// The user's phone number.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PhoneNumber")]
    pub phone: Option<PhoneNumber>,
    /// The language of notifications.
    pub language: Language,
    /// The channels on which notifications are sent, each once. If there is none, nothing is sent.
    pub channels: Vec<Channel>,
}

/// How a user is to be notified from now on, all of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactReplace {
    /// The user's phone number; required for the channel `sms`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PhoneNumber")]
    pub phone: Option<PhoneNumber>,
    /// The language of notifications.
    pub language: Language,
    /// The channels on which to send notifications, each once, in any order. If there is none, nothing is sent.
    #[serde(deserialize_with = "each_channel_once")]
    #[schemars(length(max = 2))]
    pub channels: Vec<Channel>,
}

fn each_channel_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Channel>, D::Error> {
    each_once(deserializer, 0..=2, "the channel", |channel: &Channel| channel.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_international() {
        for good in ["+14155550123", "+1234567", "+123456789012345"] {
            assert!(good.parse::<PhoneNumber>().is_ok(), "{good:?}");
        }
        for bad in ["+0041555501", "004155550123", "+1 415 555", "+123456", "+1234567890123456", "+1415555012a"] {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_channel_occurs_once() {
        let channels = |channels: &str| {
            let contact = format!(r#"{{ "language": "en", "channels": {channels} }}"#);
            serde_json::from_str::<ContactReplace>(&contact).map_err(|error| error.to_string())
        };
        assert!(channels(r#"["sms", "email"]"#).is_ok());
        let twice = channels(r#"["email", "email"]"#).unwrap_err();
        assert!(twice.contains("the channel email occurs twice"), "{twice}");
    }
}
