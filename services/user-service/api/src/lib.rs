//! The contract of user-service: its operations, what they accept, what they return and how they fail.
//!
//! The service owns users: their names, their e-mail addresses, and how they want to be notified. It knows nothing of
//! orders; a user can be deleted while orders refer to them.
//!
//! This crate has no behaviour. The service implements [`UserServiceApi`]; [`service_contract()`] makes the OpenAPI document of
//! it, checked in as `openapi/user-service.json`. The doc comments here are that document's text, written for people who
//! will never see this code.

mod contact;
mod events;
mod operations;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use contract::page::PageLimit;
use dropshot::{HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use contact::{Channel, Contact, ContactReplace, Language, PhoneNumber};
pub use events::{UserDeleted, UserRegistered};
pub use operations::{EMAIL_TAKEN, PHONE_MISSING, USER_NOT_FOUND, service_contract};

/// The operations of user-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "users" = {
                description = "The people who place orders: create, read, list, replace and delete them, and set how they are \
                               notified.",
            },
        },
    },
}]
pub trait UserServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Create a user
    ///
    /// Stores a new user and returns it. Ids are assigned in ascending order, with gaps; the id of a deleted user is never
    /// assigned again.
    ///
    /// The e-mail address must not belong to another user, compared without regard to case. It is stored and returned as
    /// written.
    ///
    /// With an `Idempotency-Key` the request is safe to repeat in every case.
    #[endpoint { method = POST, path = "/api/v1/users", tags = ["users"] }]
    async fn user_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<UserCreate>,
    ) -> Result<Answer<Created<User>>, HttpError>;

    /// List users
    ///
    /// Returns users by ascending id, one page at a time. To get the next page, pass `next_page` as `page_token`; the last
    /// page has no `next_page`. No user appears twice; a user created while you page may be missing.
    ///
    /// With `ids` the list contains the users with those ids, each once, all on one page unless `limit` is lower; with
    /// `email` the one user with that address; with both, users that match both. Users that do not exist are left out.
    #[endpoint { method = GET, path = "/api/v1/users", tags = ["users"] }]
    async fn user_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<UserListQuery>,
    ) -> Result<Answer<HttpResponseOk<UserPage>>, HttpError>;

    /// Read a user
    ///
    /// Returns the user as last stored.
    #[endpoint { method = GET, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError>;

    /// Replace a user
    ///
    /// Replaces e-mail address and name; the id stays. Sending the same again changes nothing, so the request is safe to
    /// repeat.
    #[endpoint { method = PUT, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_replace(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
        body: JsonBody<UserReplace>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError>;

    /// Delete a user
    ///
    /// Removes the user permanently. Their orders remain; new ones cannot be placed for them. Deleting again fails with
    /// `user_not_found`.
    #[endpoint { method = DELETE, path = "/api/v1/users/{user_id}", tags = ["users"] }]
    async fn user_delete(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError>;

    /// Read how a user is notified
    ///
    /// Returns what was last set, with the channels in a fixed order. A user for whom nothing was set is to be notified by
    /// e-mail, in English.
    #[endpoint { method = GET, path = "/api/v1/users/{user_id}/contact", tags = ["users"] }]
    async fn contact_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<Contact>>, HttpError>;

    /// Set how a user is notified
    ///
    /// Replaces phone number, language and channels; without a phone number the user has none afterwards. Sending the same
    /// again changes nothing, so the request is safe to repeat.
    #[endpoint { method = PUT, path = "/api/v1/users/{user_id}/contact", tags = ["users"] }]
    async fn contact_replace(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<UserPath>,
        body: JsonBody<ContactReplace>,
    ) -> Result<Answer<HttpResponseOk<Contact>>, HttpError>;
}

contract::integer_type! {
    /// A user's id, assigned by user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// 1 to 100 user ids, separated by commas, in any order.
    pub struct UserIds {
        length: 1..=1699,
        // An id of more digits than any user's names no user. RE2 has no counted repetitions that multiply to 1000.
        pattern: "^[1-9][0-9]*(,[1-9][0-9]*){0,99}$",
        expected: "1 to 100 user ids, separated by commas",
        example: "1,2,3",
    }
}

contract::string_type! {
    /// An e-mail address: printable ASCII without spaces, with exactly one `@` between other characters. Write an
    /// international domain in its `xn--` form. Delivery is not checked. Stored as written; compared without regard to
    /// case.
    pub struct EmailAddress {
        length: 3..=254,
        pattern: "^[!-?A-~]+@[!-?A-~]+$",
        expected: "an e-mail address: printable ASCII without spaces, with exactly one `@` between other characters",
        example: "user@example.com",
    }
}

contract::string_type! {
    /// A person's name, in any script.
    pub struct UserName {
        length: 1..=255,
        example: "John Doe",
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The user's e-mail address, as written.
    pub email: EmailAddress,
    /// The user's name.
    pub name: UserName,
}

/// A user to create.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The user's e-mail address; unique among all users.
    pub email: EmailAddress,
    /// The user's name.
    pub name: UserName,
}

/// The new values of a user, all of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserReplace {
    /// The user's e-mail address; unique among all users.
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

/// The filters and the page of a list of users.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserListQuery {
    /// Only the users with these ids.
    pub ids: Option<UserIds>,
    /// Only the user with this e-mail address, compared without regard to case.
    pub email: Option<EmailAddress>,
    /// The maximum number of users on a page. If absent, 100 on the first page, and that of the page before with a
    /// `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filters: leave them out, or repeat them unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of users.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserPage {
    /// The users, by ascending id.
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
        assert!(EmailAddress::RULES.example.unwrap().parse::<EmailAddress>().is_ok());
        assert!(UserName::RULES.example.unwrap().parse::<UserName>().is_ok());
        assert!(UserIds::RULES.example.unwrap().parse::<UserIds>().is_ok());
    }

    #[test]
    fn user_ids_are_up_to_a_hundred_separated_by_commas() {
        let longest = vec![UserId::MAX.to_string(); 100].join(",");
        for good in ["1", "3,1,2", "1,1", "9999999999999999", "10000000000000000", longest.as_str()] {
            assert!(good.parse::<UserIds>().is_ok(), "{good:?}");
        }
        let too_many = vec!["1"; 101].join(",");
        for bad in ["", ",", "1,", ",1", "1,,2", "1, 2", "0", "01", "-1", "1.0", "a", &too_many] {
            assert!(bad.parse::<UserIds>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_text_of_at_most_255_characters() {
        for good in ["A", "O'Dœ; --", &"名".repeat(255)] {
            assert!(good.parse::<UserName>().is_ok(), "{good:?}");
        }
        for bad in ["", " ", "\u{3164}", "A\0", &"名".repeat(256)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_is_ascii_around_one_at_sign() {
        for good in ["a@b", "o'neil+tag@example.com", "a@xn--bcher-kva.example"] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good:?}");
        }
        for bad in ["ab", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "ä@b", "a@b\u{7f}"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
        }
    }
}
