//! The products in the database: all SQL of the service.

mod categories;
mod change_stock;
mod list;
mod reservations;
mod row;
mod search;
mod stock;

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use contract::precondition::IfMatch;
use contract::version::Version;
use product_service_api::{
    CategorySummary, Product, ProductChange, ProductChanged, ProductCreate, ProductId, ProductReplace,
};
use service_runtime::database::{Batches, Database, DatabaseError, InList, Pool, read_by_id};
use service_runtime::events::{EventSql, NewEvent, Outbox, Wake};
use service_runtime::idempotency::{Claim, remove_responses};
use service_runtime::with_pool;
use sqlx::types::Json;
use sqlx::{Encode, Executor, IntoArguments, QueryBuilder, Transaction, Type};

pub use change_stock::StockOutcome;
pub use list::Filter;
pub use reservations::{OrderEvent, OrderStep, Refusal, ReservationStore};
pub use search::Tier;
pub use stock::Stock;

use list::push_list;
use row::{ProductRow, product, select};
use search::{SearchIndex, TierSearch};
use stock::find_stocks;

use crate::words::{ProductWords, SearchWords};

/// The stored products.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct ProductStore {
    database: Database,
    finds: Batches<ProductId, Option<Product>>,
    stocks: Batches<ProductId, Option<Stock>>,
    outbox: Outbox,
}

impl ProductStore {
    /// The products in `database`, whose events go to `outbox`.
    pub fn new(database: Database, outbox: Outbox) -> Self {
        let finds = Batches::new(&database, find_all);
        let stocks = Batches::new(&database, find_stocks);
        Self { database, finds, stocks, outbox }
    }

    /// Writes the event that a product has changed, at `time` where `traceparent` says.
    async fn write_event<DB>(
        &self,
        transaction: &mut Transaction<'_, DB>,
        product_id: ProductId,
        change: ProductChange,
        time: DateTime<Utc>,
        traceparent: Option<&str>,
    ) -> sqlx::Result<Wake>
    where
        DB: EventSql,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> Json<&'q [NewEvent]>: Encode<'q, DB> + Type<DB>,
    {
        let event = self.outbox.event(&ProductChanged { product_id, change }, time, traceparent)?;
        self.outbox.write(transaction, &[event]).await
    }

    /// Stores a new product, and the response under the key of `claim`, in one transaction.
    /// [`DatabaseError::UniqueViolation`]: another product has the SKU, or the key has a response already.
    pub async fn insert(
        &self,
        product: &ProductCreate,
        created_at: DateTime<Utc>,
        claim: Option<Claim>,
        trace: Option<&str>,
    ) -> Result<(Product, Created<Product>), DatabaseError> {
        let description = product.description.as_ref().map(|text| text.as_str());
        let words = ProductWords::new(product.sku.as_str(), product.name.as_str(), description);
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let insert = sqlx::query_as(
                "INSERT INTO products
                     (sku, name, description, category, price_amount, price_currency, version, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)
                 ON CONFLICT (sku) DO NOTHING
                 RETURNING id",
            )
            .bind(product.sku.as_str())
            .bind(product.name.as_str())
            .bind(description)
            .bind(product.category.as_str())
            .bind(product.price.amount.get())
            .bind(product.price.currency.as_str())
            .bind(created_at.trunc_subsecs(6));
            let ids: Vec<(i64,)> = insert.fetch_all(&mut *transaction).await?;
            let &(id,) = ids.first().ok_or(sqlx::Error::RowNotFound)?;
            let on_hand = product.stock.map_or(0, |pieces| pieces.get());
            let stock = sqlx::query("INSERT INTO stock (product_id, on_hand, reserved) VALUES ($1, $2, 0)");
            stock.bind(id).bind(on_hand).execute(&mut *transaction).await?;
            SearchIndex::put(&mut transaction, id, &product.category, &words).await?;
            categories::move_product(&mut transaction, None, Some(product.category.as_str())).await?;
            let rows: Vec<ProductRow> =
                sqlx::query_as(concat!(select!(), " WHERE id = $1")).bind(id).fetch_all(&mut *transaction).await?;
            let product = first(rows)?.ok_or(sqlx::Error::RowNotFound)?;
            let response = Created::new(&product, location(product.id)).map_err(DatabaseError::decode_error)?;
            if let Some(claim) = &claim {
                Claim::store_responses(&mut transaction, vec![(claim, &response, created_at)]).await?;
            }
            let _wake =
                self.write_event(&mut transaction, product.id, ProductChange::Created, created_at, trace).await?;
            transaction.commit().await?;
            Ok((product, response))
        })
    }

    /// The stock of the product with this id.
    pub async fn stock(&self, id: ProductId) -> Result<Option<Stock>, DatabaseError> {
        self.stocks.run(id).await
    }

    /// The stock of the product with each of `ids`; `None` where there is no product.
    pub async fn stocks(&self, ids: Vec<ProductId>) -> Result<Vec<Option<Stock>>, DatabaseError> {
        find_stocks(self.database.clone(), ids).await.into_iter().collect()
    }

    /// The product with this id.
    pub async fn find(&self, id: ProductId) -> Result<Option<Product>, DatabaseError> {
        self.finds.run(id).await
    }

    /// The product with each of these ids, in their order, without those that do not exist.
    pub async fn find_each(&self, ids: &[ProductId]) -> Result<Vec<Product>, DatabaseError> {
        let place: HashMap<i64, usize> = ids.iter().enumerate().map(|(place, id)| (id.get(), place)).collect();
        let mut rows: Vec<ProductRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, concat!(select!(), " WHERE id"));
            InList::push_in_list(&mut query, ids.iter().copied().map(ProductId::get).collect())?;
            query.build_query_as().fetch_all(pool).await
        })?;
        rows.sort_unstable_by_key(|row| place.get(&row.0).copied());
        Ok(rows.into_iter().map(product).collect::<sqlx::Result<_>>()?)
    }

    /// At most `limit` products of `filter` with ids below `before`, by descending id, whatever its search.
    pub async fn list_before(&self, before: i64, filter: &Filter, limit: i64) -> Result<Vec<Product>, DatabaseError> {
        let rows: Vec<ProductRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, select!());
            push_list(&mut query, before, filter)?;
            // Not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push(" LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(product).collect::<sqlx::Result<_>>()?)
    }

    /// The ids of at most `limit` products of `filter` that have `words`, with their tiers: first those of `tier` with ids
    /// below `before`, and then, after the products with the words in their names, the others. By descending id in each tier.
    pub async fn search(
        &self,
        words: &SearchWords,
        (tier, before): (Tier, i64),
        filter: &Filter,
        limit: i64,
    ) -> Result<Vec<(Tier, ProductId)>, DatabaseError> {
        let search = TierSearch { words, tier, before, filter, limit };
        let ids: Vec<(Tier, i64)> = with_pool!(self.database.reader(), |pool| async {
            let mut found: Vec<_> = SearchIndex::search(pool, search).await?.into_iter().map(|id| (tier, id)).collect();
            let missing = limit - i64::try_from(found.len()).unwrap_or(limit);
            if tier == Tier::Name && missing > 0 {
                let tier = Tier::Elsewhere;
                let others = TierSearch { tier, before: i64::MAX, limit: missing, ..search };
                found.extend(SearchIndex::search(pool, others).await?.into_iter().map(|id| (tier, id)));
            }
            Ok(found)
        })?;
        let with_type = |(tier, id): (Tier, i64)| Ok((tier, id.try_into().map_err(DatabaseError::decode_error)?));
        Ok(ids.into_iter().map(with_type).collect::<sqlx::Result<_>>()?)
    }

    /// The first 1,000 categories that have products, by name.
    pub async fn categories(&self) -> Result<Vec<CategorySummary>, DatabaseError> {
        let rows = with_pool!(self.database.reader(), |pool| sqlx::query_as(categories::SELECT).fetch_all(pool))?;
        Ok(rows.into_iter().map(categories::summary).collect::<sqlx::Result<_>>()?)
    }

    /// Replaces the values of the product with this id, if it exists with a version that `if_match` allows. The time of the
    /// change is `updated_at`, but never before that of the last change. `None`: there is no such product, or it has another
    /// version. [`DatabaseError::UniqueViolation`]: another has the SKU.
    pub async fn update(
        &self,
        id: ProductId,
        if_match: &IfMatch,
        new: &ProductReplace,
        updated_at: DateTime<Utc>,
        trace: Option<&str>,
    ) -> Result<Option<Product>, DatabaseError> {
        let description = new.description.as_ref().map(|text| text.as_str());
        let words = ProductWords::new(new.sku.as_str(), new.name.as_str(), description);
        let rows: Vec<ProductRow> = with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            // This statement decides. It returns the category, which the next one replaces.
            let mut decide = Pool::query_for(pool, "UPDATE products SET ");
            push_new_version(&mut decide, id, if_match, updated_at)?;
            decide.push(" RETURNING category");
            let categories: Vec<(String,)> = decide.build_query_as().fetch_all(&mut *transaction).await?;
            let Some((category,)) = categories.first() else { return Ok(Vec::new()) };
            let update = sqlx::query(
                "UPDATE products
                 SET sku = $1, name = $2, description = $3, category = $4, price_amount = $5, price_currency = $6
                 WHERE id = $7",
            )
            .bind(new.sku.as_str())
            .bind(new.name.as_str())
            .bind(description)
            .bind(new.category.as_str())
            .bind(new.price.amount.get())
            .bind(new.price.currency.as_str())
            .bind(id.get());
            update.execute(&mut *transaction).await?;
            SearchIndex::put(&mut transaction, id.get(), &new.category, &words).await?;
            categories::move_product(&mut transaction, Some(category), Some(new.category.as_str())).await?;
            let find = sqlx::query_as(concat!(select!(), " WHERE id = $1")).bind(id.get());
            let rows = find.fetch_all(&mut *transaction).await?;
            let _wake = self.write_event(&mut transaction, id, ProductChange::Replaced, updated_at, trace).await?;
            transaction.commit().await?;
            Ok(rows)
        })?;
        Ok(first(rows)?)
    }

    /// Deletes the product with this id, and the response stored about its creation; returns whether it existed.
    pub async fn delete(
        &self,
        id: ProductId,
        deleted_at: DateTime<Utc>,
        trace: Option<&str>,
    ) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let delete = sqlx::query_as("DELETE FROM products WHERE id = $1 RETURNING category").bind(id.get());
            let deleted: Vec<(String,)> = delete.fetch_all(&mut *transaction).await?;
            let Some((category,)) = deleted.first() else { return Ok(false) };
            let stock = sqlx::query("DELETE FROM stock WHERE product_id = $1").bind(id.get());
            stock.execute(&mut *transaction).await?;
            SearchIndex::remove(&mut transaction, id.get()).await?;
            categories::move_product(&mut transaction, Some(category), None).await?;
            remove_responses(&mut transaction, &location(id)).await?;
            let _wake = self.write_event(&mut transaction, id, ProductChange::Deleted, deleted_at, trace).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}

/// Adds the assignments of a new version, and the condition of the product with this id and a version that `if_match`
/// allows.
fn push_new_version<DB>(
    query: &mut QueryBuilder<DB>,
    id: ProductId,
    if_match: &IfMatch,
    updated_at: DateTime<Utc>,
) -> sqlx::Result<()>
where
    DB: sqlx::Database + InList<i64>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    DateTime<Utc>: for<'q> Encode<'q, DB> + Type<DB>,
{
    let updated_at = updated_at.trunc_subsecs(6);
    // The clock may have been set back since the last change.
    query.push("version = version + 1, updated_at = CASE WHEN updated_at > ").push_bind(updated_at);
    query.push(" THEN updated_at ELSE ").push_bind(updated_at).push(" END WHERE id = ").push_bind(id.get());
    if let IfMatch(Some(versions)) = if_match {
        query.push(" AND version");
        InList::push_in_list(query, versions.iter().copied().map(Version::get).collect())?;
    }
    Ok(())
}

fn location(id: ProductId) -> String {
    format!("/api/v1/products/{id}")
}

/// The product with each of these ids.
async fn find_all(database: Database, ids: Vec<ProductId>) -> Vec<Result<Option<Product>, DatabaseError>> {
    let select = concat!(select!(), " WHERE id");
    let rows = read_by_id(database, select, ids.into_iter().map(ProductId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(product).transpose()?)).collect()
}

fn first(rows: Vec<ProductRow>) -> sqlx::Result<Option<Product>> {
    rows.into_iter().next().map(product).transpose()
}
