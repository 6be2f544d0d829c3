//! The page size of lists.

crate::integer_type! {
    /// The maximum number of items on a page.
    pub struct PageLimit in 1..=1000, example 100;
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}
