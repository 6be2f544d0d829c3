use super::*;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// A plan with 10 pieces of each of the products 1 and 2.
fn plan() -> Plan {
    let price = Money { amount: 1998.try_into().unwrap(), currency: "EUR".parse().unwrap() };
    let stock = Stock { on_hand: 10, reserved: 0, name: "Mug".parse().unwrap(), price };
    let stock = [1, 2].map(|id| (id.try_into().unwrap(), stock.clone()));
    Plan { stock: stock.into(), ..Plan::default() }
}

fn id(number: u32) -> ReservationId {
    format!("00000000-0000-0000-0000-{number:012}").parse().unwrap()
}

fn reserve(number: u32, items: &[(i64, i64)]) -> Change {
    let item = |&(product_id, quantity): &(i64, i64)| ReservationItem {
        product_id: product_id.try_into().unwrap(),
        quantity: quantity.try_into().unwrap(),
    };
    let items = items.iter().map(item).collect();
    Change { kind: ChangeKind::Reserve(ReservationCreate { reservation_id: id(number), items }), at: NOW }
}

fn settle(plan: &mut Plan, number: u32, to: ReservationStatus) -> Result<Reservation, Refusal> {
    plan.settle(&id(number), to, NOW)
}

/// What is published when the event with this id tells the reservation 1 what happened to the order 7.
fn follow(plan: &mut Plan, event_id: &str, step: OrderStep) -> Option<ReservationOutcome> {
    let order_id = 7.try_into().unwrap();
    let event = OrderEvent { event_id: event_id.into(), traceparent: None, order_id, reservation_id: id(1), step };
    plan.follow(&event, NOW)
}

/// On hand and reserved of the product 1.
fn first(plan: &Plan) -> (i64, i64) {
    let stock = &plan.stock[&1.try_into().unwrap()];
    (stock.on_hand, stock.reserved)
}

#[test]
fn reserving_is_all_or_nothing() {
    let mut plan = plan();
    let short = plan.apply(&reserve(1, &[(1, 3), (2, 11)]));
    assert_eq!(short, Err(Refusal::InsufficientStock(vec![(2.try_into().unwrap(), 10)])));
    let missing = plan.apply(&reserve(1, &[(1, 3), (3, 1)]));
    assert_eq!(missing, Err(Refusal::ProductsNotFound(vec![3.try_into().unwrap()])));
    assert_eq!(first(&plan), (10, 0));
    assert!(plan.changed_stock.is_empty() && plan.changed_reservations.is_empty());
}

#[test]
fn a_large_request_does_not_block_smaller_ones_behind_it() {
    let mut plan = plan();
    assert!(plan.apply(&reserve(1, &[(1, 8)])).is_ok());
    assert!(matches!(plan.apply(&reserve(2, &[(1, 3)])), Err(Refusal::InsufficientStock(_))));
    assert!(plan.apply(&reserve(3, &[(1, 2)])).is_ok());
    assert_eq!(first(&plan), (10, 10));
}

#[test]
fn the_same_reservation_is_made_once() {
    let mut plan = plan();
    let made = plan.apply(&reserve(1, &[(2, 1), (1, 3)])).unwrap();
    // In another order.
    assert_eq!(plan.apply(&reserve(1, &[(1, 3), (2, 1)])).unwrap(), made);
    assert_eq!(plan.apply(&reserve(1, &[(1, 3)])), Err(Refusal::IdTaken));
    assert_eq!(first(&plan), (10, 3));
    settle(&mut plan, 1, Released).unwrap();
    assert_eq!(plan.apply(&reserve(1, &[(1, 3), (2, 1)])), Err(Refusal::Released));
}

/// Every move of a reservation of 4 pieces, with what is on hand and reserved afterwards; `None`: it is refused.
#[test]
fn each_status_holds_what_it_says() {
    const HELD: (i64, i64) = (10, 4);
    const SOLD: (i64, i64) = (6, 0);
    const FREE: (i64, i64) = (10, 0);
    for (from, to, expected) in [
        (Held, Bound, Some(HELD)),
        (Held, Committed, Some(SOLD)),
        (Held, Expired, Some(FREE)),
        (Held, Released, Some(FREE)),
        (Expired, Bound, Some(HELD)),
        (Expired, Committed, Some(SOLD)),
        (Expired, Released, Some(FREE)),
        (Bound, Bound, Some(HELD)),
        (Bound, Committed, Some(SOLD)),
        (Bound, Released, Some(FREE)),
        (Committed, Bound, Some(SOLD)),
        (Committed, Committed, Some(SOLD)),
        (Committed, Released, Some(FREE)),
        (Released, Bound, None),
        (Released, Committed, None),
        (Released, Released, Some(FREE)),
    ] {
        let mut plan = plan();
        plan.apply(&reserve(1, &[(1, 4)])).unwrap();
        if from != Held {
            settle(&mut plan, 1, from).unwrap();
        }
        let before = first(&plan);
        let outcome = settle(&mut plan, 1, to);
        assert_eq!(outcome.is_ok(), expected.is_some(), "{from:?} to {to:?}: {outcome:?}");
        assert_eq!(first(&plan), expected.unwrap_or(before), "{from:?} to {to:?}");
    }
}

#[test]
fn an_expired_reservation_is_bound_only_if_enough_is_left() {
    let mut plan = plan();
    plan.apply(&reserve(1, &[(1, 4)])).unwrap();
    settle(&mut plan, 1, Expired).unwrap();
    plan.apply(&reserve(2, &[(1, 7)])).unwrap();
    assert_eq!(settle(&mut plan, 1, Bound), Err(Refusal::Released));
    settle(&mut plan, 2, Released).unwrap();
    assert!(settle(&mut plan, 1, Bound).is_ok());
    assert_eq!(first(&plan), (10, 4));
}

#[test]
fn a_sweep_expires_what_is_due_and_removes_it_later() {
    let sweep = |at: DateTime<Utc>| Change { kind: ChangeKind::Sweep(id(1)), at };
    let mut plan = plan();
    plan.apply(&reserve(1, &[(1, 4)])).unwrap();
    let (due, early) = (NOW + HELD_FOR, NOW + HELD_FOR - TimeDelta::microseconds(1));
    assert_eq!(plan.apply(&sweep(early)).unwrap().unwrap().status, Held);
    assert_eq!(plan.apply(&sweep(due)).unwrap().unwrap().status, Expired);
    assert_eq!(first(&plan), (10, 0));
    assert_eq!(plan.apply(&sweep(due)).unwrap().unwrap().status, Expired);
    assert_eq!(plan.apply(&sweep(due + KEPT_FOR)), Ok(None));
    assert_eq!(settle(&mut plan, 1, Bound), Err(Refusal::NotFound));
}

#[test]
fn a_sweep_leaves_what_is_bound_meanwhile() {
    let mut plan = plan();
    plan.apply(&reserve(1, &[(1, 4)])).unwrap();
    settle(&mut plan, 1, Bound).unwrap();
    let sweep = Change { kind: ChangeKind::Sweep(id(1)), at: NOW + TimeDelta::days(9) };
    assert_eq!(plan.apply(&sweep).unwrap().unwrap().status, Bound);
}

#[test]
fn pieces_of_a_deleted_product_go_nowhere() {
    let mut plan = plan();
    plan.apply(&reserve(1, &[(1, 4), (2, 1)])).unwrap();
    plan.stock.remove(&1.try_into().unwrap());
    assert!(settle(&mut plan, 1, Bound).is_ok());
    assert!(settle(&mut plan, 1, Committed).is_ok());
    settle(&mut plan, 1, Expired).unwrap();
    assert_eq!(settle(&mut plan, 1, Bound), Err(Refusal::Released));
    assert!(settle(&mut plan, 1, Released).is_ok());
}

#[test]
fn a_reservation_names_its_order_from_the_first_event_on() {
    for from in [Held, Expired, Released] {
        for step in [OrderStep::Placed(Vec::new()), OrderStep::Confirmed, OrderStep::Cancelled] {
            let mut plan = plan();
            let made = plan.apply(&reserve(1, &[(1, 4)])).unwrap().unwrap();
            assert_eq!(made.order_id, None);
            if from != Held {
                settle(&mut plan, 1, from).unwrap();
            }
            plan.changed_reservations.clear();
            let name = format!("{step:?} of one that is {from:?}");
            follow(&mut plan, "first", step);
            let named = &plan.reservations[id(1).as_str()].reservation;
            assert_eq!(named.order_id, Some(7.try_into().unwrap()), "{name}");
            assert_eq!(Vec::from_iter(&plan.changed_reservations), [id(1).as_str()], "{name}");
        }
    }
}

#[test]
fn a_reservation_that_is_made_again_names_its_order() {
    let mut plan = plan();
    let item = ReservationItem { product_id: 1.try_into().unwrap(), quantity: 4.try_into().unwrap() };
    assert_eq!(follow(&mut plan, "placed", OrderStep::Placed(vec![item])), Some(ReservationOutcome::Reserved));
    assert_eq!(plan.reservations[id(1).as_str()].reservation.order_id, Some(7.try_into().unwrap()));
}

#[test]
fn an_order_that_is_confirmed_without_its_stock_is_rejected() {
    for (left, short) in [(10, Vec::new()), (3, vec![1.try_into().unwrap()])] {
        let mut plan = plan();
        plan.apply(&reserve(1, &[(1, 4)])).unwrap();
        settle(&mut plan, 1, Released).unwrap();
        plan.apply(&reserve(2, &[(2, 10)])).unwrap();
        plan.stock.get_mut(&1.try_into().unwrap()).unwrap().on_hand = left;
        assert_eq!(follow(&mut plan, "placed", OrderStep::Placed(Vec::new())), None);
        let rejected = Some(ReservationOutcome::Rejected(short));
        assert_eq!(follow(&mut plan, "confirmed", OrderStep::Confirmed), rejected);
        assert_eq!(follow(&mut plan, "confirmed", OrderStep::Confirmed), None, "the same event");
        assert_eq!(first(&plan), (left, 0));
    }
}
