//! What an order is of, and what it costs.

use std::collections::BTreeSet;

use contract::constrained::MAX_SAFE_INTEGER;
use contract::money::{Amount, Money};
use order_service_api::{OrderCreate, OrderItem, OrderItemCreate};

/// Why items have no total.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTotal {
    /// Their prices are in these currencies.
    MixedCurrencies(BTreeSet<String>),
    /// It is more than an amount can be.
    TooLarge,
}

/// The items of `order`, in whichever form it has them. The error says what is wrong with the form.
pub(crate) fn ordered_items(order: &OrderCreate) -> Result<Vec<OrderItemCreate>, &'static str> {
    match (&order.items, order.product_id, order.quantity) {
        (Some(items), None, None) => Ok(items.clone()),
        (Some(_), ..) => Err("`items` cannot be combined with `product_id` and `quantity`"),
        (None, Some(product_id), Some(quantity)) => Ok(vec![OrderItemCreate { product_id, quantity }]),
        (None, Some(_), None) => Err("missing field `quantity`"),
        (None, None, Some(_)) => Err("missing field `product_id`"),
        (None, None, None) => Err("missing `items`, or `product_id` and `quantity`"),
    }
}

/// Items without name and price.
pub(crate) fn without_prices(items: &[OrderItemCreate]) -> Vec<OrderItem> {
    let item = |item: &OrderItemCreate| OrderItem {
        product_id: item.product_id,
        name: None,
        quantity: item.quantity,
        unit_price: None,
        subtotal: None,
    };
    items.iter().map(item).collect()
}

/// Sets the subtotal of each of `items`, and returns the sum; `None` if one has no price.
pub(crate) fn add_up(items: &mut [OrderItem]) -> Result<Option<Money>, NoTotal> {
    let prices: Option<Vec<&Money>> = items.iter().map(|item| item.unit_price.as_ref()).collect();
    let Some(prices) = prices else { return Ok(None) };
    let currencies: BTreeSet<_> = prices.iter().map(|price| price.currency.as_str().to_owned()).collect();
    if currencies.len() > 1 {
        return Err(NoTotal::MixedCurrencies(currencies));
    }
    let Some(currency) = prices.first().map(|price| price.currency.clone()) else { return Ok(None) };
    // At most 100 items of a million pieces at 2^53 - 1: far below the largest i128.
    let mut total: i128 = 0;
    for item in items {
        let Some(price) = &item.unit_price else { continue };
        let subtotal = i128::from(price.amount.get()) * i128::from(item.quantity.get());
        total += subtotal;
        item.subtotal = Some(Money { amount: amount(subtotal)?, currency: currency.clone() });
    }
    Ok(Some(Money { amount: amount(total)?, currency }))
}

fn amount(value: i128) -> Result<Amount, NoTotal> {
    let value = i64::try_from(value).ok().filter(|value| *value <= MAX_SAFE_INTEGER);
    value.and_then(|value| value.try_into().ok()).ok_or(NoTotal::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(quantity: i64, amount: i64, currency: &str) -> OrderItem {
        OrderItem {
            product_id: 1.try_into().unwrap(),
            name: Some("Blue mug".parse().unwrap()),
            quantity: quantity.try_into().unwrap(),
            unit_price: Some(money(amount, currency)),
            subtotal: None,
        }
    }

    fn money(amount: i64, currency: &str) -> Money {
        Money { amount: amount.try_into().unwrap(), currency: currency.parse().unwrap() }
    }

    #[test]
    fn a_total_is_the_sum_of_its_subtotals() {
        let mut items = [item(2, 1998, "EUR"), item(3, 0, "EUR"), item(1, 4, "EUR")];
        assert_eq!(add_up(&mut items), Ok(Some(money(4000, "EUR"))));
        let subtotals = items.map(|item| item.subtotal.unwrap().amount.get());
        assert_eq!(subtotals, [3996, 0, 4]);
    }

    #[test]
    fn a_total_is_at_most_the_largest_amount() {
        assert_eq!(add_up(&mut [item(1, MAX_SAFE_INTEGER, "EUR")]), Ok(Some(money(MAX_SAFE_INTEGER, "EUR"))));
        for mut items in [
            vec![item(1, MAX_SAFE_INTEGER, "EUR"), item(1, 1, "EUR")],
            vec![item(2, MAX_SAFE_INTEGER, "EUR")],
            vec![item(1_000_000, MAX_SAFE_INTEGER, "EUR"); 100],
        ] {
            assert_eq!(add_up(&mut items), Err(NoTotal::TooLarge));
        }
    }

    #[test]
    fn prices_in_several_currencies_have_no_total() {
        let mixed = add_up(&mut [item(1, 1, "JPY"), item(1, 1, "EUR"), item(1, 1, "JPY")]);
        assert_eq!(mixed, Err(NoTotal::MixedCurrencies(["EUR".to_owned(), "JPY".to_owned()].into())));
    }

    #[test]
    fn the_founding_form_is_serialized_as_it_always_was() {
        let text = r#"{"user_id":1,"product_id":456,"quantity":2}"#;
        let order: OrderCreate = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&order).unwrap(), text);
    }
}
