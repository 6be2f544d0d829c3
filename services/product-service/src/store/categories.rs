//! How many products each category has, counted in the transactions that change it.

use product_service_api::{Category, CategorySummary};
use service_runtime::database::DatabaseError;
use sqlx::database::HasStatementCache;
use sqlx::{Encode, Executor, IntoArguments, Transaction, Type};

/// Reads the first categories, by name. The condition is for the planner: it makes the index the only way.
pub(super) const SELECT: &str =
    "SELECT category, products FROM categories WHERE category > '' ORDER BY category LIMIT 1000";

/// Counts a product out of the category `from` and into the category `to`.
///
/// Other transactions that change the same category wait until this one ends, so this is among its last statements, after
/// those that lock products.
pub(super) async fn move_product<DB>(
    transaction: &mut Transaction<'_, DB>,
    from: Option<&str>,
    to: Option<&str>,
) -> sqlx::Result<()>
where
    DB: sqlx::Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    if from == to {
        return Ok(());
    }
    let mut changes: Vec<(&str, &[&'static str])> = Vec::new();
    changes.extend(from.map(|category| (category, &COUNT_OUT[..])));
    changes.extend(to.map(|category| (category, &COUNT_IN[..])));
    // The same lock order in every transaction, so that there is no deadlock.
    changes.sort_unstable();
    for (category, statements) in changes {
        for &statement in statements {
            sqlx::query(statement).bind(category).execute(&mut **transaction).await?;
        }
    }
    Ok(())
}

const COUNT_IN: [&str; 1] = ["INSERT INTO categories (category, products) VALUES ($1, 1)
     ON CONFLICT (category) DO UPDATE SET products = categories.products + 1"];

/// Not one statement: only the first one's lock makes the number certain that the second one sees.
const COUNT_OUT: [&str; 2] = [
    "UPDATE categories SET products = products - 1 WHERE category = $1",
    "DELETE FROM categories WHERE category = $1 AND products = 0",
];

/// The category in a row.
pub(super) fn summary((category, products): (String, i64)) -> sqlx::Result<CategorySummary> {
    let products = products.try_into().map_err(DatabaseError::decode_error)?;
    Ok(CategorySummary { category: Category::from_stored(category), products })
}
