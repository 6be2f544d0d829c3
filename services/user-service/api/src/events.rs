//! The events of user-service.

use contract::event::{EventType, Events};

use crate::UserId;

contract::event! {
    /// A user was registered
    ///
    /// A new user is stored. Ask user-service for the e-mail address and name when you need them.
    pub struct UserRegistered as "user.registered" about user_id {
        /// The user's id.
        pub user_id: UserId,
    }
}

contract::event! {
    /// A user was deleted
    ///
    /// The user does not exist any more, and no other user ever gets the id.
    pub struct UserDeleted as "user.deleted" about user_id {
        /// The id that the user had.
        pub user_id: UserId,
    }
}

pub(crate) fn events() -> Events {
    Events {
        version: semver::Version::new(0, 1, 0),
        types: || vec![EventType::of::<UserRegistered>(), EventType::of::<UserDeleted>()],
        examples: include_str!("../events.json"),
    }
}
