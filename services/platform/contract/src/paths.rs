//! The operations of an OpenAPI document that is read as JSON, and the requests that belong to them.

use serde_json::Value;

/// An operation of a document.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The path template: parameters are segments in braces.
    pub path: &'a str,
    /// The HTTP method in lower case, as the document writes it.
    pub method: &'a str,
    /// The operation object.
    pub value: &'a Value,
}

impl<'a> Operation<'a> {
    /// The `operationId`.
    pub fn id(&self) -> Option<&'a str> {
        self.value["operationId"].as_str()
    }
}

/// All operations of `document`, in its order. A value that is not a document has none.
pub fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, value)| Operation { path, method, value })
    })
}

/// Whether `path` is an instance of the path `template`, as dropshot routes: empty segments do not count, and a segment
/// in braces matches any.
pub fn matches(path: &str, template: &str) -> bool {
    let segments = |path| str::split(path, '/').filter(|segment| !segment.is_empty());
    let (mut actual, mut expected) = (segments(path), segments(template));
    loop {
        match (actual.next(), expected.next()) {
            (None, None) => return true,
            (Some(actual), Some(expected)) if actual == expected || expected.starts_with('{') => {}
            _ => return false,
        }
    }
}
