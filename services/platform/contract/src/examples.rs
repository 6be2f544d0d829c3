//! Golden examples: a request and its response for every operation and every error code, as data.
//!
//! Each API crate has its examples in `examples.json`. The document shows them, the clients' mocks offer them as
//! samples, and a test replays each against the running service and compares the response.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::health;

/// A request and its response.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The operation's id.
    pub operation: String,
    /// Requests made before, in this order, on an empty database.
    #[serde(default)]
    pub given: Vec<Step>,
    /// The state of the world while the request is handled.
    #[serde(default, rename = "while")]
    pub state: State,
    /// The request.
    pub request: Request,
    /// The response's status.
    pub status: u16,
    /// Headers that the response has, among others.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of a successful response, if it has one.
    pub body: Option<Value>,
    /// The error of a failed response.
    pub error: Option<ErrorExample>,
}

/// A request made to prepare an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The operation's id.
    pub operation: String,
    /// The request.
    pub request: Request,
}

/// A request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The variables of the path, as they appear in it.
    #[serde(default)]
    pub path: BTreeMap<String, String>,
    /// The query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers besides the content type.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body.
    pub body: Option<Value>,
    /// Instead of a JSON body, this many bytes.
    pub body_of_bytes: Option<usize>,
    /// The content type, if it is not `application/json`.
    pub content_type: Option<String>,
}

/// The body of an error, without the request id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorExample {
    /// The `error_code`.
    pub code: String,
    /// The message.
    pub message: String,
}

/// The state of the world while the request of an example is handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything works. Each called service holds what the first example of its contract creates.
    #[default]
    Well,
    /// The service's database does not answer.
    DatabaseAway,
    /// The service's database answers, but lacks the service's tables.
    DatabaseBroken,
    /// The service is at its concurrency limit.
    Overloaded,
    /// The request's deadline has passed when it arrives.
    OutOfTime,
    /// The request's body starts and never ends.
    BodyStalls,
    /// The same request was sent just before and has no response yet.
    KeyInUse,
    /// The service was told to stop.
    Stopping,
    /// A service that this one calls is faulty.
    Dependency {
        /// The called service.
        name: String,
        /// What is wrong with it.
        fault: DependencyFault,
    },
}

/// What can be wrong with a called service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyFault {
    /// Nothing listens at its address.
    Down,
    /// It accepts requests and answers none.
    Silent,
    /// It answers what its contract does not allow.
    Nonsense,
}

/// The request id in all examples. Real ones are generated for each request.
pub const REQUEST_ID: &str = "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11";

impl Example {
    /// The response's body, of a success or an error.
    pub fn response_body(&self) -> Option<Value> {
        let error = self.error.as_ref().map(|error| {
            serde_json::json!({
                "request_id": REQUEST_ID,
                "error_code": error.code,
                "message": error.message,
            })
        });
        error.or_else(|| self.body.clone())
    }
}

/// Reads `examples.json` of an API crate, with the examples of `/health` and `/ready` added.
pub fn read(json: &str) -> serde_json::Result<Vec<Example>> {
    let mut examples: Vec<Example> = serde_json::from_str(json)?;
    examples.extend(serde_json::from_str::<Vec<Example>>(health::EXAMPLES)?);
    Ok(examples)
}
