//! The search index: which products have which words. Each database has its own, with the same matches in the same order.

use std::fmt::Write;

use product_service_api::Category;
use serde::{Deserialize, Serialize};
use sqlx::{Pool, Postgres, QueryBuilder, Sqlite, Transaction};

use super::list::{Filter, push_filter};
use crate::words::{ProductWords, SearchWords};

/// Where a product has the words of a search. Products are listed tier by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// All of them in its name.
    #[default]
    Name,
    /// Not all of them in its name.
    Elsewhere,
}

impl Tier {
    /// Whether nothing comes before this tier.
    pub fn is_first(&self) -> bool {
        *self == Self::Name
    }
}

/// A search in one tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct TierSearch<'a> {
    pub(super) words: &'a SearchWords,
    pub(super) tier: Tier,
    /// Only products with ids below this.
    pub(super) before: i64,
    pub(super) filter: &'a Filter,
    pub(super) limit: i64,
}

/// The search index of a database.
pub(super) trait SearchIndex: sqlx::Database {
    /// Stores the words of a product in place of those that it had.
    async fn put(
        transaction: &mut Transaction<'_, Self>,
        id: i64,
        category: &Category,
        words: &ProductWords,
    ) -> sqlx::Result<()>;

    /// Removes the words of a product.
    async fn remove(transaction: &mut Transaction<'_, Self>, id: i64) -> sqlx::Result<()>;

    /// The ids of the products that match, descending.
    async fn search(pool: &Pool<Self>, search: TierSearch<'_>) -> sqlx::Result<Vec<i64>>;
}

/// A segment is the products whose ids are equal above these bits. Stored lexemes contain its number: it never changes.
macro_rules! segment_of {
    ($id:literal) => {
        concat!($id, " >> 14")
    };
}

fn segment_of(id: i64) -> i64 {
    id >> 14
}

/// Stands for the number of the segment in a query. No word contains it.
const SEGMENT: char = '#';

/// A lexeme is the number of the product's segment, a colon, and `word`, `^word` for one in the name, or `=category`. So
/// each segment has an index of its own within the GIN index, and a search goes through them from the newest to the oldest
/// until it has enough: it reads and sorts the matches of one segment at a time, however many the others have. GIN itself
/// returns matches in no order, all of them before the first.
impl SearchIndex for Postgres {
    async fn put(
        transaction: &mut Transaction<'_, Self>,
        id: i64,
        category: &Category,
        words: &ProductWords,
    ) -> sqlx::Result<()> {
        let segment = segment_of(id);
        let all = words.all.iter().map(|word| format!("{segment}:{word}"));
        let name = words.name.iter().map(|word| format!("{segment}:^{word}"));
        let lexemes: Vec<String> = all.chain(name).chain([format!("{segment}:={}", category.as_str())]).collect();
        let put = sqlx::query(
            "INSERT INTO product_words (product_id, words) VALUES ($1, array_to_tsvector($2))
             ON CONFLICT (product_id) DO UPDATE SET words = excluded.words",
        );
        put.bind(id).bind(lexemes).execute(&mut **transaction).await.map(|_| ())
    }

    async fn remove(transaction: &mut Transaction<'_, Self>, id: i64) -> sqlx::Result<()> {
        let remove = sqlx::query("DELETE FROM product_words WHERE product_id = $1").bind(id);
        remove.execute(&mut **transaction).await.map(|_| ())
    }

    async fn search(pool: &Pool<Self>, search: TierSearch<'_>) -> sqlx::Result<Vec<i64>> {
        let mut query = QueryBuilder::new("");
        if search.filter.ids.is_some() {
            // So few products are read one by one.
            query.push("SELECT product_id FROM product_words");
            push_matching(&mut query, segment_of!("product_id"), &search);
            query.push(" AND product_id < ").push_bind(search.before);
            push_filter(&mut query, "product_words.product_id", search.filter)?;
            query.push(" ORDER BY product_id DESC LIMIT ").push(search.limit);
        } else {
            query.push("SELECT found.product_id FROM generate_series(LEAST(").push_bind(search.before);
            query.push(" - 1, (SELECT COALESCE(MAX(product_id), 0) FROM product_words))");
            query.push(segment_of!("")).push(", 0, -1) AS segment, LATERAL (SELECT product_id FROM product_words");
            push_matching(&mut query, "segment", &search);
            // Expressions, so that no plan walks along the primary key.
            query.push(" AND product_id + 0 < ").push_bind(search.before);
            push_filter(&mut query, "product_words.product_id", search.filter)?;
            query.push(" ORDER BY product_id + 0 DESC LIMIT ").push(search.limit);
            query.push(") AS found LIMIT ").push(search.limit);
        }
        // A GIN index has bitmap scans only, which other statements must not use. Compiling the plan to machine code would
        // take longer than running it.
        let begin = "BEGIN; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on; SET LOCAL jit = off";
        let mut transaction = pool.begin_with(begin).await?;
        let ids = query.build_query_scalar().fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(ids)
    }
}

/// Adds the condition that the product in the segment has the words.
fn push_matching(query: &mut QueryBuilder<Postgres>, segment: &'static str, search: &TierSearch<'_>) {
    query.push(" WHERE words @@ replace(").push_bind(tsquery(search)).push(", ").push_bind(SEGMENT.to_string());
    query.push(", (").push(segment).push(")::text)::tsquery");
}

/// The query in the syntax of PostgreSQL's `tsquery`.
fn tsquery(search: &TierSearch<'_>) -> String {
    let all = |kind: &str| {
        let words = search.words.iter();
        let terms =
            words.map(|(word, is_prefix)| format!("'{SEGMENT}:{kind}{word}'{}", if is_prefix { ":*" } else { "" }));
        terms.collect::<Vec<_>>().join(" & ")
    };
    let mut query = match search.tier {
        Tier::Name => all("^"),
        Tier::Elsewhere => format!("{} & !({})", all(""), all("^")),
    };
    if let Some(category) = &search.filter.category {
        let _ = write!(query, " & '{SEGMENT}:={}'", category.as_str());
    }
    query
}

/// FTS5 returns matches by descending id one by one.
impl SearchIndex for Sqlite {
    async fn put(
        transaction: &mut Transaction<'_, Self>,
        id: i64,
        category: &Category,
        words: &ProductWords,
    ) -> sqlx::Result<()> {
        let text = |words: &std::collections::BTreeSet<String>| {
            words.iter().map(|word| format!("{word} ")).collect::<String>()
        };
        let put =
            sqlx::query("INSERT OR REPLACE INTO product_words (rowid, name, words, category) VALUES ($1, $2, $3, $4)");
        let put = put.bind(id).bind(text(&words.name)).bind(text(&words.all)).bind(category.as_str());
        put.execute(&mut **transaction).await.map(|_| ())
    }

    async fn remove(transaction: &mut Transaction<'_, Self>, id: i64) -> sqlx::Result<()> {
        let remove = sqlx::query("DELETE FROM product_words WHERE rowid = $1").bind(id);
        remove.execute(&mut **transaction).await.map(|_| ())
    }

    async fn search(pool: &Pool<Self>, search: TierSearch<'_>) -> sqlx::Result<Vec<i64>> {
        let mut query = QueryBuilder::new("SELECT rowid FROM product_words WHERE product_words MATCH ");
        query.push_bind(fts5_query(&search)).push(" AND rowid < ").push_bind(search.before);
        push_filter(&mut query, "product_words.rowid", search.filter)?;
        query.push(" ORDER BY rowid DESC LIMIT ").push(search.limit);
        query.build_query_scalar().fetch_all(pool).await
    }
}

/// The query in the syntax of SQLite's FTS5.
fn fts5_query(search: &TierSearch<'_>) -> String {
    let all = |column: &str| {
        let words = search.words.iter();
        let terms = words.map(|(word, is_prefix)| format!("\"{word}\"{}", if is_prefix { " *" } else { "" }));
        format!("({column} : ({}))", terms.collect::<Vec<_>>().join(" AND "))
    };
    let query = match search.tier {
        Tier::Name => all("name"),
        Tier::Elsewhere => format!("({} NOT {})", all("words"), all("name")),
    };
    match &search.filter.category {
        Some(category) => format!("(category : \"{}\") AND {query}", category.as_str()),
        None => query,
    }
}
