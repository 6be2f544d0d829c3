//! Products and first pages in memory, for a second.
//!
//! Equal reads that arrive at the same time load once. A write through this instance begins a new generation, which finds
//! nothing of the earlier ones, so a client reads what it has written. What another instance writes is seen when
//! [`LIFETIME`] is over. The stock of what is found here is old: the caller reads it anew.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use product_service_api::{Product, ProductId, ProductPage};

use crate::store::Filter;

/// How long a product or page is used after it was loaded.
const LIFETIME: Duration = Duration::from_secs(1);
/// The maximum size of each of the two caches.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What a page takes besides its products, roughly: most of it is the search in its key.
const PAGE_BYTES: usize = 512;

/// What was found.
pub(crate) enum Found<T> {
    /// Loaded for this request.
    Loaded(Arc<T>),
    /// Loaded for another one, with a stock that is old.
    Cached(Arc<T>),
}

/// An error of a load. Several requests can have the same one.
pub(crate) trait LoadError: Clone + Send + Sync + 'static {}

impl<E: Clone + Send + Sync + 'static> LoadError for E {}

/// The cache. Entries of earlier generations are not found any more, and make room in time.
pub(crate) struct ProductCache {
    generation: AtomicU64,
    products: Cache<(u64, ProductId), Arc<Product>>,
    pages: Cache<(u64, Filter, i64), Arc<ProductPage>>,
}

impl ProductCache {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            products: cache(|product: &Arc<Product>| product.approximate_bytes()),
            pages: cache(|page: &Arc<ProductPage>| {
                PAGE_BYTES + page.items.iter().map(Product::approximate_bytes).sum::<usize>()
            }),
        }
    }

    /// The product with this id, loaded if necessary. That there is none is not remembered.
    pub(crate) async fn product<E: LoadError>(
        &self,
        id: ProductId,
        load: impl Future<Output = Result<Product, E>>,
    ) -> Result<Found<Product>, E> {
        get(&self.products, (self.generation(), id), load).await
    }

    /// The first page of `filter` with at most `limit` products, loaded if necessary.
    pub(crate) async fn page<E: LoadError>(
        &self,
        filter: Filter,
        limit: i64,
        load: impl Future<Output = Result<ProductPage, E>>,
    ) -> Result<Found<ProductPage>, E> {
        get(&self.pages, (self.generation(), filter, limit), load).await
    }

    /// Forgets everything. To be called after each write, whatever its outcome.
    pub(crate) fn invalidate(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

fn cache<K, T>(bytes_of: impl Fn(&Arc<T>) -> usize + Send + Sync + 'static) -> Cache<K, Arc<T>>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let weigher = move |_: &K, value: &Arc<T>| u32::try_from(bytes_of(value)).unwrap_or(u32::MAX);
    Cache::builder().weigher(weigher).max_capacity(MAX_BYTES).time_to_live(LIFETIME).build()
}

async fn get<K, T, E: LoadError>(
    cache: &Cache<K, Arc<T>>,
    key: K,
    load: impl Future<Output = Result<T, E>>,
) -> Result<Found<T>, E>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let mut loaded = false;
    let load = async {
        loaded = true;
        load.await.map(Arc::new)
    };
    let value = cache.try_get_with(key, load).await.map_err(|error| E::clone(&error))?;
    Ok(if loaded { Found::Loaded(value) } else { Found::Cached(value) })
}
