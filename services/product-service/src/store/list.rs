//! Lists of products.

use product_service_api::{Category, ProductIds, Search};
use serde::{Deserialize, Serialize};
use service_runtime::database::InList;
use sqlx::{Encode, QueryBuilder, Type};

/// The filter of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only products with these ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<ProductIds>,
    /// Only products of this category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Only products of which some can be ordered, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_stock: Option<bool>,
    /// Only products that match this search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
}

/// Adds the condition and the order for the products of `filter` with ids below `before`, by descending id, whatever its
/// search.
pub(super) fn push_list<DB>(query: &mut QueryBuilder<DB>, before: i64, filter: &Filter) -> sqlx::Result<()>
where
    DB: sqlx::Database + InList<i64>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    // With an equality PostgreSQL could scan the newest products of all categories. Row comparisons and this order fit only
    // the index by category. Every id is above 0.
    match &filter.category {
        Some(category) => {
            for (conjunction, comparison, id) in [(" WHERE ", " > (", 0), (" AND ", " < (", before)] {
                query.push(conjunction).push("(category, id)").push(comparison);
                query.push_bind(category.as_str().to_owned()).push(", ").push_bind(id).push(")");
            }
        }
        None => {
            query.push(" WHERE id < ").push_bind(before);
        }
    }
    push_filter(query, "id", filter)?;
    query.push(if filter.category.is_some() { " ORDER BY category DESC, id DESC" } else { " ORDER BY id DESC" });
    Ok(())
}

/// Adds the conditions on the product with the id `id` that lists and searches share.
pub(super) fn push_filter<DB>(query: &mut QueryBuilder<DB>, id: &'static str, filter: &Filter) -> sqlx::Result<()>
where
    DB: sqlx::Database + InList<i64>,
{
    if let Some(ids) = &filter.ids {
        query.push(" AND ").push(id);
        // Longer ids name no product.
        InList::push_in_list(query, ids.as_str().split(',').filter_map(|id| id.parse().ok()).collect())?;
    }
    if let Some(in_stock) = filter.in_stock {
        let comparison = if in_stock { ">" } else { "=" };
        query.push(" AND (SELECT on_hand ").push(comparison).push(" reserved FROM stock WHERE stock.product_id = ");
        query.push(id).push(")");
    }
    Ok(())
}
