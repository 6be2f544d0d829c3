//! Values that requests are made of.

/// Numbers at and beyond the bounds of what is accepted.
#[rustfmt::skip]
pub(crate) const NUMBERS: &[&str] = &[
    "0", "-1", "1.0", "1.5", "1e3", "1e400", "-0", "01", "+1", "9007199254740991", "9007199254740992",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809", "1000000",
    "1000001", "0x10", "NaN", "Infinity", "99999999999999999999999999999999999999999999999999",
];
/// Strings that some software misinterprets, as they are written in JSON.
#[rustfmt::skip]
pub(crate) const TEXTS: &[&str] = &[
    "", " ", "\\u0000", "a\\u0000b", "\\ud800", "\\udc00\\ud800", "\\ud83e\\udd80", "é", "é", "名前", "\u{202e}abc",
    "\u{feff}", "\\n", "\\\\", "'; DROP TABLE users; --", "%00", "%s%n", "${jndi:ldap://x}", "<script>",
    "../../etc/passwd", "null", "true", "a@b", "@", "a@", "@b", "a@b@c", "ä@b", "a b@c", "a@b\\u0000", "A@B",
    "\\u0085", "\u{200b}", "\u{10ffff}",
];
/// Parts of paths and queries. None is the id of a row: a worker would change the row of another.
#[rustfmt::skip]
pub(crate) const SEGMENTS: &[&str] = &[
    "abc", "%00", "%2f", "%2e%2e", "..", ".", "%ff", "%zz", "%", "1%20", "%39%39%39%39", "%D9%A1", "1,2", "1;2", "*", "null",
    "undefined", "~",
];
#[rustfmt::skip]
pub(crate) const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "FOO", "PROPFIND",
];
#[rustfmt::skip]
pub(crate) const MEDIA_TYPES: &[&str] = &[
    "application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", "application/xml", "application/json;",
    "application/jsonp", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "", ";",
    "application/json, text/plain", "é",
];
