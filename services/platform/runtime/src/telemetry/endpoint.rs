//! `/metrics`: outside the limits of the edge, for who is overloaded is to be seen.

use std::sync::Arc;

use anyhow::Result;
use dropshot::{ApiDescription, Body, ServerContext};
use http::{Response, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::docs;

/// The word of its path, for the log.
pub(crate) const WORD: &str = "metrics";

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves what `registry` has, at a path that is not itself part of the document.
pub(crate) fn register<C: ServerContext>(api: &mut ApiDescription<C>, registry: Registry) -> Result<()> {
    let registry = Arc::new(registry);
    docs::get(api, "metrics", "/metrics", move |_| {
        let mut metrics = String::new();
        let body = match text::encode(&mut metrics, &registry) {
            Ok(()) => Body::from(metrics),
            // Half of it would be taken for all.
            Err(_) => return Response::builder().status(http::StatusCode::INTERNAL_SERVER_ERROR).body(Body::empty()),
        };
        Response::builder()
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(body)
    })
}
