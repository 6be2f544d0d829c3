//! Reservations of stock.

use contract::items::each_once;
use contract::money::Money;
use contract::page::PageLimit;
use contract::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::product::{ProductId, ProductName};

contract::string_type! {
    /// A reservation's id: a UUID in lower case, chosen by whoever reserves.
    pub struct ReservationId {
        length: 36..=36,
        pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        expected: "a UUID in lower case",
        example: "5f0c0d5e-6b0e-4c39-9a51-2f1f0d4b7c11",
    }
}

contract::integer_type! {
    /// The id of an order of order-service.
    pub struct OrderId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// A number of pieces to reserve.
    pub struct Quantity in 1..=1_000_000, example 2;
}

contract::string_enum! {
    /// The status of a reservation. `held`: until `expires_at`. `expired`: available to others again, unless it is bound.
    /// `bound`: kept for a placed order. `committed`: sold. `released`: available to others again, for good.
    pub enum ReservationStatus {
        Held = "held",
        Expired = "expired",
        Bound = "bound",
        Committed = "committed",
        Released = "released",
    }
}

/// A reservation to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationCreate {
    /// The id to give it.
    pub reservation_id: ReservationId,
    /// What to reserve: 1 to 100 products, each once.
    #[serde(deserialize_with = "each_product_once")]
    #[schemars(length(min = 1, max = 100))]
    pub items: Vec<ReservationItem>,
}

/// A product to reserve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationItem {
    /// The product.
    pub product_id: ProductId,
    /// How many pieces.
    pub quantity: Quantity,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// Its id.
    pub reservation_id: ReservationId,
    /// Its status.
    pub status: ReservationStatus,
    /// The order that it is kept for; absent until `order.created` or a later event of the order names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OrderId")]
    pub order_id: Option<OrderId>,
    /// What is reserved, by ascending product id.
    pub items: Vec<ReservedItem>,
    /// When it expires; absent unless it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A reserved product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReservedItem {
    /// The product.
    pub product_id: ProductId,
    /// How many pieces.
    pub quantity: Quantity,
    /// The product's name when it was reserved.
    pub name: ProductName,
    /// The price of a piece when it was reserved.
    pub unit_price: Money,
}

/// The variables of a path to one reservation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationPath {
    /// The reservation's id.
    pub reservation_id: ReservationId,
}

/// The page of a list of reservations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationListQuery {
    /// The maximum number of reservations on a page; a page of large ones has fewer. If absent, 100 on the first page, and
    /// that of the page before with a `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of reservations.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReservationPage {
    /// The reservations, by ascending id.
    pub items: Vec<Reservation>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

impl Reservation {
    /// About how many bytes it has.
    pub fn approximate_bytes(&self) -> usize {
        self.items.iter().map(|item| 128 + item.name.as_str().len()).sum::<usize>() + 256
    }
}

fn next_page_example() -> &'static str {
    "WyJyZXNlcnZhdGlvbnMiLHsiYWZ0ZXIiOiI0YzFiOWEzMC03ZDVlLTRiMGEtOGExYy0zZTZmMmQ5YjBjNTUiLCJsaW1pdCI6MX1d48GvLQ"
}

fn each_product_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ReservationItem>, D::Error> {
    each_once(deserializer, 1..=100, "the product", |item: &ReservationItem| item.product_id)
}
