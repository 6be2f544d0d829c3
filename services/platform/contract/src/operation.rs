//! What an API crate declares of an operation beyond the trait.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error_code::ErrorCode;

/// What dropshot does not know of one operation. Its examples are in `examples.json`.
#[derive(Debug)]
pub struct Operation {
    pub(crate) id: &'static str,
    pub(crate) takes: Option<TypeCheck>,
    pub(crate) meaning: &'static str,
    pub(crate) answers: Option<TypeCheck>,
    pub(crate) errors: Vec<ErrorCode>,
    pub(crate) paginated: bool,
}

/// Deserializes an example as its type and serializes it again.
pub(crate) type TypeCheck = fn(&Value) -> serde_json::Result<Value>;

pub(crate) fn check_as<T: DeserializeOwned + Serialize>(value: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(value.clone())?)
}

impl Operation {
    /// The operation that the trait declares as the method `id`; `meaning` describes its success.
    pub fn new(id: &'static str, meaning: &'static str) -> Self {
        Self { id, takes: None, meaning, answers: None, errors: Vec::new(), paginated: false }
    }

    /// The type of its request body.
    pub fn takes<T: DeserializeOwned + Serialize>(mut self) -> Self {
        self.takes = Some(check_as::<T>);
        self
    }

    /// The type of its response body.
    pub fn answers<T: DeserializeOwned + Serialize>(mut self) -> Self {
        self.answers = Some(check_as::<T>);
        self
    }

    /// Every error it can return.
    pub fn fails(mut self, errors: &[ErrorCode]) -> Self {
        self.errors.extend_from_slice(errors);
        self
    }

    /// It returns pages: `limit` and `page_token` in the query, `items` and `next_page` in the response.
    pub fn paginated(mut self) -> Self {
        self.paginated = true;
        self
    }
}
