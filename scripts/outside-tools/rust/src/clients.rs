//! The clients of openapi-generator.

use std::sync::Arc;

use order_service::apis::orders_api::{self as orders, OrdersApi};
use order_service::models::{OrderCreate, OrderStatus, OrderStatusUpdate};
use user_service::apis::users_api::{self as users, UsersApi};
use user_service::models::{User, UserCreate, UserReplace};

pub struct Clients {
    users: users::UsersApiClient,
    orders: orders::OrdersApiClient,
}

pub struct Page {
    pub ids: Vec<i64>,
    pub next: Option<String>,
}

/// An error of a service.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub error_code: String,
}

impl Refused {
    fn new(status: u16, body: &str) -> Self {
        let body: serde_json::Value = serde_json::from_str(body).expect("an error is JSON");
        Self { status, error_code: body["error_code"].as_str().expect("an error has a code").to_owned() }
    }
}

impl<T: std::fmt::Debug> From<user_service::apis::Error<T>> for Refused {
    fn from(error: user_service::apis::Error<T>) -> Self {
        match error {
            user_service::apis::Error::ResponseError(answer) => Self::new(answer.status.as_u16(), &answer.content),
            other => panic!("{other:?}"),
        }
    }
}

impl<T: std::fmt::Debug> From<order_service::apis::Error<T>> for Refused {
    fn from(error: order_service::apis::Error<T>) -> Self {
        match error {
            order_service::apis::Error::ResponseError(answer) => Self::new(answer.status.as_u16(), &answer.content),
            other => panic!("{other:?}"),
        }
    }
}

fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"))
}

fn email_and_name(user: User) -> (String, String) {
    (user.email, user.name)
}

impl Clients {
    pub fn new() -> Self {
        Self {
            users: users::UsersApiClient::new(Arc::new(user_service::apis::configuration::Configuration {
                base_path: url("USER_SERVICE_URL"),
                ..Default::default()
            })),
            orders: orders::OrdersApiClient::new(Arc::new(order_service::apis::configuration::Configuration {
                base_path: url("ORDER_SERVICE_URL"),
                ..Default::default()
            })),
        }
    }

    pub async fn create_user(&self, email: &str, name: &str, key: Option<String>) -> Result<i64, Refused> {
        let body = UserCreate::new(email.to_owned(), name.to_owned());
        let params = users::UserCreateParams::builder().user_create(body).maybe_idempotency_key(key).build();
        Ok(self.users.user_create(params).await?.id)
    }

    pub async fn user(&self, id: i64) -> Result<(String, String), Refused> {
        let params = users::UserViewParams::builder().user_id(id).build();
        Ok(email_and_name(self.users.user_view(params).await?))
    }

    pub async fn replace_user(&self, id: i64, email: &str, name: &str) -> Result<(String, String), Refused> {
        let body = UserReplace::new(email.to_owned(), name.to_owned());
        let params = users::UserReplaceParams::builder().user_id(id).user_replace(body).build();
        Ok(email_and_name(self.users.user_replace(params).await?))
    }

    pub async fn delete_user(&self, id: i64) -> Result<(), Refused> {
        let params = users::UserDeleteParams::builder().user_id(id).build();
        Ok(self.users.user_delete(params).await?)
    }

    pub async fn users(&self, limit: Option<i64>, token: Option<String>) -> Result<Page, Refused> {
        let params = users::UserListParams::builder().maybe_limit(limit).maybe_page_token(token).build();
        let page = self.users.user_list(params).await?;
        Ok(Page { ids: page.items.iter().map(|user| user.id).collect(), next: page.next_page })
    }

    pub async fn create_order(&self, user: i64, key: Option<String>) -> Result<i64, Refused> {
        let body = OrderCreate { product_id: Some(456), quantity: Some(2), ..OrderCreate::new(user) };
        let params = orders::OrderCreateParams::builder().order_create(body).maybe_idempotency_key(key).build();
        Ok(self.orders.order_create(params).await?.order_id)
    }

    pub async fn order_status(&self, id: i64) -> Result<OrderStatus, Refused> {
        let params = orders::OrderViewParams::builder().order_id(id).build();
        Ok(self.orders.order_view(params).await?.status)
    }

    pub async fn set_status(&self, id: i64, status: OrderStatus) -> Result<OrderStatus, Refused> {
        let body = OrderStatusUpdate::new(status);
        let params = orders::OrderSetStatusParams::builder().order_id(id).order_status_update(body).build();
        Ok(self.orders.order_set_status(params).await?.status)
    }

    pub async fn cancel(&self, id: i64) -> Result<OrderStatus, Refused> {
        let params = orders::OrderCancelParams::builder().order_id(id).build();
        Ok(self.orders.order_cancel(params).await?.status)
    }

    pub async fn orders(&self, user: Option<i64>, limit: Option<i64>, token: Option<String>) -> Result<Page, Refused> {
        let params =
            orders::OrderListParams::builder().maybe_user_id(user).maybe_limit(limit).maybe_page_token(token).build();
        let page = self.orders.order_list(params).await?;
        Ok(Page { ids: page.items.iter().map(|order| order.id).collect(), next: page.next_page })
    }
}
