//! Lists in a request body whose items must differ.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error};

/// Deserializes as many items as `length` says, which all differ in their `key`. `what` names the key to the client.
///
/// The schema of the field says the same, with `#[schemars(length(min = …, max = …))]` and a sentence.
pub fn each_once<'de, T, K, D>(
    deserializer: D,
    length: RangeInclusive<usize>,
    what: &str,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    K: Display + Eq + Hash,
    D: Deserializer<'de>,
{
    let items = Vec::<T>::deserialize(deserializer)?;
    if !length.contains(&items.len()) {
        let (min, max) = length.into_inner();
        return Err(D::Error::custom(format_args!("expected {min} to {max} items, got {}", items.len())));
    }
    let mut seen = HashSet::new();
    match items.iter().find(|item| !seen.insert(key(item))) {
        Some(twice) => Err(D::Error::custom(format_args!("{what} {} occurs twice", key(twice)))),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Deserializer;

    use super::*;

    fn read(text: &str) -> Result<Vec<i64>, String> {
        each_once(&mut Deserializer::from_str(text), 1..=3, "the number", |number| *number)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn items_are_bounded_and_differ() {
        assert_eq!(read("[3, 1, 2]"), Ok(vec![3, 1, 2]));
        assert!(read("[]").unwrap_err().contains("expected 1 to 3 items, got 0"));
        assert!(read("[1, 2, 3, 4]").unwrap_err().contains("expected 1 to 3 items, got 4"));
        assert!(read("[1, 2, 1]").unwrap_err().contains("the number 1 occurs twice"));
    }
}
