//! How the status of an order moves.

use order_service_api::OrderStatus;

/// The statuses from which an order may move to `to`.
pub(crate) fn predecessors(to: OrderStatus) -> &'static [OrderStatus] {
    match to {
        OrderStatus::Created => &[],
        OrderStatus::Confirmed => &[OrderStatus::Created],
        OrderStatus::Completed => &[OrderStatus::Confirmed],
        OrderStatus::Cancelled => &[OrderStatus::Created, OrderStatus::Confirmed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_and_cancelled_are_final() {
        for to in OrderStatus::ALL {
            assert!(!predecessors(to).contains(&OrderStatus::Completed), "{to:?}");
            assert!(!predecessors(to).contains(&OrderStatus::Cancelled), "{to:?}");
        }
        assert!(predecessors(OrderStatus::Created).is_empty());
    }
}
