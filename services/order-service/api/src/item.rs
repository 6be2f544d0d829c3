//! The items of an order.

use contract::extract::optional;
use contract::items::each_once;
use contract::money::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

contract::integer_type! {
    /// The id of a product.
    pub struct ProductId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 456;
}

contract::integer_type! {
    /// The number of units.
    pub struct Quantity in 1..=1_000_000, example 2;
}

contract::string_type! {
    /// The name of a product, in any script.
    pub struct ItemName {
        length: 1..=255,
        example: "Blue mug",
    }
}

/// A product to order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderItemCreate {
    /// The product.
    pub product_id: ProductId,
    /// The number of units.
    pub quantity: Quantity,
}

/// An ordered product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderItem {
    /// The product; may have been changed or deleted since.
    pub product_id: ProductId,
    /// The product's name when it was ordered; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ItemName")]
    pub name: Option<ItemName>,
    /// The number of units.
    pub quantity: Quantity,
    /// The price of a unit when it was ordered; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub unit_price: Option<Money>,
    /// The price of all units; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub subtotal: Option<Money>,
}

pub(crate) fn each_product_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<OrderItemCreate>>, D::Error> {
    each_once(deserializer, 1..=100, "the product", |item: &OrderItemCreate| item.product_id).map(Some)
}
