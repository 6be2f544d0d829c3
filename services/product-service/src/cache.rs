//! Products and first pages in memory, for a second.
//!
//! Equal reads that arrive at the same time load once. A write through this instance begins a new generation, which finds
//! nothing of the earlier ones, so a client reads what it has written. So does the event of a write through another
//! instance; where events do not arrive, it is seen when [`LIFETIME`] is over. The stock of what is found here is old: the caller reads it anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use moka::sync::Cache;
use product_service_api::{Product, ProductId, ProductPage};
use tokio::sync::OnceCell;

use crate::store::Filter;

/// How long a product or page is used after it was loaded.
const LIFETIME: Duration = Duration::from_secs(1);
/// The maximum size of each of the two caches.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What a page takes besides its products, roughly: most of it is the search in its key.
const PAGE_BYTES: usize = 512;

/// What was found.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// Loaded for this request.
    Loaded(Arc<T>),
    /// Loaded for another one, with a stock that is old.
    Cached(Arc<T>),
}

/// The cache; loads fail with `E`. Entries of earlier generations are not found any more, and make room in time.
pub(crate) struct ProductCache<E> {
    generation: AtomicU64,
    products: Reads<(u64, ProductId), Product, E>,
    pages: Reads<(u64, Filter, i64), ProductPage, E>,
}

impl<E: Clone> ProductCache<E> {
    pub(crate) fn new() -> Self {
        let bytes_of_page =
            |page: &ProductPage| PAGE_BYTES + page.items.iter().map(Product::approximate_bytes).sum::<usize>();
        Self {
            generation: AtomicU64::new(0),
            products: Reads::new(Product::approximate_bytes),
            pages: Reads::new(bytes_of_page),
        }
    }

    /// The product with this id, loaded if necessary. That there is none is not remembered.
    pub(crate) async fn product(
        &self,
        id: ProductId,
        load: BoxFuture<'_, Result<Product, E>>,
    ) -> Result<Found<Product>, E> {
        self.products.get((self.generation(), id), load).await
    }

    /// The first page of `filter` with at most `limit` products, loaded if necessary.
    pub(crate) async fn page(
        &self,
        filter: Filter,
        limit: i64,
        load: BoxFuture<'_, Result<ProductPage, E>>,
    ) -> Result<Found<ProductPage>, E> {
        self.pages.get((self.generation(), filter, limit), load).await
    }

    /// Forgets everything. To be called after each write, whatever its outcome.
    pub(crate) fn invalidate(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// One kind of read.
struct Reads<K, T, E> {
    values: Cache<K, Arc<T>>,
    loading: Loading<K, T, E>,
}

/// The loads under way. Those who wait for one are all woken at once when it ends; moka's own, `try_get_with`, wakes each
/// after the one before has run, which on a busy instance took the last of 256 waiting requests 300 ms.
type Loading<K, T, E> = Mutex<HashMap<K, Arc<OnceCell<Result<Arc<T>, E>>>>>;

impl<K, T, E> Reads<K, T, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Clone,
{
    fn new(bytes_of: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        let weigher = move |_: &K, value: &Arc<T>| u32::try_from(bytes_of(value)).unwrap_or(u32::MAX);
        let values = Cache::builder().weigher(weigher).max_capacity(MAX_BYTES).time_to_live(LIFETIME).build();
        Self { values, loading: Mutex::default() }
    }

    /// The value of `key`. An error of a load is that of everyone who waits for it, and is not remembered; a load that is
    /// dropped is begun anew by one of them.
    async fn get(&self, key: K, load: BoxFuture<'_, Result<T, E>>) -> Result<Found<T>, E> {
        if let Some(value) = self.values.get(&key) {
            return Ok(Found::Cached(value));
        }
        let cell = Arc::clone(lock(&self.loading).entry(key.clone()).or_default());
        let mut loaded = false;
        let init = async {
            let _done = Done { loading: &self.loading, key: &key };
            loaded = true;
            let value = load.await.map(Arc::new);
            if let Ok(value) = &value {
                self.values.insert(key.clone(), Arc::clone(value));
            }
            value
        };
        let value = cell.get_or_init(|| init).await.clone()?;
        Ok(if loaded { Found::Loaded(value) } else { Found::Cached(value) })
    }
}

/// Removes a load when it ends or is dropped.
struct Done<'a, K: Eq + Hash, T, E> {
    loading: &'a Loading<K, T, E>,
    key: &'a K,
}

impl<K: Eq + Hash, T, E> Drop for Done<'_, K, T, E> {
    fn drop(&mut self) {
        lock(self.loading).remove(self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::future::join_all;
    use std::sync::atomic::AtomicUsize;

    type Numbers = Reads<u32, u32, &'static str>;

    fn reads() -> Numbers {
        Reads::new(|_| 1)
    }

    #[tokio::test]
    async fn equal_reads_share_one_load_and_its_outcome() {
        for outcome in [Ok(7), Err("no database")] {
            let (reads, loads) = (reads(), AtomicUsize::new(0));
            let load = || async {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                outcome
            };
            let found = join_all((0..100).map(|_| reads.get(1, load().boxed()))).await;
            assert_eq!(loads.load(Ordering::Relaxed), 1);
            let loaded = found.iter().filter(|found| matches!(found, Ok(Found::Loaded(_)))).count();
            assert_eq!(loaded, usize::from(outcome.is_ok()));
            for found in found {
                let value = found.map(|(Found::Loaded(value) | Found::Cached(value))| *value);
                assert_eq!(value, outcome);
            }
            // A value is remembered, an error is not.
            let _ = reads.get(1, load().boxed()).await;
            assert_eq!(loads.load(Ordering::Relaxed), if outcome.is_ok() { 1 } else { 2 });
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_load_that_is_dropped_loads() {
        let reads = reads();
        let mut dropped = Box::pin(reads.get(1, std::future::pending().boxed()));
        let mut waiting = Box::pin(reads.get(1, async { Ok(7) }.boxed()));
        assert!((&mut dropped).now_or_never().is_none());
        assert!((&mut waiting).now_or_never().is_none());
        drop(dropped);
        assert!(matches!(waiting.await, Ok(Found::Loaded(value)) if *value == 7));
        assert!(lock(&reads.loading).is_empty());
    }
}
