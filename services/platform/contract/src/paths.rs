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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_path_method_and_id() {
        let document = serde_json::json!({"paths": {
            "/users": {"get": {"operationId": "user_list"}, "post": {"operationId": "user_create"}},
            "/users/{user_id}": {"get": {}},
        }});
        let found: Vec<_> = operations(&document).map(|o| (o.path, o.method, o.id())).collect();
        assert_eq!(
            found,
            [
                ("/users", "get", Some("user_list")),
                ("/users", "post", Some("user_create")),
                ("/users/{user_id}", "get", None),
            ]
        );
        assert_eq!(operations(&Value::Null).count(), 0);
    }

    #[test]
    fn a_path_matches_its_template_whatever_its_parameters_are() {
        for (path, template, expected) in [
            ("/users", "/users", true),
            ("/users/", "/users", true),
            ("//users/7", "/users/{user_id}", true),
            ("/users/canary@example.com", "/users/{user_id}", true),
            ("/users/7/8", "/users/{user_id}", false),
            ("/users", "/users/{user_id}", false),
            ("/", "/users", false),
        ] {
            assert_eq!(matches(path, template), expected, "{path} {template}");
        }
    }
}
