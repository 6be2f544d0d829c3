//! The path of a request, from the URI in its first line.

/// The path of `uri`, without the query. Over HTTP/2, and in absolute form (RFC 9112, section 3.2.2), the URI has a
/// scheme and an authority, which are left out.
pub(crate) fn path_of(uri: &str) -> &str {
    let target = match uri.split_once("://") {
        Some((_, rest)) if !uri.starts_with('/') => rest.find(['/', '?']).map_or("", |start| &rest[start..]),
        _ => uri,
    };
    target.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_between_authority_and_query() {
        for (uri, path) in [
            ("/api/v1/users?limit=5", "/api/v1/users"),
            ("/api/v1/users?from=http://example.com/7", "/api/v1/users"),
            ("http://example.com/api/v1/users?limit=5", "/api/v1/users"),
            ("https://canary@example.com:8001/", "/"),
            ("http://example.com?path=/api", ""),
            ("http://example.com", ""),
            ("example.com:443", "example.com:443"),
            ("*", "*"),
        ] {
            assert_eq!(path_of(uri), path, "{uri}");
        }
    }
}
