//! `/health` and `/ready`: declared here once, promised by the document of every service, served by the runtime.

use dropshot::{ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, RequestContext, StubContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::error_code::{DATABASE_UNAVAILABLE, SHUTTING_DOWN};
use crate::operation::Operation;

/// The path of the liveness probe.
pub const HEALTH_PATH: &str = "/health";
/// The path of the readiness probe.
pub const READY_PATH: &str = "/ready";

/// The golden examples of both operations.
pub(crate) const EXAMPLES: &str = include_str!("../health_examples.json");

/// The operations that every service has.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "operations" = {
                description = "Whether the service runs and can do its work: for load balancers, orchestrators and people on call.",
            },
        },
    },
}]
trait HealthApi {
    /// What the implementation shares between requests.
    type Context;

    /// Liveness probe
    ///
    /// Succeeds whenever the process can answer at all; does not use the database. Restart an instance that fails it.
    #[endpoint { method = GET, path = "/health", tags = ["operations"] }]
    async fn health(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Health>>, HttpError>;

    /// Readiness probe
    ///
    /// Checks that the database answers and that the process is not stopping; does not call other services, so their
    /// outages do not make this one unready. Send no requests to an instance that is not ready; it becomes ready again
    /// by itself.
    #[endpoint { method = GET, path = "/ready", tags = ["operations"] }]
    async fn ready(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError>;
}

/// Both operations as dropshot derives them.
pub(crate) fn description() -> Result<ApiDescription<StubContext>, ApiDescriptionBuildErrors> {
    health_api_mod::stub_api_description()
}

/// Both operations as the document describes them.
pub(crate) fn operations() -> [Operation; 2] {
    [
        Operation::new("health", "The process runs.").answers::<Health>(),
        Operation::new("ready", "The service can do its work.")
            .answers::<Readiness>()
            .fails(&[DATABASE_UNAVAILABLE, SHUTTING_DOWN]),
    ]
}

fn ok() -> HealthStatus {
    HealthStatus::Ok
}

fn ready() -> ReadinessStatus {
    ReadinessStatus::Ready
}

/// The body of a successful liveness probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`: a process that does not run cannot answer.
    pub status: HealthStatus,
}

impl Health {
    /// The only value.
    pub const OK: Self = Self { status: HealthStatus::Ok };
}

/// The state of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(example = "ok")]
#[allow(missing_docs, reason = "docs on variants turn the schema into a oneOf")]
pub enum HealthStatus {
    Ok,
}

/// The body of a successful readiness probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Always `ready`: anything else is a 503.
    pub status: ReadinessStatus,
}

impl Readiness {
    /// The only successful value.
    pub const READY: Self = Self { status: ReadinessStatus::Ready };
}

/// Whether the service can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(example = "ready")]
#[allow(missing_docs, reason = "docs on variants turn the schema into a oneOf")]
pub enum ReadinessStatus {
    Ready,
}
