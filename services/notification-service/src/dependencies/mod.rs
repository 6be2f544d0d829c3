//! What notification-service asks of other services, through their generated clients.

pub(crate) mod users;
