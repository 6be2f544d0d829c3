//! The operations of an OpenAPI document that is read as JSON, and the requests that belong to them.

use percent_encoding::percent_decode_str;
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

/// What `value` refers to in `document` with `$ref`, or itself.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(value)
}

/// The error codes that `response` documents for `status`: the names of its examples. Those of a success are no codes.
pub fn error_codes<'a>(status: &str, response: &'a Value) -> impl Iterator<Item = &'a str> + use<'a> {
    let failed = status.starts_with(['4', '5']);
    let examples = response["content"]["application/json"]["examples"].as_object().filter(|_| failed);
    examples.into_iter().flat_map(|examples| examples.keys().map(String::as_str))
}

/// All operations of `document`, in its order. A value that is not a document has none.
pub fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, value)| Operation { path, method, value })
    })
}

/// Whether `path`, as it is in a request, is an instance of the path `template`: a segment in braces matches any that
/// is not empty. Percent-encoded characters are the characters that they encode (RFC 3986, section 6.2.2).
pub fn matches(path: &str, template: &str) -> bool {
    let (mut actual, mut expected) = (path.split('/'), template.split('/'));
    loop {
        match (actual.next(), expected.next()) {
            (None, None) => return true,
            (Some(actual), Some(expected)) if segment_matches(actual, expected) => {}
            _ => return false,
        }
    }
}

/// Whether `path` can be decoded: each segment is percent-encoded UTF-8, and none is `.` or `..`, which clients
/// resolve.
pub fn is_decodable(path: &str) -> bool {
    let decodable = |segment: &str| !segment.contains('%') || percent_decode_str(segment).decode_utf8().is_ok();
    path.split('/').all(|segment| segment != "." && segment != ".." && decodable(segment))
}

fn segment_matches(actual: &str, template: &str) -> bool {
    if template.starts_with('{') {
        return !actual.is_empty();
    }
    actual == template || actual.contains('%') && percent_decode_str(actual).eq(template.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_segment_by_segment() {
        for path in ["/api/v1/users/7", "/api/v1/users/a%2Fb", "/%61pi/v1/%75sers/7"] {
            assert!(matches(path, "/api/v1/users/{user_id}"), "{path}");
        }
        for path in
            ["/api/v1/users/", "/api/v1/users", "/api/v1/users/7/", "//api/v1/users/7", "/api/v1//7", "/API/v1/users/7"]
        {
            assert!(!matches(path, "/api/v1/users/{user_id}"), "{path}");
        }
        assert!(matches("/docs/", "/docs/") && !matches("/docs", "/docs/"));
    }

    #[test]
    fn a_path_is_percent_encoded_text_without_dot_segments() {
        for (path, decodable) in
            [("/a/%C3%A9", true), ("/a/...", true), ("/%FF", false), ("/a/..", false), ("/./a", false)]
        {
            assert_eq!(is_decodable(path), decodable, "{path}");
        }
    }
}
