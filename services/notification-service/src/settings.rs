//! The settings of this service alone.

use lettre::message::Mailbox;

use crate::outlets::sms::SmsUrl;
use crate::outlets::smtp::SmtpUrl;

/// Where messages are sent.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Settings {
    /// The mail server: smtps://USER:PASSWORD@HOST for TLS, smtp://HOST?tls=required for STARTTLS, or smtp://HOST. Without it
    /// each e-mail is a file in the data directory.
    #[arg(long, env = "SMTP_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) smtp_url: Option<SmtpUrl>,

    /// The sender of e-mails.
    #[arg(long, env = "SMTP_FROM", value_name = "MAILBOX", default_value = "Orders & Notifications <notifications@localhost>", value_parser = mailbox)]
    pub(crate) smtp_from: Mailbox,

    /// The SMS provider, with an API like Twilio's: https://ACCOUNT:TOKEN@HOST. Without it each SMS is a file in the data
    /// directory.
    #[arg(long, env = "SMS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) sms_url: Option<SmsUrl>,

    /// The sender of SMS: a phone number or a name.
    #[arg(long, env = "SMS_FROM", value_name = "SENDER", default_value = "Orders", value_parser = sms_sender)]
    pub(crate) sms_from: String,

    /// The maximum number of messages a second on each channel, sent by one instance.
    #[arg(long, env = "MESSAGES_PER_SECOND", value_name = "NUMBER", default_value_t = 100, value_parser = messages)]
    pub(crate) messages_per_second: u32,
}

/// More than a timer could tell apart make no sense.
fn messages(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "expected a number of messages from 1 to 1000".to_owned())
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let expected = || "expected an e-mail address in ASCII, or a name and the address in angle brackets".to_owned();
    let mailbox: Mailbox = text.parse().map_err(|_| expected())?;
    if mailbox.email.to_string().is_ascii() { Ok(mailbox) } else { Err(expected()) }
}

/// A wrong sender would be refused for each message, for good.
fn sms_sender(text: &str) -> Result<String, String> {
    let number = text
        .strip_prefix('+')
        .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
    let name = (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if number || name {
        Ok(text.to_owned())
    } else {
        Err("expected a phone number such as +14155550123, or a name of at most 11 letters, digits and spaces"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_one_that_providers_accept() {
        for good in ["+14155550123", "Orders", "My Shop 24"] {
            assert_eq!(sms_sender(good).as_deref(), Ok(good));
        }
        for bad in ["", "REPLACE-ME", "4155550123", "+1", "A name that is too long", "Größe"] {
            assert!(sms_sender(bad).is_err(), "{bad}");
        }
        assert!(mailbox("Orders <orders@example.com>").is_ok() && mailbox("orders@example.com").is_ok());
        assert!(mailbox("orders").is_err() && mailbox("größe@example.com").is_err());
        assert!(messages("1").is_ok() && messages("1000").is_ok());
        assert!(messages("0").is_err() && messages("1001").is_err() && messages("many").is_err());
    }
}
