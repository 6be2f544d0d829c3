//! Compares the diagram in docs/saga.md with the steps of an order.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::BTreeSet;
use std::path::Path;

use contract::money::Money;
use order_service::status::Step;
use order_service_api::OrderStatus;

/// What the diagram calls a step from a status.
fn label(step: &Step, from: OrderStatus) -> &'static str {
    match step {
        Step::Requested(_) => "request",
        Step::Paid(_) => "payment.completed of the total",
        Step::PaymentFailed if from == OrderStatus::Confirmed => "payment.failed, unless paid",
        Step::PaymentFailed => "payment.failed",
        Step::Refunded => "payment.refunded wholly",
        Step::Overdue => "payment_due_at is over",
        Step::OutOfStock => "stock.rejected",
    }
}

#[test]
fn the_diagram_shows_every_step_of_an_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/saga.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("## States of an order").nth(1).unwrap();
    let diagram = section.split("```").nth(1).unwrap();
    let drawn: BTreeSet<String> = diagram.lines().skip(2).map(|line| line.trim().to_owned()).collect();

    let total = Money { amount: 1.try_into().unwrap(), currency: "EUR".parse().unwrap() };
    let others = [Step::Paid(total), Step::PaymentFailed, Step::Refunded, Step::Overdue, Step::OutOfStock];
    let mut expected = BTreeSet::from(["[*] --> created".to_owned()]);
    for step in OrderStatus::ALL.map(Step::Requested).iter().chain(&others) {
        for from in step.from() {
            expected.insert(format!("{} --> {}: {}", from.as_str(), step.to().as_str(), label(step, *from)));
        }
    }
    assert_eq!(drawn, expected);
}
