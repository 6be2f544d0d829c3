//! Bookkeeping: whether orders, payments, the provider's ledger and the stock agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use harness::measurements::Counts;

use super::found::{Charge, Found, Order};
use super::payers::Bought;

/// The comparison.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Orders by their status, and why they are cancelled.
    orders: Counts,
    /// Charges by their status.
    charges: Counts,
    /// How many charges were given back.
    refunds: usize,
    /// What was charged, and what of it was given back.
    money: (i64, i64),
    /// Where the books differ.
    pub(super) wrong: Vec<String>,
}

impl Books {
    /// Compares what was `found` with what customers have `bought`. `products`: their stock at first.
    pub(super) fn compare(bought: &[Bought], products: &[(i64, i64)], found: &Found) -> Self {
        let mut books = Self::default();
        books.count(found);
        // What costs most is found first.
        books.check_ledger(found);
        books.check_orders(bought, found);
        books.check_payments(found);
        books.check_stock(products, found);
        books
    }

    /// How many orders have this status, or end this way.
    pub(super) fn orders(&self) -> usize {
        self.orders.total()
    }

    fn count(&mut self, found: &Found) {
        for Order { status, reason, .. } in found.orders.values() {
            self.orders.add(format!("{status} {reason}").trim_end().to_owned());
        }
        for Charge { status, refunded, .. } in &found.charges {
            self.charges.add(status.clone());
            self.refunds += usize::from(*refunded > 0);
        }
    }

    /// Every order that was acknowledged exists, once, and ended as its customer wanted, if at all: paid or cancelled.
    fn check_orders(&mut self, bought: &[Bought], found: &Found) {
        for Bought { order_id, status: wanted } in bought {
            let Some(Order { status, .. }) = found.orders.get(order_id) else {
                self.wrong.push(format!("order {order_id} is lost"));
                continue;
            };
            let ended = match wanted {
                // What is not paid is cancelled, also if somebody has confirmed it.
                None | Some("confirmed") => ["confirmed", "cancelled"].contains(&&**status),
                Some(wanted) => status == wanted,
            };
            if !ended {
                let wanted = wanted.unwrap_or("nothing");
                self.wrong.push(format!("order {order_id} is {status}, its customer has set: {wanted}"));
            }
        }
        let acknowledged: BTreeSet<_> = bought.iter().map(|bought| bought.order_id).collect();
        if acknowledged.len() != bought.len() || acknowledged.len() != found.orders.len() {
            let (bought, acknowledged, orders) = (bought.len(), acknowledged.len(), found.orders.len());
            self.wrong.push(format!("{bought} answers named {acknowledged} orders, found are {orders}"));
        }
    }

    /// The outcome of each payment is known, and belongs to its order's.
    fn check_payments(&mut self, found: &Found) {
        for (id, payment) in &found.payments {
            let Some(order) = found.orders.get(&payment.order_id) else {
                self.wrong.push(format!("payment {id} is for no order"));
                continue;
            };
            let expected: &[&str] = match order.status.as_str() {
                "confirmed" | "completed" => &["completed"],
                "cancelled" => &["failed", "refunded"],
                _ => &[],
            };
            if !expected.contains(&&*payment.status) {
                let (order_id, status) = (payment.order_id, &order.status);
                self.wrong.push(format!("order {order_id} is {status}, its payment {id} {}", payment.status));
            }
        }
    }

    /// Each payment is charged at most once, and for each order its total is kept, or nothing if it is cancelled.
    fn check_ledger(&mut self, found: &Found) {
        let (mut times, mut kept) = (BTreeMap::<i64, usize>::new(), BTreeMap::<i64, i64>::new());
        for Charge { payment_id, status, amount, refunded } in &found.charges {
            if status != "succeeded" {
                continue;
            }
            self.money = (self.money.0 + amount, self.money.1 + refunded);
            match payment_id.and_then(|id| Some((id, found.payments.get(&id)?.order_id))) {
                Some((payment_id, order_id)) => {
                    *times.entry(payment_id).or_default() += 1;
                    *kept.entry(order_id).or_default() += amount - refunded;
                }
                None => self.wrong.push(format!("a charge of {amount} is for {payment_id:?}, which is no payment")),
            }
        }
        for (payment_id, times) in times.iter().filter(|(_, times)| **times > 1) {
            self.wrong.push(format!("payment {payment_id} is charged {times} times"));
        }
        let paid = found.kept();
        for (order_id, Order { status, total, .. }) in &found.orders {
            let kept = kept.get(order_id).copied().unwrap_or_default();
            let owed = if paid.contains(order_id) { *total } else { 0 };
            if kept != owed {
                self.wrong.push(format!("order {order_id} is {status}: {kept} of its total {total} is kept"));
            }
        }
        let (charged, refunded) = self.money;
        let sold: i64 = paid.iter().map(|order_id| found.orders[order_id].total).sum();
        if charged - refunded != sold {
            self.wrong.push(format!("{charged} was charged and {refunded} refunded, the orders add up to {sold}"));
        }
    }

    /// What is sold is what left the stock, and nothing is reserved any more.
    fn check_stock(&mut self, products: &[(i64, i64)], found: &Found) {
        let mut expected: BTreeMap<i64, i64> = products.iter().copied().collect();
        let paid = found.kept();
        for (product, quantity) in paid.iter().flat_map(|order_id| &found.orders[order_id].items) {
            *expected.entry(*product).or_default() -= quantity;
        }
        for (product, stock) in expected {
            let found = found.stock.get(&product).copied().unwrap_or_default();
            if found != (stock, 0) {
                let text = "stock and reserved of product";
                self.wrong.push(format!("{text} {product} are {found:?}, by the orders {:?}", (stock, 0)));
            }
        }
        for order_id in found.orders.keys() {
            let expected = if paid.contains(order_id) { "committed" } else { "released" };
            let found = found.reservations.get(order_id).map(Vec::as_slice).unwrap_or_default();
            if found != [expected] {
                self.wrong.push(format!("the reservations of order {order_id} are {found:?}, not {expected}"));
            }
        }
        if found.held > 0 {
            self.wrong.push(format!("{} reservations are still held for nobody", found.held));
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, charges, refunds, money: (charged, refunded), wrong } = self;
        write!(f, "{} orders ({orders}); charges: {charges}; {refunds} given back; ", orders.total())?;
        write!(f, "{charged} charged in all, {refunded} given back; {} differences", wrong.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::Payment;
    use super::*;

    /// An order that is paid, and one that is cancelled after it was paid, each of two pieces of product 7.
    fn agreeing() -> (Vec<Bought>, Found) {
        let order =
            |status: &str| Order { status: status.to_owned(), reason: String::new(), total: 20, items: vec![(7, 2)] };
        let payment = |order_id, status: &str| Payment { order_id, status: status.to_owned() };
        let charge = |payment_id, refunded| Charge {
            payment_id: Some(payment_id),
            status: "succeeded".to_owned(),
            amount: 20,
            refunded,
        };
        let found = Found {
            orders: [(1, order("confirmed")), (2, order("cancelled"))].into(),
            payments: [(11, payment(1, "completed")), (12, payment(2, "refunded"))].into(),
            charges: vec![charge(11, 0), charge(12, 20)],
            stock: [(7, (98, 0))].into(),
            reservations: [(1, vec!["committed".to_owned()]), (2, vec!["released".to_owned()])].into(),
            held: 0,
        };
        let bought = vec![Bought { order_id: 1, status: None }, Bought { order_id: 2, status: Some("cancelled") }];
        (bought, found)
    }

    /// What is wrong after `spoil`.
    fn wrong(spoil: impl FnOnce(&mut Found)) -> Vec<String> {
        let (bought, mut found) = agreeing();
        spoil(&mut found);
        Books::compare(&bought, &[(7, 100)], &found).wrong
    }

    #[test]
    fn books_that_agree_are_right() {
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_second_charge_is_found() {
        let again = |found: &mut Found| found.charges.push(found.charges[0].clone());
        let found = wrong(again);
        assert_eq!(found[..2], ["payment 11 is charged 2 times", "order 1 is confirmed: 40 of its total 20 is kept"]);
        let refunded = |found: &mut Found| {
            let mut again = found.charges[0].clone();
            again.refunded = 20;
            found.charges.push(again);
        };
        assert_eq!(wrong(refunded), ["payment 11 is charged 2 times"], "also if it was given back");
    }

    #[test]
    fn money_that_was_not_given_back_is_found() {
        let keep = |found: &mut Found| found.charges[1].refunded = 19;
        assert_eq!(wrong(keep)[0], "order 2 is cancelled: 1 of its total 20 is kept");
    }

    #[test]
    fn an_order_that_does_not_end_is_found() {
        let forget = |found: &mut Found| "created".clone_into(&mut found.orders.get_mut(&1).unwrap().status);
        assert!(wrong(forget).contains(&"order 1 is created, its customer has set: nothing".to_owned()));
        assert!(wrong(|found| drop(found.orders.remove(&1))).contains(&"order 1 is lost".to_owned()));
    }

    #[test]
    fn an_unknown_outcome_is_found() {
        let forget = |found: &mut Found| "pending".clone_into(&mut found.payments.get_mut(&11).unwrap().status);
        assert_eq!(wrong(forget), ["order 1 is confirmed, its payment 11 pending"]);
    }

    #[test]
    fn stock_that_did_not_come_back_is_found() {
        assert_eq!(wrong(|found| found.stock = [(7, (96, 0))].into()).len(), 1);
        assert_eq!(wrong(|found| found.stock = [(7, (98, 2))].into()).len(), 1);
        assert_eq!(wrong(|found| drop(found.reservations.remove(&2))).len(), 1);
        assert_eq!(wrong(|found| found.held = 1).len(), 1);
    }
}
