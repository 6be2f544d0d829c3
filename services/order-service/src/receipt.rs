//! The response to a placed order.

use contract::answer::Created;
use order_service_api::{Order, OrderReceipt};

/// The receipt for `order`. It is stored with the order if the request had an `Idempotency-Key`.
pub(crate) fn receipt(order: &Order) -> serde_json::Result<Created<OrderReceipt>> {
    let receipt = OrderReceipt { order_id: order.id, status: order.status };
    Created::new(&receipt, format!("/api/v1/orders/{}", order.id))
}
