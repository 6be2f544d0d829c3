//! Whom to notify, and how, according to user-service: asked for each message, and kept nowhere.

use client_policy::Failure;
use notification_service_api::Channel;
use service_runtime::dependency::{Dependency, LookupError};
use service_runtime::guard::RequestScope;
use user_client::{Client, error_codes};

/// A user with the longest name and address.
pub(crate) const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// Whom to notify.
pub(crate) struct Recipient {
    /// The user's name.
    pub(crate) name: String,
    /// The language of the message, two letters.
    pub(crate) language: String,
    /// The e-mail address or the phone number.
    pub(crate) address: String,
}

/// Why a user is not notified.
#[derive(Debug)]
pub(crate) enum NoRecipient {
    /// The user does not exist any more.
    Deleted,
    /// The user does not want messages on this channel.
    OptedOut,
    /// user-service does not say now.
    Unknown(LookupError),
}

/// The users, through the client of user-service.
pub(crate) struct Users(Dependency<Client>);

impl Users {
    pub(crate) fn new(dependency: Dependency<Client>) -> Self {
        Self(dependency)
    }

    /// Where and how the user wants to be notified on `channel`.
    pub(crate) async fn recipient(
        &self,
        user_id: i64,
        channel: Channel,
        scope: &RequestScope,
    ) -> Result<Recipient, NoRecipient> {
        let contact =
            |client: Client| async move { client.contact_view().user_id(user_id).send().await.map_err(Failure::of) };
        let contact = self.0.call("contact_view", scope, contact).await.map_err(no_recipient)?.into_inner();
        if !contact.channels.iter().any(|wanted| wanted.to_string() == channel.as_str()) {
            return Err(NoRecipient::OptedOut);
        }
        let user =
            |client: Client| async move { client.user_view().user_id(user_id).send().await.map_err(Failure::of) };
        let user = self.0.call("user_view", scope, user).await.map_err(no_recipient)?.into_inner();
        let address = match channel {
            Channel::Email => user.email.to_string(),
            // The contract promises a number to whoever has the channel.
            Channel::Sms => contact.phone.ok_or(NoRecipient::OptedOut)?.to_string(),
        };
        Ok(Recipient { name: user.name.to_string(), language: contact.language.to_string(), address })
    }
}

fn no_recipient(failure: Failure) -> NoRecipient {
    match LookupError::from_failure(failure, error_codes::USER_NOT_FOUND) {
        LookupError::NotFound => NoRecipient::Deleted,
        error => NoRecipient::Unknown(error),
    }
}
