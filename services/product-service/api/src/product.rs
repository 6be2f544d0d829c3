//! Products, as they travel.

use contract::extract::optional;
use contract::money::Money;
use contract::page::PageLimit;
use contract::time::Timestamp;
use contract::version::{Version, Versioned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

contract::integer_type! {
    /// A product's id, assigned by product-service.
    pub struct ProductId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// 1 to 100 product ids, separated by commas, in any order.
    pub struct ProductIds {
        length: 1..=1699,
        // An id of more digits than any product's names no product. RE2 has no counted repetitions that multiply to 1000.
        pattern: "^[1-9][0-9]*(,[1-9][0-9]*){0,99}$",
        expected: "1 to 100 product ids, separated by commas",
        example: "1,2,3",
    }
}

contract::string_type! {
    /// The seller's own code of a product (stock keeping unit).
    pub struct Sku {
        length: 1..=64,
        pattern: "^[A-Z0-9]+([._-][A-Z0-9]+)*$",
        expected: "upper-case letters A to Z and digits, with single dots, underscores or hyphens between them",
        example: "MUG-01",
    }
}

contract::string_type! {
    /// A product's name, in any script.
    pub struct ProductName {
        length: 1..=255,
        example: "Blue mug",
    }
}

contract::string_type! {
    /// What is worth saying about a product, in any script.
    pub struct Description {
        length: 1..=4000,
        example: "Stoneware, 300 ml, dishwasher safe.",
    }
}

contract::string_type! {
    /// The name of a category.
    pub struct Category {
        length: 1..=64,
        pattern: "^[a-z0-9]+(-[a-z0-9]+)*$",
        expected: "lower-case letters a to z and digits, with single hyphens between them",
        example: "kitchen",
    }
}

contract::string_type! {
    /// Words to search for: 1 to 16, each of letters and digits; everything else separates words. Case and accents do not
    /// matter.
    pub struct Search {
        length: 1..=100,
        example: "blue mug",
    }
}

contract::integer_type! {
    /// A number of products.
    pub struct ProductCount in 1..=contract::constrained::MAX_SAFE_INTEGER, example 3;
}

contract::integer_type! {
    /// A number of pieces.
    pub struct Pieces in 0..=1_000_000_000, example 250;
}

contract::integer_type! {
    /// A number of pieces to add to a stock or, if negative, to take away.
    pub struct QuantityChange in -1_000_000_000..=1_000_000_000, example 50;
}

/// A product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// The product's id.
    pub id: ProductId,
    /// Its code; unique among all products.
    pub sku: Sku,
    /// Its name.
    pub name: ProductName,
    /// What is worth saying about it; absent if nothing is.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Description")]
    pub description: Option<Description>,
    /// Its category.
    pub category: Category,
    /// The price of a piece.
    pub price: Money,
    /// How many pieces can be ordered.
    pub stock: Pieces,
    /// How many pieces are set aside for orders, besides `stock`.
    pub reserved: Pieces,
    /// Its version: how often it was written. Orders do not write it: they change only `stock` and `reserved`.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Product {
    /// About how many bytes it has, in memory and as JSON.
    pub fn approximate_bytes(&self) -> usize {
        let description = self.description.as_ref().map_or(0, |text| text.as_str().len());
        256 + self.name.as_str().len() + description
    }
}

impl Versioned for Product {
    fn version(&self) -> Version {
        self.version
    }

    fn unversioned(&self) -> String {
        format!("{}.{}", self.stock, self.reserved)
    }
}

/// A product to create.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductCreate {
    /// Its code; unique among all products.
    pub sku: Sku,
    /// Its name.
    pub name: ProductName,
    /// What is worth saying about it.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Description")]
    pub description: Option<Description>,
    /// Its category, which need not exist yet.
    pub category: Category,
    /// The price of a piece.
    pub price: Money,
    /// How many pieces there are; none if absent.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Pieces")]
    pub stock: Option<Pieces>,
}

/// The new values of a product, all of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductReplace {
    /// Its code; unique among all products.
    pub sku: Sku,
    /// Its name.
    pub name: ProductName,
    /// What is worth saying about it; nothing if absent.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Description")]
    pub description: Option<Description>,
    /// Its category, which need not exist yet.
    pub category: Category,
    /// The price of a piece.
    pub price: Money,
}

/// A change of a product's stock.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StockChange {
    /// The number of pieces to add or, if negative, to take away.
    pub quantity_change: QuantityChange,
}

/// The variables of a path to one product.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductPath {
    /// The product's id.
    pub product_id: ProductId,
}

/// The filters and the page of a list of products.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductListQuery {
    /// Only the products with these ids.
    pub ids: Option<ProductIds>,
    /// Only the products of this category.
    pub category: Option<Category>,
    /// `true`: only products of which at least one piece can be ordered. `false`: only products of which none can.
    #[schemars(with = "bool", example = "in_stock_example")]
    #[serde(default)]
    pub in_stock: Option<bool>,
    /// Only products that have all these words in name, description or SKU. The last word also finds longer words that begin
    /// with it.
    pub search: Option<Search>,
    /// The maximum number of products on a page; a page of large ones has fewer. If absent, 100 on the first page, and that of
    /// the page before with a `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filters: leave them out, or repeat them unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A list of categories has no filters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryListQuery {}

/// A page of products.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProductPage {
    /// The products, by descending id; with `search` those with all its words in their names first.
    pub items: Vec<Product>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

/// A category and how many products it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CategorySummary {
    /// Its name.
    pub category: Category,
    /// The number of its products.
    pub products: ProductCount,
}

fn in_stock_example() -> bool {
    true
}

fn next_page_example() -> &'static str {
    "WyJwcm9kdWN0cyIseyJiZWZvcmUiOjIsImZpbHRlciI6e30sImxpbWl0IjoxfV3L9h10"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_valid() {
        assert!(Sku::RULES.example.unwrap().parse::<Sku>().is_ok());
        assert!(ProductName::RULES.example.unwrap().parse::<ProductName>().is_ok());
        assert!(Description::RULES.example.unwrap().parse::<Description>().is_ok());
        assert!(Category::RULES.example.unwrap().parse::<Category>().is_ok());
        assert!(Search::RULES.example.unwrap().parse::<Search>().is_ok());
        assert!(ProductIds::RULES.example.unwrap().parse::<ProductIds>().is_ok());
    }

    #[test]
    fn a_sku_is_words_of_capitals_and_digits() {
        for good in ["A", "0", "MUG-01", "A.B_C-1", &"A".repeat(64)] {
            assert!(good.parse::<Sku>().is_ok(), "{good:?}");
        }
        for bad in ["", "mug", "MUG 1", "-A", "A-", "A--B", "É", "A\n", &"A".repeat(65)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad:?}");
        }
    }
}
