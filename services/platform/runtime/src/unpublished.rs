//! The endpoints of every service that are not part of its document: the document itself, its docs portal, and metrics.

use anyhow::{Result, anyhow};
use dropshot::{
    ApiDescription, ApiEndpoint, ApiEndpointVersions, Body, HttpError, RequestContext, RequestInfo, ServerContext,
};
use http::{Method, Response};

/// An endpoint for GET that the document does not list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// Its name in metrics and traces.
    pub(crate) operation: &'static str,
    /// Where it is served.
    pub(crate) path: &'static str,
}

pub(crate) const DOCUMENT: Endpoint = Endpoint { operation: "openapi", path: "/openapi.json" };
pub(crate) const METRICS: Endpoint = Endpoint { operation: "metrics", path: "/metrics" };
pub(crate) const DOCS: Endpoint = Endpoint { operation: "docs", path: "/docs" };
pub(crate) const DOCS_SETUP: Endpoint = Endpoint { operation: "docs", path: "/docs/setup.js" };
pub(crate) const DOCS_SCALAR: Endpoint = Endpoint { operation: "docs", path: "/docs/scalar.js" };

/// All of them: the log spells out their paths, and metrics count their requests.
pub(crate) const ENDPOINTS: [Endpoint; 5] = [DOCUMENT, METRICS, DOCS, DOCS_SETUP, DOCS_SCALAR];

/// Answers requests to `endpoint` with `respond`.
pub(crate) fn register<C: ServerContext>(
    api: &mut ApiDescription<C>,
    endpoint: Endpoint,
    respond: impl Fn(&RequestInfo) -> http::Result<Response<Body>> + Clone + Send + Sync + 'static,
) -> Result<()> {
    let handler = move |context: RequestContext<C>| {
        let response = respond(&context.request).map_err(HttpError::from);
        async move { response }
    };
    let endpoint = ApiEndpoint::new(
        endpoint.path.to_owned(),
        handler,
        Method::GET,
        "application/json",
        endpoint.path,
        ApiEndpointVersions::All,
    );
    api.register(endpoint.visible(false)).map_err(|error| anyhow!("{error}"))
}
