//! The page size of lists.

crate::integer_type! {
    /// The maximum number of items on a page. If absent, 100 on the first page, and that of the page before on any other.
    pub struct PageLimit in 1..=1000;
}

/// Only for the first page: with a token, an absent limit is the token's. So the document has no default, which clients
/// would send along with each token.
impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}
