//! The contract of user-service: which operations there are, what goes in, what comes out, what can fail.
//!
//! The service owns users: who exists, under which name and e-mail address. It knows nothing of orders; a
//! user can be deleted while orders refer to them.
//!
//! This crate has no behaviour. The service implements [`UserServiceApi`]; [`document()`] turns the
//! trait into the OpenAPI document that is checked in as `openapi/user-service.json`. The doc comments here
//! are that document's text: they are written for people who will never see this code.

mod operations;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use contract::idempotency::KeyHeader;
use contract::page::PageLimit;
use dropshot::{HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use operations::{EMAIL_TAKEN, USER_NOT_FOUND, document, examples};

/// The operations of user-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "operations" = {
                description = "Whether the service runs and can do its work: for load balancers, orchestrators and people on call.",
            },
            "users" = {
                description = "The people who place orders: create, read, list, replace and delete them.",
            },
        },
    },
}]
pub trait UserServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Create a user
    ///
    /// Stores a new user and answers with them as stored. Ids are given out in rising order; there may be gaps,
    /// and the id of a deleted user is never given to another.
    ///
    /// The e-mail address must not belong to another user; upper and lower case make no difference. It is kept
    /// and returned as written.
    ///
    /// With an `Idempotency-Key` the request is safe to repeat whatever happened to it.
    #[endpoint { method = POST, path = "/api/v1/users", tags = ["users"] }]
    async fn user_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<UserCreate>,
    ) -> Result<Answer<Created<User>>, HttpError>;

    /// List users
    ///
    /// Users in the order of their ids, a page at a time. Pass the `next_page` of an answer as `page_token` to
    /// get the page after it; the last page has none. No user appears twice; one created while you page through
    /// may be missing.
    ///
    /// With `ids` the list holds the users with those ids, each once, all on one page unless `limit` says fewer; with
    /// `email` the one user with that address; with both, a user must match both. Whoever does not exist is left out.
    #[endpoint { method = GET, path = "/api/v1/users", tags = ["users"] }]
    async fn user_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<UserListQuery>,
    ) -> Result<Answer<HttpResponseOk<UserPage>>, HttpError>;

    /// Read a user
    ///
    /// Answers with the user as last stored.
    #[endpoint { method = GET, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError>;

    /// Replace a user
    ///
    /// Sets e-mail address and name, both at once; the id stays. Sending the same again changes nothing, so the
    /// request is safe to repeat.
    #[endpoint { method = PUT, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_replace(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
        body: JsonBody<UserReplace>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError>;

    /// Delete a user
    ///
    /// Removes the user for good. Their orders remain, and new ones cannot be placed for them. Deleting again
    /// answers with `user_not_found`.
    #[endpoint { method = DELETE, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_delete(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError>;

    /// Ask whether the process runs
    ///
    /// Answers as soon as the process can answer at all; it does not touch the database. Restart what does not
    /// answer here.
    #[endpoint { method = GET, path = "/health", tags = ["operations"] }]
    async fn health(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Health>>, HttpError>;

    /// Ask whether the service can do its work
    ///
    /// Looks whether the database answers and the process is not stopping. Send no requests to an instance that
    /// is not ready; it becomes ready again by itself.
    #[endpoint { method = GET, path = "/ready", tags = ["operations"] }]
    async fn ready(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError>;
}

contract::integer_type! {
    /// A user's id, given out by user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// Ids of users, 1 to 100 of them, separated by commas, in any order.
    pub struct UserIds {
        length: 1..=1699,
        pattern: "^[1-9][0-9]{0,15}(,[1-9][0-9]{0,15}){0,99}$",
        expected: "1 to 100 ids of users, separated by commas",
        example: "1,2,3",
    }
}

contract::string_type! {
    /// An e-mail address: printable ASCII with exactly one `@` and something on either side of it. Write an
    /// international domain in its `xn--` form. Whether mail arrives there is not checked. Kept as written;
    /// compared without regard to case.
    pub struct EmailAddress {
        length: 3..=254,
        pattern: "^[!-?A-~]+@[!-?A-~]+$",
        expected: "an e-mail address: printable ASCII without spaces, with exactly one `@` between other characters",
        example: "user@example.com",
    }
}

contract::string_type! {
    /// A person's name, in any script: no control characters, and at least one visible character.
    pub struct UserName {
        length: 1..=255,
        pattern: "^[^\\u0000-\\u001F\\u007F-\\u009F]*[^\\u0000-\\u0020\\u007F-\\u00A0\\u00AD\\u2000-\\u200F\\u2028-\\u202F\\u205F-\\u206F\\u3000\\uFEFF][^\\u0000-\\u001F\\u007F-\\u009F]*$",
        expected: "no control characters, and at least one visible character",
        example: "John Doe",
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The user's e-mail address, as it was written.
    pub email: EmailAddress,
    /// The user's name.
    pub name: UserName,
}

/// A user to create.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The user's e-mail address. No other user may have it.
    pub email: EmailAddress,
    /// The user's name.
    pub name: UserName,
}

/// What a user is to be from now on: all of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserReplace {
    /// The user's e-mail address. No other user may have it.
    pub email: EmailAddress,
    /// The user's name.
    pub name: UserName,
}

/// The variables of a path to one user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPath {
    /// The user's id.
    pub user_id: UserId,
}

/// Which users to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserListQuery {
    /// Only the users with these ids.
    pub ids: Option<UserIds>,
    /// Only the user with this e-mail address, compared without regard to case.
    pub email: Option<EmailAddress>,
    /// The most users on a page; 100 if absent. Beside a `page_token` it changes the length of the pages from
    /// there on.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the page before. Not together with `ids` or `email`.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of users.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserPage {
    /// The users, by rising id.
    pub items: Vec<User>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJ1c2VycyIseyJhZnRlciI6MSwibGltaXQiOjF9XQqgKHE"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_valid() {
        assert!(EmailAddress::RULES.example.parse::<EmailAddress>().is_ok());
        assert!(UserName::RULES.example.parse::<UserName>().is_ok());
        assert!(UserIds::RULES.example.parse::<UserIds>().is_ok());
    }

    #[test]
    fn up_to_a_hundred_ids_are_separated_by_commas() {
        let longest = vec![UserId::MAX.to_string(); 100].join(",");
        for good in ["1", "3,1,2", "1,1", "9999999999999999", longest.as_str()] {
            assert!(good.parse::<UserIds>().is_ok(), "{good:?}");
        }
        let too_many = vec!["1"; 101].join(",");
        for bad in ["", ",", "1,", ",1", "1,,2", "1, 2", "0", "01", "-1", "1.0", "a", "10000000000000000", &too_many] {
            assert!(bad.parse::<UserIds>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_has_a_visible_character_and_no_control_character() {
        for good in ["A", "名", "🦀", " A ", "O'Dœ; --", "\u{200F}א"] {
            assert!(good.parse::<UserName>().is_ok(), "{good:?}");
        }
        for bad in [" ", "\u{3000}", "\u{200B}\u{2003}", "\u{2028}", "A\0", "A\u{85}", "\n"] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_is_printable_ascii_around_one_at() {
        for good in ["a@b", "o'neil+tag@example.com", "a@xn--bcher-kva.example"] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good:?}");
        }
        for bad in ["ab", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "ä@b", "a@b\u{7f}"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
        }
    }
}
