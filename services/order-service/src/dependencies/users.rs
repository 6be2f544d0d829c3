//! Whether a user exists, according to user-service.

use std::collections::HashSet;

use client_policy::Failure;
use order_service_api::UserId;
use service_runtime::dependency::{Found, Lookup, LookupError};
use user_client::{Client, Error, error_codes, types};

/// A page of a hundred users with the longest names and addresses.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// Looks up users; finds that they exist.
pub(crate) struct UserLookup;

impl Lookup for UserLookup {
    type Client = Client;
    type Key = UserId;
    type Value = ();
    const OPERATION: &'static str = "user_check";
    /// The contract's limit of `ids`.
    const MAX_KEYS: usize = 100;

    async fn one(client: &Client, id: UserId) -> Result<(), LookupError> {
        let user = client.user_view().user_id(id.get()).send().await.map_err(lookup_error)?;
        if i64::try_from(user.id.get()) == Ok(id.get()) {
            Ok(())
        } else {
            Err(LookupError::InvalidResponse("another user was returned".to_owned()))
        }
    }

    /// A page proves who exists, not who does not: a missing user is looked up alone.
    async fn many(client: &Client, ids: Vec<UserId>) -> Found<UserId, ()> {
        let list: Vec<String> = ids.iter().map(UserId::to_string).collect();
        match client.user_list().ids(list.join(",")).send().await.map_err(lookup_error) {
            Ok(page) => {
                let listed: HashSet<_> =
                    page.items.iter().filter_map(|user| i64::try_from(user.id.get()).ok()).collect();
                ids.into_iter().filter(|id| listed.contains(&id.get())).map(|id| (id, Ok(()))).collect()
            }
            // An older version of user-service does not have the filter `ids`.
            Err(LookupError::InvalidResponse(_)) => Found::new(),
            Err(error) => ids.into_iter().map(|id| (id, Err(error.clone()))).collect(),
        }
    }
}

fn lookup_error(error: Error<types::Error>) -> LookupError {
    LookupError::from_failure(Failure::of(error), error_codes::USER_NOT_FOUND)
}

#[cfg(test)]
mod tests;
