//! The rules about products.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use contract::precondition::IfMatch;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use product_service_api::{
    CategorySummary, Product, ProductCreate, ProductId, ProductListQuery, ProductPage, ProductReplace, StockChange,
};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::info;

use crate::cache::{Found, ProductCache};
use crate::store::{Filter, ProductStore, StockOutcome, Tier};
use crate::words::{SearchWords, WrongNumberOfWords};

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ProductError {
    #[error("no product has this id")]
    NotFound,
    #[error("another product has this SKU")]
    SkuTaken,
    #[error("the product has another version")]
    VersionMismatch,
    #[error("only {available} of the product {id} are available")]
    InsufficientStock { id: ProductId, available: i64 },
    #[error("a stock has an upper bound")]
    StockTooLarge,
    #[error(transparent)]
    Search(#[from] WrongNumberOfWords),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(DatabaseError),
}

impl From<DatabaseError> for ProductError {
    fn from(error: DatabaseError) -> Self {
        match error {
            // The SKU: the only other unique value is an idempotency key, and then the stored response is returned instead.
            DatabaseError::UniqueViolation => Self::SkuTaken,
            error => Self::Database(error),
        }
    }
}

/// The state in a page token: where the next page starts, and the filter of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextProducts {
    /// Of a search.
    #[serde(default, skip_serializing_if = "Tier::is_first")]
    tier: Tier,
    before: i64,
    filter: Filter,
    limit: PageLimit,
}

impl PageState for NextProducts {
    const LIST: &'static str = "products";
}

/// A product that a search has found; `None` if it was deleted since.
type Row = (Tier, ProductId, Option<Product>);

/// The products and their rules.
pub(crate) struct Products {
    store: ProductStore,
    cache: Arc<ProductCache<ProductError>>,
    keys: Keys,
}

impl Products {
    pub(crate) fn new(store: ProductStore, keys: Keys) -> Self {
        Self { store, cache: Arc::new(ProductCache::new()), keys }
    }

    /// Forgets what was read, because another instance may have written it.
    pub(crate) fn forgetting(&self) -> impl Fn() + Send + 'static {
        let cache = self.cache.clone();
        move || cache.invalidate()
    }

    /// Creates a product. A repeated request with the same key gets the stored response.
    pub(crate) async fn create(
        &self,
        product: ProductCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<Product>, ProductError> {
        let trace = request.trace.traceparent();
        let create = |claim| async {
            let insert = self.store.insert(&product, Utc::now(), claim, Some(&trace));
            let (created, response) = self.written(insert).await?;
            info!(request.log, "product created"; "product_id" => created.id.get());
            Ok(response)
        };
        self.keys.once("product_create", key, &product, &request.log, create).await
    }

    /// The outcome of `write`. What was read before is not used any more.
    async fn written<T>(&self, write: impl Future<Output = Result<T, DatabaseError>>) -> Result<T, ProductError> {
        let outcome = write.await;
        self.cache.invalidate();
        Ok(outcome?)
    }

    pub(crate) async fn view(&self, id: ProductId) -> Result<Product, ProductError> {
        let load = async { self.store.find(id).await?.ok_or(ProductError::NotFound) };
        match self.cache.product(id, load.boxed()).await? {
            Found::Loaded(product) => Ok(Arc::unwrap_or_clone(product)),
            Found::Cached(product) => {
                let stock = self.store.stock(id).await?.ok_or(ProductError::NotFound)?;
                Ok(stock.of(Product::clone(&product)))
            }
        }
    }

    /// Replaces a product. One conditional statement decides; the read afterwards only explains its refusal.
    pub(crate) async fn replace(
        &self,
        id: ProductId,
        if_match: IfMatch,
        new: ProductReplace,
        request: &RequestScope,
    ) -> Result<Product, ProductError> {
        let trace = request.trace.traceparent();
        match self.written(self.store.update(id, &if_match, &new, Utc::now(), Some(&trace))).await? {
            Some(product) => Ok(product),
            None => self.view(id).await.and(Err(ProductError::VersionMismatch)),
        }
    }

    /// Changes the stock of a product. A repeated request with the same key gets the stored response.
    pub(crate) async fn change_stock(
        &self,
        id: ProductId,
        if_match: IfMatch,
        change: StockChange,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<Product>, ProductError> {
        let trace = request.trace.traceparent();
        let apply = |claim| async {
            let changed = self.store.change_stock(id, &if_match, &change, Utc::now(), claim, Some(&trace));
            match self.written(changed).await? {
                StockOutcome::Changed(stock, response) => {
                    info!(request.log, "stock changed"; "product_id" => id.get(), "stock" => stock.get());
                    Ok(response)
                }
                StockOutcome::NoSuchVersion => self.view(id).await.and(Err(ProductError::VersionMismatch)),
                StockOutcome::OutOfBounds(_) if change.quantity_change.get() > 0 => Err(ProductError::StockTooLarge),
                StockOutcome::OutOfBounds(available) => Err(ProductError::InsufficientStock { id, available }),
            }
        };
        self.keys.once("product_change_stock", key, &(id, &change), &request.log, apply).await
    }

    pub(crate) async fn delete(&self, id: ProductId, request: &RequestScope) -> Result<(), ProductError> {
        let trace = request.trace.traceparent();
        let deleted = self.written(self.store.delete(id, Utc::now(), Some(&trace))).await?;
        if deleted { Ok(()) } else { Err(ProductError::NotFound) }
    }

    pub(crate) async fn list(&self, query: ProductListQuery) -> Result<ProductPage, ProductError> {
        let sent = Filter { ids: query.ids, category: query.category, in_stock: query.in_stock, search: query.search };
        let Some(token) = &query.page_token else {
            return self.first_page(sent, query.limit.unwrap_or_default()).await;
        };
        let from = NextProducts::from_token(token)?;
        same_filter(sent.ids.as_ref(), from.filter.ids.as_ref())?;
        same_filter(sent.category.as_ref(), from.filter.category.as_ref())?;
        same_filter(sent.in_stock.as_ref(), from.filter.in_stock.as_ref())?;
        same_filter(sent.search.as_ref(), from.filter.search.as_ref())?;
        let limit = query.limit.unwrap_or(from.limit);
        self.page(from, limit).await
    }

    async fn first_page(&self, filter: Filter, limit: PageLimit) -> Result<ProductPage, ProductError> {
        let from = NextProducts { tier: Tier::default(), before: i64::MAX, filter: filter.clone(), limit };
        // Which products are in stock is not cached, and lists of ids seldom repeat.
        if filter.in_stock.is_some() || filter.ids.is_some() {
            return self.page(from, limit).await;
        }
        match self.cache.page(filter, limit.get(), self.page(from, limit)).await? {
            Found::Loaded(page) => Ok(Arc::unwrap_or_clone(page)),
            Found::Cached(page) => {
                let stocks = self.store.stocks(page.items.iter().map(|product| product.id).collect()).await?;
                // What was deleted since has no stock.
                let items = page.items.iter().zip(stocks);
                let items = items.filter_map(|(product, stock)| Some(stock?.of(product.clone()))).collect();
                Ok(ProductPage { items, next_page: page.next_page.clone() })
            }
        }
    }

    /// The page that starts where `from` says. Boxed: otherwise each request for a list holds the 10 KB of this future
    /// several times.
    fn page(&self, from: NextProducts, limit: PageLimit) -> BoxFuture<'_, Result<ProductPage, ProductError>> {
        let page = async move {
            if let Some(search) = &from.filter.search {
                let words = SearchWords::new(search.as_str())?;
                return self.search(&words, from, limit).await;
            }
            let rows = self.store.list_before(from.before, &from.filter, limit.get() + 1).await?;
            let next = |last: &Product| NextProducts { before: last.id.get(), limit, ..from };
            let (items, next_page) = page_of(rows, limit, Product::approximate_bytes, next)?;
            Ok(ProductPage { items, next_page })
        };
        page.boxed()
    }

    async fn search(
        &self,
        words: &SearchWords,
        from: NextProducts,
        limit: PageLimit,
    ) -> Result<ProductPage, ProductError> {
        let found = self.store.search(words, (from.tier, from.before), &from.filter, limit.get() + 1).await?;
        let ids: Vec<ProductId> = found.iter().map(|(_, id)| *id).collect();
        let products = self.store.find_each(&ids).await?;
        let mut products: HashMap<ProductId, Product> = products.into_iter().map(|one| (one.id, one)).collect();
        // Some may have been deleted meanwhile: a page ends where it would have ended with them.
        let rows = found.into_iter().map(|(tier, id)| (tier, id, products.remove(&id))).collect();
        let bytes_of = |(_, _, product): &Row| product.as_ref().map_or(0, Product::approximate_bytes);
        let next = |&(tier, id, _): &Row| NextProducts { tier, before: id.get(), limit, ..from };
        let (rows, next_page) = page_of(rows, limit, bytes_of, next)?;
        Ok(ProductPage { items: rows.into_iter().filter_map(|(_, _, product)| product).collect(), next_page })
    }

    pub(crate) async fn categories(&self) -> Result<Vec<CategorySummary>, ProductError> {
        Ok(self.store.categories().await?)
    }
}
