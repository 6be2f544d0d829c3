//! Lists of payments.

use payment_service_api::{OrderId, PaymentStatus, UserId};
use serde::{Deserialize, Serialize};
use service_runtime::database::ListValue;

/// The filter of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only payments of this order.
    pub order_id: Option<OrderId>,
    /// Only payments by this user.
    pub user_id: Option<UserId>,
    /// Only payments with this status.
    pub status: Option<PaymentStatus>,
}

impl Filter {
    /// The columns with the values that they must have, the most selective first.
    pub(super) fn columns(self) -> Vec<(&'static str, ListValue)> {
        let order = self.order_id.map(|id| ("order_id", ListValue::Number(id.get())));
        let user = self.user_id.map(|id| ("user_id", ListValue::Number(id.get())));
        let status = self.status.map(|status| ("status", ListValue::Text(status.as_str())));
        [order, user, status].into_iter().flatten().collect()
    }
}
