//! The rules about users.

use std::collections::BTreeSet;

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::info;
use user_service_api::{
    Channel, Contact, ContactReplace, User, UserCreate, UserId, UserIds, UserListQuery, UserPage, UserReplace,
};

use crate::store::UserStore;

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("no user has this id")]
    NotFound,
    #[error("another user has this e-mail address")]
    EmailTaken,
    #[error("the channel sms needs a phone number")]
    PhoneMissing,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(DatabaseError),
}

impl From<DatabaseError> for UserError {
    fn from(error: DatabaseError) -> Self {
        match error {
            // The e-mail address is the only unique value of a user.
            DatabaseError::UniqueViolation => Self::EmailTaken,
            error => Self::Database(error),
        }
    }
}

/// The state in a page token: where the next page starts, and the filter of the list. A list by e-mail address has one page,
/// so no token contains an address.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextUsers {
    after: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<UserIds>,
    limit: PageLimit,
}

impl PageState for NextUsers {
    const LIST: &'static str = "users";
}

/// The users and their rules.
pub(crate) struct Users {
    store: UserStore,
    keys: Keys,
}

impl Users {
    pub(crate) fn new(store: UserStore, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// Creates a user. A repeated request with the same key gets the stored response.
    pub(crate) async fn create(
        &self,
        user: UserCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<User>, UserError> {
        let trace = request.trace.traceparent();
        let create = |claim| async {
            let (created, response) = self.store.insert(&user, Utc::now(), claim, Some(&trace)).await?;
            info!(request.log, "user created"; "user_id" => created.id.get());
            Ok(response)
        };
        self.keys.once("user_create", key, &user, &request.log, create).await
    }

    pub(crate) async fn view(&self, id: UserId) -> Result<User, UserError> {
        self.store.find(id).await?.ok_or(UserError::NotFound)
    }

    pub(crate) async fn replace(&self, id: UserId, user: UserReplace) -> Result<User, UserError> {
        self.store.update(id, &user.email, &user.name).await?.ok_or(UserError::NotFound)
    }

    pub(crate) async fn contact(&self, id: UserId) -> Result<Contact, UserError> {
        self.store.find_contact(id).await?.ok_or(UserError::NotFound)
    }

    pub(crate) async fn replace_contact(&self, id: UserId, contact: ContactReplace) -> Result<Contact, UserError> {
        let ContactReplace { phone, language, channels } = contact;
        if phone.is_none() && channels.contains(&Channel::Sms) {
            return Err(UserError::PhoneMissing);
        }
        let channels = Channel::ALL.into_iter().filter(|channel| channels.contains(channel)).collect();
        let contact = Contact { phone, language, channels };
        if self.store.update_contact(id, &contact).await? { Ok(contact) } else { Err(UserError::NotFound) }
    }

    pub(crate) async fn delete(&self, id: UserId, request: &RequestScope) -> Result<(), UserError> {
        let trace = request.trace.traceparent();
        if self.store.delete(id, Utc::now(), Some(&trace)).await? { Ok(()) } else { Err(UserError::NotFound) }
    }

    pub(crate) async fn list(&self, query: UserListQuery) -> Result<UserPage, UserError> {
        let from = query.page_token.as_deref().map(NextUsers::from_token).transpose()?;
        if let Some(from) = &from {
            same_filter(query.email.as_ref(), None)?;
            same_filter(query.ids.as_ref(), from.ids.as_ref())?;
        }
        if let Some(email) = &query.email {
            let user = self.store.find_by_email(email).await?;
            let is_listed = |user: &User| query.ids.as_ref().is_none_or(|ids| parse_ids(ids).contains(&user.id));
            return Ok(UserPage { items: user.into_iter().filter(is_listed).collect(), next_page: None });
        }
        let from = from.unwrap_or(NextUsers { after: 0, ids: query.ids, limit: PageLimit::default() });
        let limit = query.limit.unwrap_or(from.limit);
        let rows = match &from.ids {
            Some(ids) => {
                let ids = parse_ids(ids).into_iter().filter(|id| id.get() > from.after);
                self.store.find_each(ids.collect()).await?
            }
            None => self.store.list_after(from.after, limit.get() + 1).await?,
        };
        let next = |last: &User| NextUsers { after: last.id.get(), ids: from.ids, limit };
        let (items, next_page) =
            page_of(rows, limit, |user| user.name.as_str().len() + user.email.as_str().len(), next)?;
        Ok(UserPage { items, next_page })
    }
}

/// The ids in `ids`, except those that exceed the largest user id.
fn parse_ids(ids: &UserIds) -> BTreeSet<UserId> {
    ids.as_str().split(',').filter_map(|id| id.parse::<i64>().ok()?.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state of a later version that has one more filter.
    #[derive(Serialize, Deserialize)]
    struct LaterUsers {
        after: i64,
        limit: PageLimit,
        colour: String,
    }

    impl PageState for LaterUsers {
        const LIST: &'static str = NextUsers::LIST;
    }

    #[test]
    fn a_token_with_an_unknown_filter_is_refused() {
        let limit = PageLimit::default();
        let known = NextUsers { after: 7, ids: None, limit }.to_token().unwrap();
        assert_eq!(NextUsers::from_token(&known).unwrap().after, 7);
        let later = LaterUsers { after: 7, limit, colour: "red".to_owned() }.to_token().unwrap();
        assert!(matches!(NextUsers::from_token(&later), Err(PageError::InvalidToken)));
    }
}
