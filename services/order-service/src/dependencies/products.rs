//! Reservations of stock at product-service.

use std::collections::HashMap;

use client_policy::Failure;
use contract::money::Money;
use order_service_api::{OrderItem, OrderItemCreate, ProductId};
use product_client::{Client, error_codes, types};
use service_runtime::dependency::Dependency;
use service_runtime::guard::RequestScope;
use uuid::Uuid;

/// A reservation of a hundred products with the longest names.
pub(crate) const MAX_RESPONSE_BYTES: usize = 512 * 1024;

/// Why nothing is reserved, or may be.
#[derive(Debug)]
pub(crate) enum ReserveError {
    /// Some products do not exist. None are named if product-service names none.
    UnknownProducts(Vec<ProductId>),
    /// Less is available than was asked for of some products. None are named if product-service names none.
    InsufficientStock(Vec<ProductId>),
    /// It is unknown whether something is reserved.
    Failed(Failure),
}

/// Reservations, through the client of product-service.
pub(crate) struct Products(Dependency<Client>);

impl Products {
    pub(crate) fn new(dependency: Dependency<Client>) -> Self {
        Self(dependency)
    }

    /// Reserves `items` under `id`. Returns them with their names and prices, in the same order.
    pub(crate) async fn reserve(
        &self,
        id: Uuid,
        items: &[OrderItemCreate],
        request: &RequestScope,
    ) -> Result<Vec<OrderItem>, ReserveError> {
        let reservation = reservation(id, items).map_err(ReserveError::Failed)?;
        let call = |client: Client| async move {
            // By its id product-service recognizes a repeated request.
            let client = client.repeatable();
            client.reservation_create().body(reservation).send().await.map_err(Failure::of)
        };
        let reserved =
            self.0.call("reservation_create", request, call).await.map_err(|failure| refused(failure, items))?;
        let invalid = || ReserveError::Failed(Failure::InvalidResponse("it reserves something else".to_owned()));
        reserved_items(&reserved, items).ok_or_else(invalid)
    }

    /// Makes what a reservation holds available to others.
    pub(crate) async fn release(&self, id: Uuid, scope: &RequestScope) -> Result<(), Failure> {
        let call = |client: Client| async move {
            client.repeatable().reservation_release().reservation_id(id.to_string()).send().await.map_err(Failure::of)
        };
        self.0.call("reservation_release", scope, call).await.map(drop)
    }
}

fn reservation(id: Uuid, items: &[OrderItemCreate]) -> Result<types::ReservationCreate, Failure> {
    let item = |item: &OrderItemCreate| {
        types::ReservationItem::builder().product_id(item.product_id.get()).quantity(item.quantity.get()).try_into()
    };
    let items: Result<Vec<types::ReservationItem>, types::error::ConversionError> = items.iter().map(item).collect();
    let built = items
        .and_then(|items| types::ReservationCreate::builder().reservation_id(id.to_string()).items(items).try_into());
    built.map_err(|error| Failure::Fault(error.to_string()))
}

/// What a failed reservation means.
fn refused(failure: Failure, items: &[OrderItemCreate]) -> ReserveError {
    match failure {
        Failure::Answered { status, code, message } => match (status.as_u16(), code.as_str()) {
            (404, error_codes::PRODUCT_NOT_FOUND) => ReserveError::UnknownProducts(named(&message, items)),
            (409, error_codes::INSUFFICIENT_STOCK) => ReserveError::InsufficientStock(named(&message, items)),
            (status, _) => ReserveError::Failed(Failure::InvalidResponse(format!("status {status}"))),
        },
        failure => ReserveError::Failed(failure),
    }
}

/// The products among `items` that `message` names: nothing else of another service's text is passed on. What stands in
/// parentheses are quantities.
fn named(message: &str, items: &[OrderItemCreate]) -> Vec<ProductId> {
    let outside = message.split('(').enumerate().map(|(index, part)| match part.split_once(')') {
        Some((_, outside)) if index > 0 => outside,
        _ => part,
    });
    let numbers: Vec<i64> = outside
        .flat_map(|part| part.split(|character: char| !character.is_ascii_digit()))
        .filter_map(|number| number.parse().ok())
        .collect();
    items.iter().map(|item| item.product_id).filter(|id| numbers.contains(&id.get())).collect()
}

/// The reserved items in the order of `items`; `None` if they are others, or violate the contract of orders.
fn reserved_items(reserved: &types::Reservation, items: &[OrderItemCreate]) -> Option<Vec<OrderItem>> {
    let by_product: HashMap<u64, &types::ReservedItem> =
        reserved.items.iter().map(|item| (item.product_id.get(), item)).collect();
    let item = |asked: &OrderItemCreate| {
        let reserved = by_product.get(&u64::try_from(asked.product_id.get()).ok()?)?;
        if i64::try_from(reserved.quantity.get()) != Ok(asked.quantity.get()) {
            return None;
        }
        let unit_price = Money {
            amount: (*reserved.unit_price.amount).try_into().ok()?,
            currency: reserved.unit_price.currency.parse().ok()?,
        };
        Some(OrderItem {
            product_id: asked.product_id,
            name: Some(reserved.name.parse().ok()?),
            quantity: asked.quantity,
            unit_price: Some(unit_price),
            // Known once the total is.
            subtotal: None,
        })
    };
    let found: Option<Vec<_>> = items.iter().map(item).collect();
    found.filter(|found| found.len() == reserved.items.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(ids: &[i64]) -> Vec<OrderItemCreate> {
        let item =
            |id: &i64| OrderItemCreate { product_id: (*id).try_into().unwrap(), quantity: 2.try_into().unwrap() };
        ids.iter().map(item).collect()
    }

    #[test]
    fn only_ordered_products_outside_parentheses_are_named() {
        let named = |message| named(message, &items(&[1, 7, 250])).iter().map(|id| id.get()).collect::<Vec<_>>();
        assert_eq!(named("Product not found: 7, 250"), [7, 250]);
        assert_eq!(named("Not enough in stock: product 1 (250 available)"), [1]);
        assert_eq!(named("Not enough in stock: product 1 (250 available), product 7 (1 available)"), [1, 7]);
        for message in ["", "product 2", "product 10 or 70", "(1", "sorry", "99999999999999999999"] {
            assert!(named(message).iter().all(|id| message == "(1" && *id == 1), "{message}");
        }
    }
}
