//! Where messages go: a mail server, an SMS provider, or files.

mod files;
mod outgoing;
mod sms;
mod smtp;

pub(crate) use files::Files;
pub(crate) use outgoing::{Outgoing, SendError};
pub(crate) use sms::{SmsProvider, SmsUrl};
pub(crate) use smtp::{MailServer, SmtpUrl};

/// What sends the messages of a channel.
pub(crate) enum Outlet {
    MailServer(MailServer),
    SmsProvider(Box<SmsProvider>),
    Files(Files),
}

impl Outlet {
    /// The name in metrics, traces and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::MailServer(_) => "smtp",
            Self::SmsProvider(_) => "sms-provider",
            Self::Files(_) => "files",
        }
    }

    /// Sends a message; `name` is unique to it, and the same each time it is sent.
    pub(crate) async fn send(&self, message: Outgoing, name: &str) -> Result<(), SendError> {
        match (self, message) {
            (Self::MailServer(server), Outgoing::Mail(mail)) => server.send(&mail).await,
            (Self::SmsProvider(provider), Outgoing::Sms { to, text }) => provider.send(&to, &text).await,
            (Self::Files(files), message) => files.write(message, name).await,
            (Self::MailServer(_) | Self::SmsProvider(_), _) => {
                Err(SendError::Refused("the outlet is of another channel".to_owned()))
            }
        }
    }
}
