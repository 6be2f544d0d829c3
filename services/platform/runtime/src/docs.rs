//! The docs portal of a service, at `/docs`: its documents, to read, and its operations to try against the service itself.

use anyhow::{Context, Result};
use dropshot::{ApiDescription, Body, ServerContext};
use http::response::Builder;
use http::{Response, StatusCode, header};
use portal::{Document, POLICY, SCALAR_ETAG, SCALAR_GZIP, SETUP_SCRIPT};
use serde_json::Value;

use crate::unpublished::{self, DOCS, DOCS_SCALAR, DOCS_SETUP, DOCUMENT, EVENT_DOCUMENT, Endpoint};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Serves the portal of `document`, and of that of `events` if there is one.
pub(crate) fn register<C: ServerContext>(
    api: &mut ApiDescription<C>,
    document: &str,
    events: Option<&str>,
) -> Result<()> {
    let mut shown = vec![shown(document, DOCUMENT, Some("."))?];
    shown.extend(events.map(|events| self::shown(events, EVENT_DOCUMENT, None)).transpose()?);
    let page = portal::page(&shown[0].title, &shown);

    unpublished::register(api, DOCS, move |request| {
        // dropshot routes `/docs/` here too, where the page's relative links would be wrong.
        if request.uri().path().ends_with('/') {
            return response("text/plain")
                .status(StatusCode::PERMANENT_REDIRECT)
                .header(header::LOCATION, "../docs")
                .body(Body::empty());
        }
        response("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, format!("{POLICY}; frame-ancestors 'none'"))
            .header(header::REFERRER_POLICY, "no-referrer")
            .body(page.clone().into())
    })?;
    unpublished::register(api, DOCS_SETUP, |_| response(JAVASCRIPT).body(SETUP_SCRIPT.into()))?;
    // Always compressed: every browser that can show the portal accepts gzip, and an uncompressed copy takes 5 MB.
    unpublished::register(api, DOCS_SCALAR, |request| {
        let response = response(JAVASCRIPT).header(header::ETAG, SCALAR_ETAG);
        let cached = request.headers().get(header::IF_NONE_MATCH).and_then(|etags| etags.to_str().ok());
        if cached.is_some_and(|etags| etags.contains(SCALAR_ETAG)) {
            response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
        } else {
            response.header(header::CONTENT_ENCODING, "gzip").body(Body::with_content(SCALAR_GZIP))
        }
    })
}

/// A document on the page, whose requests go to `server`.
fn shown(document: &str, endpoint: Endpoint, server: Option<&str>) -> Result<Document> {
    let document: Value = serde_json::from_str(document).context("the document is not JSON")?;
    let title = document["info"]["title"].as_str().context("the document has no title")?.to_owned();
    // Paths are relative to the page, which a proxy may serve under another path.
    let path = endpoint.path.trim_start_matches('/').to_owned();
    Ok(Document { title, path, server: server.map(str::to_owned) })
}

/// A response that browsers revalidate on each use, so that after an upgrade all parts fit together.
fn response(content_type: &str) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CACHE_CONTROL, "no-cache")
}

#[cfg(test)]
mod tests {
    use portal::{SCALAR_PATH, SETUP_PATH};

    use super::*;

    #[test]
    fn scripts_are_served_where_the_page_loads_them() {
        assert_eq!(DOCS_SETUP.path, format!("/{SETUP_PATH}"));
        assert_eq!(DOCS_SCALAR.path, format!("/{SCALAR_PATH}"));
    }
}
