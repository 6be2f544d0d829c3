//! What is sent, and why it may not be.

use lettre::Message;

/// A message, ready to be sent.
pub(crate) enum Outgoing {
    Mail(Box<Message>),
    Sms {
        /// The phone number, in international form.
        to: String,
        text: String,
    },
}

/// Why a message was not sent, or may not have been. The texts repeat nothing of the message, nor of what a server wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The server accepts no message now, whoever it is for.
    #[error("{0}")]
    Unavailable(String),
    /// This message may be accepted later.
    #[error("{0}")]
    Postponed(String),
    /// Nobody knows: there was no answer, or one of a server in trouble.
    #[error("{0}")]
    Unknown(String),
    /// This message will never be accepted.
    #[error("{0}")]
    Refused(String),
}
