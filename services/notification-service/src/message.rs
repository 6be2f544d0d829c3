//! A notification as the message that is sent.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use notification_service_api::{Channel, NotificationReason};
use slog::{Logger, error, warn};

use crate::dependencies::users::Recipient;
use crate::outlets::Outgoing;
use crate::render::{self, Context, Templates};
use crate::store::Due;

/// What makes messages.
pub(crate) struct Writer {
    templates: Templates,
    from: Mailbox,
}

impl Writer {
    /// Messages of `templates`; e-mails come from `from`.
    pub(crate) fn new(templates: Templates, from: Mailbox) -> Self {
        Self { templates, from }
    }

    /// The host in the id of each e-mail, and the name by which this program introduces itself.
    pub(crate) fn domain(&self) -> &str {
        self.from.email.domain()
    }

    /// The message about `due` on `channel`, to `recipient`; or why there will never be one.
    pub(crate) fn write(
        &self,
        due: &Due,
        channel: Channel,
        recipient: &Recipient,
        log: &Logger,
    ) -> Result<Outgoing, NotificationReason> {
        let unwritable = |problem: String| {
            error!(log, "notification cannot be written"; "error" => problem);
            NotificationReason::Unwritable
        };
        let event = serde_json::from_str(&due.data)
            .map_err(|error| unwritable(format!("its data is no JSON, line {}", error.line())))?;
        let context = Context { user: render::Recipient { name: &recipient.name }, event: &event };
        match channel {
            Channel::Sms => {
                let text = self.templates.sms(&due.event_type, &recipient.language, &context);
                let text = text.map_err(|error| unwritable(error.to_string()))?;
                Ok(Outgoing::Sms { to: recipient.address.clone(), text })
            }
            Channel::Email => {
                // The contract allows addresses to which no mail can be sent.
                let address = recipient.address.parse().map_err(|_| {
                    warn!(log, "notification not sent"; "error" => "no mail can be sent to the address");
                    NotificationReason::Refused
                })?;
                let written = self.templates.mail(&due.event_type, &recipient.language, &context);
                let written = written.map_err(|error| unwritable(error.to_string()))?;
                let mail = Message::builder()
                    .from(self.from.clone())
                    .to(Mailbox::new(Some(recipient.name.clone()), address))
                    .subject(written.subject)
                    .message_id(Some(format!("<{}.email@{}>", due.event_id, self.domain())))
                    .date(SystemTime::from(due.created_at))
                    // Nobody's holiday is to answer it (RFC 3834).
                    .raw_header(HeaderValue::new(
                        HeaderName::new_from_ascii_str("Auto-Submitted"),
                        "auto-generated".to_owned(),
                    ))
                    .multipart(MultiPart::alternative_plain_html(written.text, written.html));
                mail.map(|mail| Outgoing::Mail(Box::new(mail))).map_err(|error| unwritable(error.to_string()))
            }
        }
    }
}
