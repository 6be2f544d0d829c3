//! What order-service asks of other services, through their generated clients.

pub(crate) mod products;
pub(crate) mod users;
