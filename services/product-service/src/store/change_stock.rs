//! Changes of a product's stock by people. Orders change it through reservations.

use chrono::{DateTime, Utc};
use contract::answer::Created;
use contract::precondition::IfMatch;
use product_service_api::{Pieces, Product, ProductChange, ProductId, StockChange};
use service_runtime::database::{DatabaseError, Pool};
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;

use super::row::{ProductRow, select};
use super::{ProductStore, first, location, push_new_version};

/// What became of a change of a product's stock.
#[derive(Debug)]
pub enum StockOutcome {
    /// It was changed: how many are available now, and the response.
    Changed(Pieces, Created<Product>),
    /// The stock would not be in its bounds; this is available.
    OutOfBounds(i64),
    /// There is no such product, or it has another version.
    NoSuchVersion,
}

impl ProductStore {
    /// Changes the stock of the product with this id, if it exists with a version that `if_match` allows, and stores the
    /// response under the key of `claim`, in one transaction. [`DatabaseError::UniqueViolation`]: the key has a response
    /// already.
    pub async fn change_stock(
        &self,
        id: ProductId,
        if_match: &IfMatch,
        change: &StockChange,
        updated_at: DateTime<Utc>,
        claim: Option<Claim>,
        trace: Option<&str>,
    ) -> Result<StockOutcome, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let mut query = Pool::query_for(pool, "UPDATE products SET ");
            push_new_version(&mut query, id, if_match, updated_at)?;
            if query.build().execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(StockOutcome::NoSuchVersion);
            }
            let update = sqlx::query(
                "UPDATE stock SET on_hand = on_hand + $2
                 WHERE product_id = $1 AND on_hand + $2 >= reserved AND on_hand + $2 <= $3",
            );
            let update = update.bind(id.get()).bind(change.quantity_change.get()).bind(Pieces::MAX);
            let changed = update.execute(&mut *transaction).await?.rows_affected() > 0;
            let find = sqlx::query_as(concat!(select!(), " WHERE id = $1")).bind(id.get());
            let rows: Vec<ProductRow> = find.fetch_all(&mut *transaction).await?;
            let product = first(rows)?.ok_or(sqlx::Error::RowNotFound)?;
            if !changed {
                return Ok(StockOutcome::OutOfBounds(product.stock.get()));
            }
            let response = Created::new(&product, location(id)).map_err(DatabaseError::decode_error)?;
            if let Some(claim) = &claim {
                Claim::store_responses(&mut transaction, vec![(claim, &response, updated_at)]).await?;
            }
            let _wake = self.write_event(&mut transaction, id, ProductChange::StockChanged, updated_at, trace).await?;
            transaction.commit().await?;
            Ok(StockOutcome::Changed(product.stock, response))
        })
    }
}
