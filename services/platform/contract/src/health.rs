//! The answers of `/health` and `/ready`, the same for every service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says that the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`: a process that does not run cannot answer.
    pub status: HealthStatus,
}

impl Health {
    /// The one answer there is.
    pub const OK: Self = Self { status: HealthStatus::Ok };
}

/// The state of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "docs on variants turn the schema into a oneOf")]
pub enum HealthStatus {
    Ok,
}

/// Says that the service can do its work now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Always `ready`: anything else is a 503.
    pub status: ReadinessStatus,
}

impl Readiness {
    /// The one successful answer there is.
    pub const READY: Self = Self { status: ReadinessStatus::Ready };
}

/// Whether the service can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "docs on variants turn the schema into a oneOf")]
pub enum ReadinessStatus {
    Ready,
}
