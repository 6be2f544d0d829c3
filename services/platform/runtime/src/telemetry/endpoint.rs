//! The endpoint `/metrics`, outside the limits of the guard: an overloaded service must stay observable.

use std::sync::Arc;

use anyhow::Result;
use dropshot::{ApiDescription, Body, ServerContext};
use http::{Response, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::unpublished::{self, METRICS};

use super::text_format::{Format, to_prometheus};

/// Serves the metrics of `registry`, in the format that the client prefers.
pub(crate) fn register<C: ServerContext>(api: &mut ApiDescription<C>, registry: Registry) -> Result<()> {
    let registry = Arc::new(registry);
    unpublished::register(api, METRICS, move |request| {
        let mut metrics = String::new();
        if text::encode(&mut metrics, &registry).is_err() {
            // A part of the metrics would pass for all of them.
            return Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Body::empty());
        }
        let format = Format::preferred(request.headers());
        if format == Format::Prometheus {
            metrics = to_prometheus(&metrics);
        }
        Response::builder()
            .header(header::CONTENT_TYPE, format.content_type())
            .header(header::VARY, "Accept")
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(Body::from(metrics))
    })
}
