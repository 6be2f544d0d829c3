//! The docs portal: OpenAPI documents as an interactive page, rendered by [Scalar](https://scalar.com).
//!
//! Each service serves the portal of its document at `/docs`; the program of this crate builds the portal of all
//! services as a static site. Both consist of one page, [`SETUP_SCRIPT`] and Scalar's script, from one origin:
//! [`POLICY`] forbids all others.

/// The content security policy of the page: scripts from its own origin and requests to it, nothing from other origins.
/// Inline styles are allowed, because Scalar's script adds its style sheets as `<style>` elements and sets `style`
/// attributes, which no hash or nonce covers. The page loads no style sheets and no fonts.
///
/// The page contains the policy as a `<meta>` element. A server should add `frame-ancestors 'none'`, which browsers
/// accept only in a header.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                          img-src 'self' data:; base-uri 'none'; form-action 'none'";

/// The path of [`SETUP_SCRIPT`], relative to the directory of the page.
pub const SETUP_PATH: &str = "docs/setup.js";

/// The script that configures Scalar for the documents of the page.
pub const SETUP_SCRIPT: &str = include_str!("setup.js");

/// The path of Scalar's script, relative to the directory of the page.
pub const SCALAR_PATH: &str = "docs/scalar.js";

/// Scalar's script, compressed with gzip.
pub const SCALAR_GZIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scalar.js.gz"));

/// The entity tag of Scalar's script, a checksum of its content.
pub const SCALAR_ETAG: &str = concat!("\"", env!("SCALAR_CHECKSUM"), "\"");

/// A document on the page.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// Its path, relative to the directory of the page.
    pub path: String,
    /// The base path of test requests from the page, relative to its directory. Without it the page cannot send any.
    pub server: Option<String>,
}

/// The HTML page of `documents`.
pub fn page(title: &str, documents: &[Document]) -> String {
    let (mut links, mut anchors) = (String::new(), String::new());
    for Document { title, path, server } in documents {
        let (title, path) = (escape(title), escape(path));
        let server = server.as_ref().map(|server| format!(r#" data-server="{}""#, escape(server))).unwrap_or_default();
        links += &format!(
            r#"<link rel="service-desc" type="application/json" title="{title}" href="{path}"{server}>
"#
        );
        anchors += &format!(r#" <a href="{path}">{title}</a>"#);
    }
    let title = escape(title);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{ICON}">
{links}<script src="{SETUP_PATH}" defer></script>
<script src="{SCALAR_PATH}" defer></script>
</head>
<body>
<div id="portal"></div>
<noscript>This page needs JavaScript. The documents:{anchors}</noscript>
</body>
</html>
"#
    )
}

/// The icon, a pair of braces. It is inline, so that browsers do not request a file.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
                    %3Crect width='32' height='32' rx='7' fill='%232563eb'/%3E\
                    %3Cpath d='M13 8c-3 0-3 2-3 4s0 4-3 4c3 0 3 2 3 4s0 4 3 4M19 8c3 0 3 2 3 4s0 4 3 4c-3 0-3 2-3 4s0 4-3 4' \
                    fill='none' stroke='white' stroke-width='2.5' stroke-linecap='round'/%3E%3C/svg%3E";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_title_is_escaped() {
        let document = Document { title: r#"<b>"A" & B"#.to_owned(), path: "a.json".to_owned(), server: None };
        let page = page("<b>", &[document]);
        assert!(!page.contains("<b>"), "{page}");
        assert!(page.contains(r#"title="&lt;b>&quot;A&quot; &amp; B""#), "{page}");
    }

    #[test]
    fn a_page_refers_to_no_other_host() {
        let page = page("A", &[Document { title: "A".to_owned(), path: "a.json".to_owned(), server: None }]);
        let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!without_namespace.contains("//"), "{page}");
    }
}
