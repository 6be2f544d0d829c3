//! Golden examples: what is asked and what is answered, for every operation and every error code, once, as data.
//!
//! Each API crate holds its examples in `examples.json`. The document shows them, the clients' mocks offer them as
//! samples, and a test replays each against the running service and compares the answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The operation's id.
    pub operation: String,
    /// What has happened before, in this order, on an empty database.
    #[serde(default)]
    pub given: Vec<Step>,
    /// The state of the world when the request is made.
    #[serde(default, rename = "while")]
    pub state: State,
    /// The request.
    pub request: Request,
    /// The answer's status.
    pub status: u16,
    /// Headers that the answer has among others.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of a success, if it has one.
    pub body: Option<Value>,
    /// What a failure says.
    pub error: Option<ErrorExample>,
}

/// A request made before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The operation's id.
    pub operation: String,
    /// The request.
    pub request: Request,
}

/// What is sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The variables of the path, as they stand in it.
    #[serde(default)]
    pub path: BTreeMap<String, String>,
    /// The query.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers beside the content type.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body.
    pub body: Option<Value>,
    /// In place of a body, one of so many bytes.
    pub body_of_bytes: Option<usize>,
    /// The content type, where it is not `application/json`.
    pub content_type: Option<String>,
}

/// What a failure says, beside the request id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorExample {
    /// Its `error_code`.
    pub code: String,
    /// Its message.
    pub message: String,
}

/// A state of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All is well.
    #[default]
    Well,
    /// The service's database does not answer.
    DatabaseAway,
    /// The service's database answers, but does not hold what it should.
    DatabaseBroken,
    /// The service works on as many requests as it takes.
    Overloaded,
    /// The time for the request is over as soon as it has arrived.
    OutOfTime,
    /// The request's body begins and does not end.
    BodyStalls,
    /// The same request was sent just before, and has no answer yet.
    KeyInUse,
    /// The service was told to stop.
    Stopping,
    /// Nobody answers at user-service's address.
    UserServiceDown,
    /// user-service takes requests and answers none.
    UserServiceSilent,
    /// user-service answers what its contract does not allow.
    UserServiceTalksNonsense,
}

/// The request id of all examples. The real one is drawn anew for every request.
pub const REQUEST_ID: &str = "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11";

impl Example {
    /// The answer's body, whether success or failure.
    pub fn answer(&self) -> Option<Value> {
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

/// Reads the examples of an API crate.
pub fn read(json: &str) -> serde_json::Result<Vec<Example>> {
    serde_json::from_str(json)
}
