//! The docs portal of a service, at `/docs`: its own document, to read and to try against itself.

use anyhow::{Context, Result, anyhow};
use dropshot::{
    ApiDescription, ApiEndpoint, ApiEndpointVersions, Body, HttpError, RequestContext, RequestInfo, ServerContext,
};
use http::response::Builder;
use http::{Method, Response, StatusCode, header};
use portal::{Document, POLICY, SCALAR_ETAG, SCALAR_GZIP, SCALAR_PATH, SETUP_PATH, SETUP_SCRIPT};
use serde_json::Value;

/// The portal's paths.
pub(crate) const PATHS: &[&str] = &["/docs", "/docs/setup.js", "/docs/scalar.js"];
/// The words of them, for the log.
pub(crate) const WORDS: &[&str] = &["docs", "setup.js", "scalar.js"];

/// Serves the portal of `document`, at paths that are not themselves part of it.
pub(crate) fn register<C: ServerContext>(api: &mut ApiDescription<C>, document: &str) -> Result<()> {
    let document: Value = serde_json::from_str(document).context("the document is no JSON")?;
    let title = document["info"]["title"].as_str().context("the document has no title")?;
    // Requests that are tried go to the folder of the page, also where a proxy serves that under another path.
    let shown = Document { title: title.to_owned(), path: "openapi.json".to_owned(), server: Some(".".to_owned()) };
    let page = portal::page(title, &[shown]);

    get(api, "docs_page", "/docs", move |request| {
        // The page's links are relative to it; dropshot takes `/docs/` for the same path.
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
    get(api, "docs_setup", &format!("/{SETUP_PATH}"), |_| response(JAVASCRIPT).body(SETUP_SCRIPT.into()))?;
    // Always packed: whatever can show the portal can unpack it, and to keep it unpacked too would cost 5 MB.
    get(api, "docs_scalar", &format!("/{SCALAR_PATH}"), |request| {
        let response = response(JAVASCRIPT).header(header::ETAG, SCALAR_ETAG);
        let known = request.headers().get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        if known.is_some_and(|known| known.contains(SCALAR_ETAG)) {
            response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
        } else {
            response.header(header::CONTENT_ENCODING, "gzip").body(Body::with_content(SCALAR_GZIP))
        }
    })
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// An answer that browsers ask for anew each time, so that after an update all parts fit together.
fn response(content_type: &str) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CACHE_CONTROL, "no-cache")
}

/// Serves `answer` at `path`, without any word of it in the document.
pub(crate) fn get<C: ServerContext>(
    api: &mut ApiDescription<C>,
    operation_id: &str,
    path: &str,
    answer: impl Fn(&RequestInfo) -> http::Result<Response<Body>> + Clone + Send + Sync + 'static,
) -> Result<()> {
    let handler = move |context: RequestContext<C>| {
        let response = answer(&context.request).map_err(HttpError::from);
        async move { response }
    };
    let endpoint = ApiEndpoint::new(
        operation_id.to_owned(),
        handler,
        Method::GET,
        "application/json",
        path,
        ApiEndpointVersions::All,
    );
    api.register(endpoint.visible(false)).map_err(|error| anyhow!("{error}"))
}
