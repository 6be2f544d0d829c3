//! Where messages go: a mail server, an SMS provider, or files.

mod files;
mod outgoing;
pub(crate) mod sms;
pub(crate) mod smtp;

use std::path::Path;

use anyhow::Result;
use notification_service_api::Channel;
use slog::{Logger, info, warn};

pub(crate) use outgoing::{Outgoing, SendError};

use crate::settings::Settings;
use files::Files;
use sms::SmsProvider;
use smtp::MailServer;

/// What sends the messages of a channel.
pub(crate) enum Outlet {
    MailServer(MailServer),
    SmsProvider(Box<SmsProvider>),
    Files(Files),
}

impl Outlet {
    /// What `settings` say about each channel: files in `directory`, where there is no server.
    ///
    /// # Errors
    ///
    /// A server cannot be used as it is configured.
    pub(crate) fn of_channels(
        settings: Settings,
        domain: &str,
        directory: &Path,
        log: &Logger,
    ) -> Result<[(Channel, Self); 2]> {
        let files = |channel: Channel| {
            info!(log, "messages are written to files"; "channel" => channel.as_str(), "directory" => directory.display().to_string());
            Self::Files(Files::new(directory.to_owned(), log.clone()))
        };
        let mail = match settings.smtp_url {
            Some(url) => {
                info!(log, "messages go to a server"; "channel" => Channel::Email.as_str(), "server" => url.to_string());
                if url.exposes_password() {
                    warn!(log, "the password of SMTP_URL is sent without encryption");
                }
                Self::MailServer(MailServer::new(url, domain)?)
            }
            None => files(Channel::Email),
        };
        let sms = match settings.sms_url {
            Some(url) => {
                info!(log, "messages go to a server"; "channel" => Channel::Sms.as_str(), "server" => url.to_string());
                if url.exposes_token() {
                    warn!(log, "the token of SMS_URL is sent without encryption");
                }
                Self::SmsProvider(Box::new(SmsProvider::new(url, settings.sms_from)?))
            }
            None => files(Channel::Sms),
        };
        Ok([(Channel::Email, mail), (Channel::Sms, sms)])
    }

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
