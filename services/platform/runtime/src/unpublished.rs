//! The endpoints of every service besides its own operations: health, the document, its docs portal, and metrics.

use anyhow::{Result, anyhow};
use dropshot::{
    ApiDescription, ApiEndpoint, ApiEndpointVersions, Body, HttpError, RequestContext, RequestInfo, ServerContext,
};
use http::header::CONTENT_LENGTH;
use http::{Method, Response};
use hyper::body::Body as _;

use crate::fairness::take_turns;

/// An endpoint that every service has. The document lists at most its GET.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// Its name in metrics and traces.
    pub(crate) operation: &'static str,
    /// Where it is served.
    pub(crate) path: &'static str,
}

pub(crate) const HEALTH: Endpoint = Endpoint { operation: "health", path: contract::health::HEALTH_PATH };
pub(crate) const READY: Endpoint = Endpoint { operation: "ready", path: contract::health::READY_PATH };
pub(crate) const DOCUMENT: Endpoint = Endpoint { operation: "openapi", path: "/openapi.json" };
pub(crate) const EVENT_DOCUMENT: Endpoint = Endpoint { operation: "asyncapi", path: "/asyncapi.json" };
pub(crate) const METRICS: Endpoint = Endpoint { operation: "metrics", path: "/metrics" };
pub(crate) const DOCS: Endpoint = Endpoint { operation: "docs", path: "/docs" };
/// The same endpoint for dropshot, which ignores the last slash. It redirects to [`DOCS`].
const DOCS_WITH_SLASH: Endpoint = Endpoint { operation: "docs", path: "/docs/" };
pub(crate) const DOCS_SETUP: Endpoint = Endpoint { operation: "docs", path: "/docs/setup.js" };
pub(crate) const DOCS_SCALAR: Endpoint = Endpoint { operation: "docs", path: "/docs/scalar.js" };

/// All of them: they are the only paths besides those of the document, the log spells them out, and metrics count their
/// requests.
pub(crate) const ENDPOINTS: [Endpoint; 9] =
    [HEALTH, READY, DOCUMENT, EVENT_DOCUMENT, METRICS, DOCS, DOCS_WITH_SLASH, DOCS_SETUP, DOCS_SCALAR];

/// Their methods.
pub(crate) const METHODS: [&str; 2] = ["GET", "HEAD"];

/// Answers requests to `endpoint` with `respond`.
pub(crate) fn register<C: ServerContext>(
    api: &mut ApiDescription<C>,
    endpoint: Endpoint,
    respond: impl Fn(&RequestInfo) -> http::Result<Response<Body>> + Clone + Send + Sync + 'static,
) -> Result<()> {
    for method in [Method::GET, Method::HEAD] {
        let respond = respond.clone();
        let handler = move |context: RequestContext<C>| {
            let respond = respond.clone();
            async move {
                take_turns(context.request.remote_addr()).await;
                let response = respond(&context.request).map_err(HttpError::from);
                if context.request.method() == Method::HEAD { response.map(without_body) } else { response }
            }
        };
        let endpoint = ApiEndpoint::new(
            endpoint.operation.to_owned(),
            handler,
            method,
            "application/json",
            endpoint.path,
            ApiEndpointVersions::All,
        );
        api.register(endpoint.visible(false)).map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

/// The response to HEAD where GET gets `response`. hyper leaves out the body by itself, but not over HTTP/2.
pub(crate) fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::empty();
    response
}
