//! The stock of products.

use product_service_api::{Pieces, Product, ProductId};
use service_runtime::database::{Database, DatabaseError, read_by_id};

/// The stock of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    available: Pieces,
    reserved: Pieces,
}

impl Stock {
    /// `product` with this stock.
    pub fn of(self, product: Product) -> Product {
        Product { stock: self.available, reserved: self.reserved, ..product }
    }
}

/// The stock of the product with each of `ids`; `None` where there is no product.
pub(super) async fn find_stocks(database: Database, ids: Vec<ProductId>) -> Vec<Result<Option<Stock>, DatabaseError>> {
    let select = "SELECT product_id, on_hand, reserved FROM stock WHERE product_id";
    let rows = read_by_id(database, select, ids.into_iter().map(ProductId::get).collect()).await;
    let stock = |(_, on_hand, reserved): (i64, i64, i64)| {
        let available = (on_hand - reserved).try_into().map_err(DatabaseError::decode_error)?;
        Ok(Stock { available, reserved: reserved.try_into().map_err(DatabaseError::decode_error)? })
    };
    rows.into_iter().map(|row| Ok(row?.map(stock).transpose().map_err(|error: sqlx::Error| error)?)).collect()
}
