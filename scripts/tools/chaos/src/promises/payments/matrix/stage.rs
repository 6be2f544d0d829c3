//! The services whose handlers are tested.

use crate::platform::{ORDER_SERVICE, PAYMENT_SERVICE, PRODUCT_SERVICE};

/// Whose handlers are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Products,
    Orders,
    Payments,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Products, Self::Orders, Self::Payments];

    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Products => PRODUCT_SERVICE,
            Self::Orders => ORDER_SERVICE,
            Self::Payments => PAYMENT_SERVICE,
        }
    }

    /// How many handlers there are.
    pub(super) fn handlers(self) -> usize {
        match self {
            Self::Products => 3,
            Self::Orders => 4,
            Self::Payments => 2,
        }
    }
}
