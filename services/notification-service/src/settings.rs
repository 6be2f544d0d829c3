//! The settings of this service alone.

use lettre::message::Mailbox;

use crate::outlets::{SmsUrl, SmtpUrl};

/// Where messages are sent.
#[derive(Clone, Debug, clap::Args)]
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
    #[arg(long, env = "SMS_FROM", value_name = "SENDER", default_value = "Orders")]
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
    text.parse().map_err(|_| "expected an e-mail address, or a name and the address in angle brackets".to_owned())
}
