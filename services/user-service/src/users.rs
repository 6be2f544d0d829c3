//! The rules about users.

use std::collections::BTreeSet;

use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of};
use user_service_api::{User, UserCreate, UserId, UserIds, UserListQuery, UserPage, UserReplace};

use crate::store::UserStore;

/// The rule that a request breaks, or what kept it from being judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("no user has this id")]
    NotFound,
    #[error("another user has this e-mail address")]
    EmailTaken,
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
            // The e-mail address is all of a user that must be unique.
            DatabaseError::UniqueViolation => Self::EmailTaken,
            error => Self::Database(error),
        }
    }
}

/// Where the next page of users begins, and which users the list is of. It holds no e-mail address: a list by address has one
/// page.
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

/// The answer to the creation of `user`.
pub(crate) fn created(user: &User) -> serde_json::Result<Created<User>> {
    Created::new(user, format!("/api/v1/users/{}", user.id))
}

/// The users and what may be done with them.
pub(crate) struct Users {
    store: UserStore,
    keys: Keys,
}

impl Users {
    pub(crate) fn new(store: UserStore, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// Stores a user, or gives the answer that was given before to the same request with the same key. Only what is
    /// new comes with its user.
    pub(crate) async fn create(
        &self,
        user: UserCreate,
        key: Option<IdempotencyKey>,
    ) -> Result<(Option<User>, Created<User>), UserError> {
        let claim = self.keys.claim("user_create", key, &user)?;
        if let Some(answer) = self.keys.answer(claim.as_ref()).await? {
            return Ok((None, answer));
        }
        match self.store.insert(&user, chrono::Utc::now(), claim.as_ref(), created).await {
            Ok((user, answer)) => Ok((Some(user), answer)),
            // Another instance may have kept the key meanwhile.
            Err(DatabaseError::UniqueViolation) => match self.keys.answer(claim.as_ref()).await? {
                Some(answer) => Ok((None, answer)),
                None => Err(UserError::EmailTaken),
            },
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn view(&self, id: UserId) -> Result<User, UserError> {
        self.store.find(id).await?.ok_or(UserError::NotFound)
    }

    pub(crate) async fn replace(&self, id: UserId, user: UserReplace) -> Result<User, UserError> {
        self.store.update(id, &user.email, &user.name).await?.ok_or(UserError::NotFound)
    }

    pub(crate) async fn delete(&self, id: UserId) -> Result<(), UserError> {
        if self.store.delete(id).await? { Ok(()) } else { Err(UserError::NotFound) }
    }

    pub(crate) async fn list(&self, query: UserListQuery) -> Result<UserPage, UserError> {
        if query.page_token.is_some() && (query.ids.is_some() || query.email.is_some()) {
            return Err(PageError::TokenBesideFilters.into());
        }
        if let Some(email) = &query.email {
            let user = self.store.find_by_email(email).await?;
            let is_listed = |user: &User| query.ids.as_ref().is_none_or(|ids| named(ids).contains(&user.id));
            return Ok(UserPage { items: user.into_iter().filter(is_listed).collect(), next_page: None });
        }
        let from = match &query.page_token {
            Some(token) => NextUsers::from_token(token)?,
            None => NextUsers { after: 0, ids: query.ids, limit: PageLimit::default() },
        };
        let limit = query.limit.unwrap_or(from.limit);
        let rows = match &from.ids {
            Some(ids) => {
                let ids = named(ids).into_iter().filter(|id| id.get() > from.after);
                self.store.find_each(ids.collect()).await?
            }
            None => self.store.list_after(from.after, limit.get() + 1).await?,
        };
        let next = |last: &User| NextUsers { after: last.id.get(), ids: from.ids, limit };
        let (items, next_page) = page_of(rows, limit, next)?;
        Ok(UserPage { items, next_page })
    }
}

/// The ids in `ids`, but for those that are too large for any user.
fn named(ids: &UserIds) -> BTreeSet<UserId> {
    ids.as_str().split(',').filter_map(|id| id.parse::<i64>().ok()?.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the next page begins, by a later version that has one filter more.
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
    fn a_token_with_a_filter_that_is_not_known_is_refused() {
        let limit = PageLimit::default();
        let known = NextUsers { after: 7, ids: None, limit }.to_token().unwrap();
        assert_eq!(NextUsers::from_token(&known).unwrap().after, 7);
        let later = LaterUsers { after: 7, limit, colour: "red".to_owned() }.to_token().unwrap();
        assert!(matches!(NextUsers::from_token(&later), Err(PageError::InvalidToken)));
    }
}
