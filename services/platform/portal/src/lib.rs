//! The docs portal: OpenAPI documents as pages to read and to try, by [Scalar](https://scalar.com).
//!
//! Each service serves it at `/docs`; the program of this crate builds the same portal for all of them as a static
//! site. Both are one page, one script of ours and one of Scalar's, from one origin: [`POLICY`] forbids any other.

/// What the page may load: scripts of its own origin and requests to it, nothing else from anywhere. Styles may be
/// inline, because Scalar's script adds its style sheets as `<style>` elements and sets `style` attributes, which no
/// hash or nonce covers. There are no style sheets and no fonts to fetch.
///
/// The page itself carries it. A server should add `frame-ancestors 'none'`, which counts in a header alone.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                          img-src 'self' data:; base-uri 'none'; form-action 'none'";

/// Where the page looks for [`SETUP_SCRIPT`], relative to its own folder.
pub const SETUP_PATH: &str = "docs/setup.js";

/// What sets Scalar up for the documents that the page names.
pub const SETUP_SCRIPT: &str = include_str!("setup.js");

/// Where the page looks for Scalar's script, relative to its own folder.
pub const SCALAR_PATH: &str = "docs/scalar.js";

/// Scalar's script, packed by gzip.
pub const SCALAR_GZIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scalar.js.gz"));

/// An entity tag for Scalar's script: another one whenever the script is another.
pub const SCALAR_ETAG: &str = concat!("\"", env!("SCALAR_CHECKSUM"), "\"");

/// A document that a page shows.
#[derive(Clone, Debug)]
pub struct Document {
    /// How it is called.
    pub title: String,
    /// Where it is, relative to the page's folder.
    pub path: String,
    /// Where requests go that are tried from the page, relative to the page's folder. Without it nothing can be tried.
    pub server: Option<String>,
}

/// The page that shows `documents`.
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
<noscript>This page needs JavaScript. The documents that it shows:{anchors}</noscript>
</body>
</html>
"#
    )
}

/// A pair of braces. In the page, so that no browser asks for a file.
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
    fn a_title_is_text_and_never_markup() {
        let document = Document { title: r#"<b>"A" & B"#.to_owned(), path: "a.json".to_owned(), server: None };
        let page = page("<b>", &[document]);
        assert!(!page.contains("<b>"), "{page}");
        assert!(page.contains(r#"title="&lt;b>&quot;A&quot; &amp; B""#), "{page}");
    }

    #[test]
    fn nothing_is_loaded_from_another_host() {
        let page = page("A", &[Document { title: "A".to_owned(), path: "a.json".to_owned(), server: None }]);
        let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!without_namespace.contains("//"), "{page}");
    }
}
