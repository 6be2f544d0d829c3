//! The events of order-service.

use contract::event::{EventType, Events};
use contract::extract::optional;
use contract::money::Money;
use contract::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CancellationReason, ItemName, OrderId, PaymentMethod, ProductId, Quantity, UserId};

contract::string_type! {
    /// The id of a reservation of product-service: a UUID in lower case.
    pub struct ReservationId {
        length: 36..=36,
        pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        expected: "a UUID in lower case",
        example: "5f0c0d5e-6b0e-4c39-9a51-2f1f0d4b7c11",
    }
}

/// An item of an order that was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlacedItem {
    /// The product.
    pub product_id: ProductId,
    /// The number of units.
    pub quantity: Quantity,
}

contract::event! {
    /// An order was placed
    ///
    /// It is stored with the status `created`.
    pub struct OrderCreated as "order.created" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// The user who placed it.
        pub user_id: UserId,
        /// What is ordered.
        pub items: Vec<PlacedItem>,
        /// The sum of all items; absent if the order was placed without prices.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Money")]
        pub total: Option<Money>,
        /// How it is to be paid; absent if the request did not say.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentMethod")]
        pub payment_method: Option<PaymentMethod>,
        /// Until when it has to be paid, or it is cancelled. Absent if the order was placed without prices, and in events before
        /// version 0.3.0.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Timestamp")]
        pub payment_due_at: Option<Timestamp>,
        /// What holds its items; absent if the order was placed without prices.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "ReservationId")]
        pub reservation_id: Option<ReservationId>,
    }
}

/// An item of an order that was confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmedItem {
    /// The product.
    pub product_id: ProductId,
    /// The product's name when it was ordered; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ItemName")]
    pub name: Option<ItemName>,
    /// The number of units.
    pub quantity: Quantity,
    /// The price of all units together; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub subtotal: Option<Money>,
}

contract::event! {
    /// An order was confirmed
    ///
    /// It moved from `created` to `confirmed`: its items are sold.
    pub struct OrderConfirmed as "order.confirmed" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// The user who placed it.
        pub user_id: UserId,
        /// What is sold; absent in events before version 0.2.0.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Vec<ConfirmedItem>")]
        pub items: Option<Vec<ConfirmedItem>>,
        /// The sum of all items; absent if the order was placed without prices, and in events before version 0.2.0.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Money")]
        pub total: Option<Money>,
        /// What holds its items; absent if the order was placed without prices.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "ReservationId")]
        pub reservation_id: Option<ReservationId>,
    }
}

contract::event! {
    /// An order was completed
    ///
    /// It moved from `confirmed` to `completed`, which is final.
    pub struct OrderCompleted as "order.completed" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// The user who placed it.
        pub user_id: UserId,
    }
}

contract::event! {
    /// An order was cancelled
    ///
    /// It moved to `cancelled`, which is final: nothing is to be kept for it, and nothing to be paid.
    pub struct OrderCancelled as "order.cancelled" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// The user who placed it.
        pub user_id: UserId,
        /// Why.
        pub reason: CancellationReason,
        /// What held its items; absent if the order was placed without prices.
        #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
        #[schemars(with = "ReservationId")]
        pub reservation_id: Option<ReservationId>,
    }
}

pub(crate) fn events() -> Events {
    Events {
        version: semver::Version::new(0, 3, 0),
        types: || {
            vec![
                EventType::of::<OrderCreated>(),
                EventType::of::<OrderConfirmed>(),
                EventType::of::<OrderCompleted>(),
                EventType::of::<OrderCancelled>(),
            ]
        },
        examples: include_str!("../events.json"),
    }
}
