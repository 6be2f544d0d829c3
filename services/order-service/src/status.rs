//! How the status of an order moves: the saga of an order, whose record is its row.

use contract::money::Money;
use order_service_api::{CancellationReason, OrderStatus};

use OrderStatus::{Cancelled, Completed, Confirmed, Created};

/// What happens to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody sets its status.
    Requested(OrderStatus),
    /// This was paid. It counts if it is the total.
    Paid(Money),
    /// A payment failed. It does not count if the order is paid by another one.
    PaymentFailed,
    /// The payment was refunded wholly.
    Refunded,
    /// There was no payment in time.
    Overdue,
    /// Its items are not available any more.
    OutOfStock,
}

impl Step {
    /// The status that it moves an order to.
    pub fn to(&self) -> OrderStatus {
        match self {
            Self::Requested(to) => *to,
            Self::Paid(_) => Confirmed,
            Self::PaymentFailed | Self::Refunded | Self::Overdue | Self::OutOfStock => Cancelled,
        }
    }

    /// The statuses from which it moves an order.
    pub fn from(&self) -> &'static [OrderStatus] {
        match self {
            Self::Requested(to) => predecessors(*to),
            Self::Paid(_) | Self::Overdue => &[Created],
            Self::PaymentFailed | Self::Refunded | Self::OutOfStock => &[Created, Confirmed],
        }
    }

    /// Why the order is cancelled, if it is.
    pub fn reason(&self) -> Option<CancellationReason> {
        match self {
            Self::Requested(Cancelled) | Self::Refunded => Some(CancellationReason::Requested),
            Self::PaymentFailed => Some(CancellationReason::PaymentFailed),
            Self::Overdue => Some(CancellationReason::PaymentTimeout),
            Self::OutOfStock => Some(CancellationReason::OutOfStock),
            Self::Requested(_) | Self::Paid(_) => None,
        }
    }
}

/// The statuses from which a request may move an order to `to`.
pub(crate) fn predecessors(to: OrderStatus) -> &'static [OrderStatus] {
    match to {
        Created => &[],
        Confirmed => &[Created],
        Completed => &[Confirmed],
        Cancelled => &[Created, Confirmed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_and_cancelled_are_final() {
        let total = Money { amount: 1.try_into().unwrap(), currency: "EUR".parse().unwrap() };
        let others = [Step::Paid(total), Step::PaymentFailed, Step::Refunded, Step::Overdue, Step::OutOfStock];
        for step in OrderStatus::ALL.map(Step::Requested).into_iter().chain(others) {
            assert!(!step.from().contains(&Completed) && !step.from().contains(&Cancelled), "{step:?}");
            assert_eq!(step.reason().is_some(), step.to() == Cancelled, "{step:?}");
        }
        assert!(predecessors(Created).is_empty());
    }
}
