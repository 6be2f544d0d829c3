//! What the services say at the end of the orders, their payments, the charges for them, and the stock.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::acknowledged::list;
use crate::platform::{
    CHARGES, ORDER_SERVICE, ORDERS, PAYMENT_PROVIDER, PAYMENT_SERVICE, PAYMENTS, PRODUCT_SERVICE, PRODUCTS,
    RESERVATIONS,
};
use crate::site::Site;

/// An order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) total: i64,
    /// Products, and how many pieces of each.
    pub(super) items: Vec<(i64, i64)>,
}

/// A payment.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) order_id: i64,
    pub(super) status: String,
}

/// A charge in the ledger of the provider.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    /// `None`: cancelled before it was requested.
    pub(super) payment_id: Option<i64>,
    pub(super) status: String,
    pub(super) amount: i64,
    pub(super) refunded: i64,
}

/// All of them, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) orders: BTreeMap<i64, Order>,
    pub(super) payments: BTreeMap<i64, Payment>,
    pub(super) charges: Vec<Charge>,
    /// What is in stock and what is reserved of each product.
    pub(super) stock: BTreeMap<i64, (i64, i64)>,
    /// The statuses of the reservations of each order.
    pub(super) reservations: BTreeMap<i64, Vec<String>>,
    /// How many reservations are held, of orders that were not placed.
    pub(super) held: usize,
}

impl Found {
    /// Asks all services.
    pub(super) async fn read(site: &Site<'_>) -> Result<Self> {
        let mut found = Self::default();
        for row in list(site.address(ORDER_SERVICE), ORDERS).await? {
            found.orders.insert(number(&row["id"]), order(&row));
        }
        for row in list(site.address(PAYMENT_SERVICE), PAYMENTS).await? {
            let payment = Payment { order_id: number(&row["order_id"]), status: text(&row["status"]) };
            found.payments.insert(number(&row["id"]), payment);
        }
        found.charges = list(site.address(PAYMENT_PROVIDER), CHARGES).await?.iter().map(charge).collect();
        for row in list(site.address(PRODUCT_SERVICE), PRODUCTS).await? {
            found.stock.insert(number(&row["id"]), (number(&row["stock"]), number(&row["reserved"])));
        }
        for row in list(site.address(PRODUCT_SERVICE), RESERVATIONS).await? {
            match row["order_id"].as_i64() {
                Some(order_id) => found.reservations.entry(order_id).or_default().push(text(&row["status"])),
                None => found.held += usize::from(row["status"] == "held"),
            }
        }
        Ok(found)
    }

    /// The orders that were paid in the end: those that are confirmed or completed.
    pub(super) fn kept(&self) -> BTreeSet<i64> {
        let kept = self.orders.iter().filter(|(_, order)| ["confirmed", "completed"].contains(&&*order.status));
        kept.map(|(id, _)| *id).collect()
    }
}

fn order(row: &Value) -> Order {
    let items = row["items"].as_array().into_iter().flatten();
    Order {
        status: text(&row["status"]),
        reason: text(&row["cancellation_reason"]),
        total: number(&row["total"]["amount"]),
        items: items.map(|item| (number(&item["product_id"]), number(&item["quantity"]))).collect(),
    }
}

fn charge(row: &Value) -> Charge {
    Charge {
        payment_id: row["reference"].as_str().and_then(|reference| reference.strip_prefix("payments/")?.parse().ok()),
        status: text(&row["status"]),
        amount: number(&row["amount"]["amount"]),
        refunded: number(&row["refunded"]),
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
