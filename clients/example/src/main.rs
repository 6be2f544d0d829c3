//! Creates a user and places an order for the user: the smallest program that uses both clients.
//!
//! Start the platform with `cargo run` in the root of the repository, then run `cargo run -- you@example.com` here.

use order_client::types::OrderItemCreate;
use order_client::types::error::ConversionError;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(email) = std::env::args().nth(1) else {
        eprintln!("usage: place-an-order EMAIL");
        return ExitCode::from(2);
    };
    let users = user_client::Client::plain("http://127.0.0.1:8001");
    let orders = order_client::Client::plain("http://127.0.0.1:8003");
    match place_an_order(&users, &orders, &email).await {
        Ok(order_id) => {
            println!("order {order_id} placed");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Creates a user with this e-mail address and orders two of product 1 for the user. Returns the order's id, or a
/// message for the user.
async fn place_an_order(
    users: &user_client::Client,
    orders: &order_client::Client,
    email: &str,
) -> Result<u64, String> {
    let created = users.user_create().body_map(|body| body.email(email).name("John Doe")).send().await;
    let user = created.map_err(|error| match error {
        user_client::Error::ErrorResponse(error)
            if error.error_code.as_deref() == Some(user_client::error_codes::EMAIL_TAKEN) =>
        {
            format!("{email} already has an account")
        }
        user_client::Error::InvalidRequest(reason) => reason,
        _ => "the account cannot be created now; try again later".to_owned(),
    })?;

    let item: Result<OrderItemCreate, ConversionError> =
        OrderItemCreate::builder().product_id(1).quantity(2).try_into();
    let item = item.map_err(|error| error.to_string())?;
    let order = orders.order_create().body_map(|body| body.user_id(u64::from(user.id)).items(vec![item]));
    match order.send().await {
        Ok(receipt) => Ok(receipt.order_id.into()),
        Err(order_client::Error::ErrorResponse(error)) => Err(format!("the order failed: {}", error.message)),
        Err(_) => Err("the order may or may not have been placed; check your orders".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use httpmock::MockServer;
    use order_client::mock::MockServerExt as _;
    use user_client::mock::MockServerExt as _;

    use super::*;

    async fn place(users: &MockServer, orders: &MockServer) -> Result<u64, String> {
        let users = user_client::Client::plain(&users.base_url());
        let orders = order_client::Client::plain(&orders.base_url());
        place_an_order(&users, &orders, "user@example.com").await
    }

    #[tokio::test]
    async fn an_order_is_placed_for_a_new_user() {
        let (users, orders) = (MockServer::start(), MockServer::start());
        users.user_create(|_, then| {
            then.created(&user_client::samples::user_create());
        });
        orders.order_create(|_, then| {
            then.created(&order_client::samples::order_create());
        });
        assert_eq!(place(&users, &orders).await, Ok(1));
    }

    #[tokio::test]
    async fn a_taken_address_has_its_own_message() {
        let (users, orders) = (MockServer::start(), MockServer::start());
        users.user_create(|_, then| {
            then.conflict(&user_client::samples::errors::email_taken());
        });
        assert_eq!(place(&users, &orders).await, Err("user@example.com already has an account".to_owned()));
    }

    #[tokio::test]
    async fn an_outage_asks_the_user_to_try_again_later() {
        use user_client::scenarios::Scenarios;
        let (users, orders) = (MockServer::start(), MockServer::start());
        users.down();
        assert_eq!(place(&users, &orders).await, Err("the account cannot be created now; try again later".to_owned()));
    }
}
