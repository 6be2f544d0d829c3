//! The databases of a run, and the rows that they contain before anything is measured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::plan::Kind;

/// How many users there are.
pub(crate) const USERS: i64 = 1000;
/// How many of them have orders; with a thousand orders or more, each has a full page.
pub(crate) const BUYERS: i64 = 50;
/// How many products there are, in how many categories.
pub(crate) const PRODUCTS: i64 = 10_000;
pub(crate) const CATEGORIES: i64 = 50;
/// The words of a product as PostgreSQL finds them by itself: the search of the peer and of pgbench.
pub(crate) const PEER_WORDS: &str = "to_tsvector('simple', name || ' ' || description)";
/// The product that everybody reserves.
pub(crate) const HOT_PRODUCT: i64 = 1;
/// How many orders one statement inserts: seconds of work, after which progress is shown.
const BATCH: i64 = 250_000;

/// What all measurements of a run share.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The directory of the programs.
    pub(crate) programs: PathBuf,
    /// The directory of the SQLite files.
    pub(crate) directory: TempDir,
    /// `None`: PostgreSQL is not measured.
    pub(crate) postgres: Option<Postgres>,
}

impl Environment {
    pub(crate) fn postgres(&self) -> Result<&Postgres> {
        self.postgres.as_ref().context("this run has no PostgreSQL")
    }
}

/// Creates a database of `kind`, without a schema, and returns its `DATABASE_URL`.
pub(crate) async fn create(environment: &Environment, kind: Kind, name: &str) -> Result<String> {
    if kind == Kind::Sqlite {
        return Ok(format!("sqlite:{}", environment.directory.path().join(format!("{name}.db")).display()));
    }
    let postgres = environment.postgres()?;
    let (database, socket) = (postgres.create_database().await?, postgres.cluster.socket_directory().display());
    Ok(format!("postgres://postgres@localhost/{database}?host={socket}"))
}

/// Creates the schema of the service whose program is `program`.
pub(crate) fn migrate(environment: &Environment, program: &str, url: &str) -> Result<()> {
    let output = Command::new(environment.programs.join(program))
        .arg("--migrate-only")
        .current_dir(environment.directory.path())
        .env_clear()
        .env("DATABASE_URL", url)
        .output()
        .with_context(|| format!("{program} cannot be run; scripts/bench builds it"))?;
    ensure!(output.status.success(), "{program} --migrate-only: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Inserts the users 1 to [`USERS`].
pub(crate) async fn fill_users(url: &str) -> Result<()> {
    let row = "'user' || n || '@example.com', 'user' || n || '@example.com', 'User ' || n, '2026-01-01T00:00:00+00:00'";
    fill(url, "users", "email, email_key, name, created_at", row, USERS, |_| {}).await
}

/// Inserts the products 1 to [`PRODUCTS`], more of each than a run reserves.
pub(crate) async fn fill_products(url: &str) -> Result<()> {
    let columns = "sku, name, description, category, price_amount, price_currency, version, created_at, updated_at";
    let time = "'2026-01-01T00:00:00+00:00'";
    let row = format!(
        "'SKU-' || n, 'Product ' || n, 'What is worth saying about product ' || n,
         'category-' || (1 + n % {CATEGORIES}), 1998, 'EUR', 1, {time}, {time}"
    );
    fill(url, "products", columns, &row, PRODUCTS, |_| {}).await?;
    fill(url, "stock", "product_id, on_hand, reserved", "n, 1000000000, 0", PRODUCTS, |_| {}).await?;
    // As product-service writes them: see its `store/search.rs`.
    let words = "sku product what is worth saying about";
    if url.starts_with("sqlite:") {
        let row = format!("n, 'product ' || n, '{words} ' || n, 'category-' || (1 + n % {CATEGORIES})");
        fill(url, "product_words", "rowid, name, words, category", &row, PRODUCTS, |_| {}).await?;
        let mut connection = SqliteConnection::connect(url).await?;
        let create = "CREATE VIRTUAL TABLE peer_words
                      USING fts5 (name, description, content = 'products', content_rowid = 'id')";
        connection.execute(create).await?;
        connection.execute("INSERT INTO peer_words (peer_words) VALUES ('rebuild')").await?;
        Ok(())
    } else {
        let lexemes = words.split(' ').map(|word| format!("(n >> 14) || ':{word}'")).collect::<Vec<_>>().join(", ");
        let row = format!(
            "n, array_to_tsvector(ARRAY[{lexemes}, (n >> 14) || ':' || n,
                                        (n >> 14) || ':^product', (n >> 14) || ':^' || n,
                                        (n >> 14) || ':=category-' || (1 + n % {CATEGORIES})])"
        );
        fill(url, "product_words", "product_id, words", &row, PRODUCTS, |_| {}).await?;
        let mut connection = PgConnection::connect(url).await?;
        let index = format!("CREATE INDEX peer_words ON products USING gin ({PEER_WORDS})");
        connection.execute(AssertSqlSafe(index)).await?;
        connection.execute("VACUUM ANALYZE products").await?;
        Ok(())
    }
}

/// Inserts the orders 1 to `count`, and reports to `progress` how many are stored.
pub(crate) async fn fill_orders(url: &str, count: i64, progress: impl FnMut(i64)) -> Result<()> {
    let time = "'2026-01-01T00:00:00+00:00'";
    let row = format!("1 + n % {BUYERS}, 456, 2, 'created', {time}, {time}");
    fill(url, "orders", "user_id, product_id, quantity, status, created_at, updated_at", &row, count, progress).await
}

/// Inserts `row` for each `n` from 1 to `count`, and does the maintenance that would otherwise happen during a
/// measurement.
async fn fill(url: &str, table: &str, columns: &str, row: &str, count: i64, progress: impl FnMut(i64)) -> Result<()> {
    let insert = |first: i64, last: i64| {
        format!(
            "WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
             INSERT INTO {table} ({columns}) SELECT {row} FROM numbers"
        )
    };
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await?;
        // A run that is interrupted starts with new files.
        connection.execute("PRAGMA synchronous = OFF").await?;
        in_batches(&mut connection, count, insert, progress).await?;
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    } else {
        let mut connection = PgConnection::connect(url).await?;
        in_batches(&mut connection, count, insert, progress).await?;
        connection.execute(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).await?;
        connection.execute("CHECKPOINT").await?;
    }
    Ok(())
}

/// Runs `insert` with the first and the last number of each batch.
async fn in_batches<C>(
    connection: &mut C,
    count: i64,
    insert: impl Fn(i64, i64) -> String,
    mut progress: impl FnMut(i64),
) -> Result<()>
where
    for<'c> &'c mut C: Executor<'c>,
{
    let mut stored = 0;
    while stored < count {
        let last = count.min(stored + BATCH);
        (&mut *connection).execute(AssertSqlSafe(insert(stored + 1, last))).await?;
        stored = last;
        progress(stored);
    }
    Ok(())
}
