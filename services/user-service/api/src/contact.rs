//! How a user wants to be notified.

use contract::extract::optional;
use contract::items::each_once;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

contract::string_type! {
    /// A phone number in international form: `+`, the country code, and the number, 7 to 15 digits together.
    pub struct PhoneNumber {
        length: 8..=16,
        pattern: "^\\+[1-9][0-9]{6,14}$",
        expected: "a phone number in international form: `+` and 7 to 15 digits",
        example: "+14155550123",
    }
}

contract::string_type! {
    /// A language: two letters, as in ISO 639-1. Where there are no texts in it, they are in English.
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
    /// Where notifications are sent: each channel once, in any order. If there is none, nothing is sent.
    #[schemars(length(max = 2))]
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
    /// Where to send notifications: each channel once, in any order. If there is none, nothing is sent.
    #[serde(deserialize_with = "each_channel_once")]
    #[schemars(length(max = 2))]
    pub channels: Vec<Channel>,
}

fn each_channel_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Channel>, D::Error> {
    each_once(deserializer, 0..=2, "the channel", |channel: &Channel| channel.as_str())
}
