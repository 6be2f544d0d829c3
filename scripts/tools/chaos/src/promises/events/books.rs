//! Bookkeeping: the answers to customers, and what the events of their orders did to reservations and stock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde_json::Value;

use crate::customers::{Placed, STOCK};
use crate::journal::Written;

/// What the services say at the end.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// As order-service lists them.
    pub(super) orders: Vec<Value>,
    /// What order-service has published.
    pub(super) by_orders: Vec<Written>,
    /// What product-service has published.
    pub(super) by_products: Vec<Written>,
    /// The ids of the events that product-service has handled.
    pub(super) handled: HashSet<String>,
    /// The status of each reservation that an event names.
    pub(super) reservations: HashMap<String, String>,
    /// The items of reservations that are held: of orders that were not placed.
    pub(super) held: Vec<(String, Value)>,
    /// What is in stock and what is reserved of each product.
    pub(super) stock: BTreeMap<i64, (i64, i64)>,
}

/// The comparison.
#[derive(Debug, Default)]
pub(super) struct Books {
    orders: usize,
    /// Reservations by their status.
    reservations: BTreeMap<String, usize>,
    pub(super) events: usize,
    /// Where the books differ.
    pub(super) wrong: Vec<String>,
}

impl Books {
    /// Compares what was `found` with the answers to the customers. `paid`: each order was paid, unless it was cancelled.
    pub(super) fn compare(placed: &[Placed], found: &Found, paid: bool) -> Self {
        let mut books = Self { orders: found.orders.len(), ..Self::default() };
        books.check_orders(placed, found, paid);
        books.check_events(found);
        books.check_reservations(found);
        books.check_answers(found);
        books
    }

    /// Every order that was acknowledged exists, once, with the status that was acknowledged last, or confirmed because it is
    /// `paid`.
    fn check_orders(&mut self, placed: &[Placed], found: &Found, paid: bool) {
        let statuses: HashMap<_, _> =
            found.orders.iter().map(|order| (order["id"].as_i64(), &order["status"])).collect();
        for Placed { order_id, status, .. } in placed {
            let expected = status.map(|status| if paid && status == "created" { "confirmed" } else { status });
            match (statuses.get(&Some(*order_id)), expected) {
                (None, _) => self.wrong.push(format!("order {order_id} is lost")),
                (Some(found), Some(expected)) if **found != expected => {
                    self.wrong
                        .push(format!("order {order_id}: by the customer's last answer {expected}, found is {found}"));
                }
                _ => {}
            }
        }
        let acknowledged: HashSet<_> = placed.iter().map(|placed| placed.order_id).collect();
        if acknowledged.len() != found.orders.len() || acknowledged.len() != placed.len() {
            let (placed, acknowledged, orders) = (placed.len(), acknowledged.len(), found.orders.len());
            self.wrong.push(format!("{placed} answers named {acknowledged} orders, found are {orders}"));
        }
    }

    /// Every event that product-service consumes is handled, and it has handled no other.
    fn check_events(&mut self, found: &Found) {
        let consumed: HashSet<_> = found
            .by_orders
            .iter()
            .filter(|event| event.kind != "order.completed")
            .map(|event| event.id.clone())
            .collect();
        self.events = consumed.len();
        let missing = consumed.difference(&found.handled).count();
        let unknown = found.handled.difference(&consumed).count();
        if missing + unknown > 0 {
            self.wrong
                .push(format!("{missing} events are not handled, {unknown} are handled that nobody has published"));
        }
    }

    /// The reservation of each order has the status that belongs to the order's, and the stock follows from them.
    fn check_reservations(&mut self, found: &Found) {
        let mut reservation_of = BTreeMap::new();
        for event in found.by_orders.iter().filter(|event| event.kind == "order.created") {
            let data = event.data();
            if reservation_of.insert(data["order_id"].as_i64(), data["reservation_id"].clone()).is_some() {
                self.wrong.push(format!("two events say that order {} was created", data["order_id"]));
            }
        }
        let mut stock: BTreeMap<i64, (i64, i64)> = found.stock.keys().map(|product| (*product, (STOCK, 0))).collect();
        let mut known = BTreeSet::new();
        for order in &found.orders {
            let id = reservation_of.get(&order["id"].as_i64()).and_then(Value::as_str).unwrap_or_default();
            let status = found.reservations.get(id).map_or("missing", String::as_str);
            known.insert(id);
            *self.reservations.entry(status.to_owned()).or_default() += 1;
            let expected = reservation_status(order["status"].as_str().unwrap_or_default());
            if status != expected {
                self.wrong.push(format!("order {} is {}, its reservation {id} {status}", order["id"], order["status"]));
            }
            take(&mut stock, &order["items"], expected);
        }
        for (_, items) in found.held.iter().filter(|(id, _)| !known.contains(id.as_str())) {
            take(&mut stock, items, "held");
        }
        for (product, found) in &found.stock {
            let expected = stock[product];
            if *found != expected {
                let text = "stock and reserved of product";
                self.wrong.push(format!("{text} {product} are {found:?}, by the orders {expected:?}"));
            }
        }
    }

    /// product-service publishes each event about an order once, and rejects nothing, as there is plenty. Only of an order
    /// that is cancelled it may be told in the wrong order: that it is confirmed comes last, and is rejected.
    fn check_answers(&mut self, found: &Found) {
        let cancelled = found.orders.iter().filter(|order| order["status"] == "cancelled");
        let cancelled: HashSet<_> = cancelled.map(|order| order["id"].as_i64()).collect();
        let mut published = BTreeSet::new();
        for event in &found.by_products {
            let about = event.data()["order_id"].clone();
            let is_of_an_order = event.kind.starts_with("stock.");
            if event.kind == "stock.rejected" && !cancelled.contains(&about.as_i64()) {
                self.wrong.push(format!("the stock for order {about} was rejected"));
            } else if is_of_an_order && !published.insert((event.kind.clone(), about.as_i64())) {
                self.wrong.push(format!("{} was published twice for order {about}", event.kind));
            }
        }
    }
}

/// The status of the reservation of an order with the status `order`.
fn reservation_status(order: &str) -> &'static str {
    match order {
        "created" => "bound",
        "confirmed" | "completed" => "committed",
        "cancelled" => "released",
        _ => "unknown",
    }
}

/// Takes what a reservation of `items` with this status holds.
fn take(stock: &mut BTreeMap<i64, (i64, i64)>, items: &Value, status: &str) {
    for item in items.as_array().into_iter().flatten() {
        let (Some(product), Some(quantity)) = (item["product_id"].as_i64(), item["quantity"].as_i64()) else {
            continue;
        };
        let (available, reserved) = stock.entry(product).or_default();
        match status {
            "held" | "bound" => (*available, *reserved) = (*available - quantity, *reserved + quantity),
            "committed" => *available -= quantity,
            _ => {}
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, reservations, events, wrong } = self;
        let of = |status| reservations.get(status).copied().unwrap_or_default();
        write!(
            f,
            "{orders} orders ({} bound, {} committed, {} released), {events} events, {} differences",
            of("bound"),
            of("committed"),
            of("released"),
            wrong.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(kind: &str, number: i64) -> Written {
        let data = json!({"order_id": number, "reservation_id": format!("r{number}")});
        Written { id: format!("{kind} {number}"), kind: kind.to_owned(), envelope: json!({"data": data}).to_string() }
    }

    /// Three orders of two pieces each, one in each state, as they should end.
    fn agreeing() -> (Vec<Placed>, Found) {
        let statuses = ["created", "confirmed", "cancelled"];
        let placed = (1..)
            .zip(statuses)
            .map(|(order_id, status)| Placed { order_id, status: Some(status), confirmed: false })
            .collect();
        let order = |(id, status)| json!({"id": id, "status": status, "items": [{"product_id": 7, "quantity": 2}]});
        let by_orders: Vec<_> = (1..4)
            .map(|number| written("order.created", number))
            .chain([written("order.confirmed", 2), written("order.cancelled", 3)])
            .collect();
        let found = Found {
            orders: (1..4).zip(statuses).map(order).collect(),
            handled: by_orders.iter().map(|event| event.id.clone()).collect(),
            by_orders,
            by_products: (1..4).map(|number| written("stock.reserved", number)).collect(),
            reservations: [("r1", "bound"), ("r2", "committed"), ("r3", "released")]
                .map(|(id, status)| (id.to_owned(), status.to_owned()))
                .into(),
            held: Vec::new(),
            stock: [(7, (STOCK - 4, 2))].into(),
        };
        (placed, found)
    }

    /// What is wrong after `spoil`.
    fn wrong(spoil: impl FnOnce(&mut Found)) -> Vec<String> {
        let (placed, mut found) = agreeing();
        spoil(&mut found);
        Books::compare(&placed, &found, false).wrong
    }

    #[test]
    fn books_that_agree_are_right() {
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn what_is_held_for_no_order_is_reserved() {
        let spoil = |found: &mut Found| {
            found.held = vec![("r9".to_owned(), json!([{"product_id": 7, "quantity": 1}]))];
            found.stock = [(7, (STOCK - 5, 3))].into();
        };
        assert_eq!(wrong(spoil), Vec::<String>::new());
    }

    #[test]
    fn an_effect_that_is_missing_is_found() {
        let spoil = |found: &mut Found| {
            found.reservations.insert("r2".to_owned(), "bound".to_owned());
        };
        assert_eq!(wrong(spoil), [r#"order 2 is "confirmed", its reservation r2 bound"#]);
        let forget = |found: &mut Found| found.handled.retain(|event| event != "order.confirmed 2");
        assert_eq!(wrong(forget).len(), 1);
    }

    #[test]
    fn an_effect_that_came_twice_is_found() {
        assert_eq!(wrong(|found| found.stock = [(7, (STOCK - 6, 2))].into()).len(), 1);
        let twice = |found: &mut Found| found.by_products.push(written("stock.reserved", 1));
        assert_eq!(wrong(twice), ["stock.reserved was published twice for order 1"]);
    }

    #[test]
    fn a_lost_order_is_found() {
        assert!(wrong(|found| drop(found.orders.remove(0))).contains(&"order 1 is lost".to_owned()));
    }

    #[test]
    fn an_order_that_is_paid_is_confirmed() {
        let (placed, mut found) = agreeing();
        assert_eq!(Books::compare(&placed, &found, true).wrong.len(), 1);
        found.orders[0]["status"] = json!("confirmed");
        found.reservations.insert("r1".to_owned(), "committed".to_owned());
        found.stock = [(7, (STOCK - 4, 0))].into();
        assert_eq!(Books::compare(&placed, &found, true).wrong, Vec::<String>::new());
    }

    #[test]
    fn a_rejection_is_found() {
        let reject = |found: &mut Found| found.by_products.push(written("stock.rejected", 2));
        assert_eq!(wrong(reject), ["the stock for order 2 was rejected"]);
        let late = |found: &mut Found| found.by_products.push(written("stock.rejected", 3));
        assert_eq!(
            wrong(late),
            Vec::<String>::new(),
            "it was cancelled before product-service heard of its confirmation"
        );
    }
}
