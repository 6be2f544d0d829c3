//! The row of a product.

use chrono::{DateTime, Utc};
use contract::money::{Currency, Money};
use product_service_api::{Category, Description, Product, ProductName, Sku};
use service_runtime::database::DatabaseError;

/// The beginning of a statement that reads [`ProductRow`]s, up to its condition. Not a join: PostgreSQL could choose one
/// that reads the whole table of stock.
macro_rules! select {
    () => {
        "SELECT id, sku, name, description, category, price_amount, price_currency, \
         (SELECT on_hand FROM stock WHERE product_id = id), (SELECT reserved FROM stock WHERE product_id = id), \
         version, created_at, updated_at FROM products"
    };
}
pub(super) use select;

pub(super) type ProductRow =
    (i64, String, String, Option<String>, String, i64, String, i64, i64, i64, DateTime<Utc>, DateTime<Utc>);

/// The product in a row.
pub(super) fn product(row: ProductRow) -> sqlx::Result<Product> {
    let (id, sku, name, description, category, amount, currency, on_hand, reserved, version, created_at, updated_at) =
        row;
    let currency = Currency::from_stored(currency);
    Ok(Product {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        sku: Sku::from_stored(sku),
        name: ProductName::from_stored(name),
        description: description.map(Description::from_stored),
        category: Category::from_stored(category),
        price: Money { amount: amount.try_into().map_err(DatabaseError::decode_error)?, currency },
        stock: (on_hand - reserved).try_into().map_err(DatabaseError::decode_error)?,
        reserved: reserved.try_into().map_err(DatabaseError::decode_error)?,
        version: version.try_into().map_err(DatabaseError::decode_error)?,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    })
}
