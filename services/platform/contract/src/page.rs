//! How long the pages of a list are.

crate::integer_type! {
    /// The most items a page holds.
    pub struct PageLimit in 1..=1000, example 100;
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}
