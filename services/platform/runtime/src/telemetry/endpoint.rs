//! The endpoint `/metrics`, outside the limits of the guard: an overloaded service must stay observable.

use std::sync::Arc;

use anyhow::Result;
use dropshot::{ApiDescription, Body, ServerContext};
use http::{Response, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::unpublished::{self, METRICS};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics of `registry`.
pub(crate) fn register<C: ServerContext>(api: &mut ApiDescription<C>, registry: Registry) -> Result<()> {
    let registry = Arc::new(registry);
    unpublished::register(api, METRICS, move |_| {
        let mut metrics = String::new();
        if text::encode(&mut metrics, &registry).is_err() {
            // A part of the metrics would pass for all of them.
            return Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Body::empty());
        }
        Response::builder()
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(Body::from(metrics))
    })
}
