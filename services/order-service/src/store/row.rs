//! The row of an order.

use chrono::{DateTime, Utc};
use order_service_api::{Order, OrderStatus};
use service_runtime::database::DatabaseError;

/// The columns of an [`OrderRow`].
macro_rules! columns {
    () => {
        "id, user_id, product_id, quantity, status, created_at, updated_at"
    };
}
pub(super) use columns;

pub(super) type OrderRow = (i64, i64, i64, i64, String, DateTime<Utc>, DateTime<Utc>);

/// The order in a row.
pub(super) fn order(
    (id, user_id, product_id, quantity, status, created_at, updated_at): OrderRow,
) -> sqlx::Result<Order> {
    let status = OrderStatus::ALL.into_iter().find(|known| known.as_str() == status);
    Ok(Order {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        user_id: user_id.try_into().map_err(DatabaseError::decode_error)?,
        product_id: product_id.try_into().map_err(DatabaseError::decode_error)?,
        quantity: quantity.try_into().map_err(DatabaseError::decode_error)?,
        status: status.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown status")))?,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    })
}
