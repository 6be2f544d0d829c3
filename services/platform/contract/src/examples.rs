//! Golden examples: a request and its response for every operation and every error code, as data.
//!
//! Each API crate has its examples in `examples.json`; those that are the same for every service are added. The document shows them, the clients' mocks offer them as
//! samples, and a test replays each against the running service and compares the response.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::extract::BODY_LIMIT_BYTES;
use crate::health;

/// A request and its response.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The operation's id.
    pub operation: String,
    /// What happened before, in this order, on an empty database.
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

/// What happened before an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// A request was made.
    Request(RequestStep),
    /// An event was published, and the service has handled it.
    Event(EventStep),
}

/// An event that another service published before an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStep {
    /// The event's type.
    pub event: String,
    /// The event's id.
    pub id: String,
    /// The event's data.
    pub data: Value,
}

/// A request made to prepare an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestStep {
    /// The called service to which the request is made; the service of the example if absent.
    pub service: Option<String>,
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
    /// No address of it is configured, which an optional dependency allows.
    Absent,
}

/// An error that an operation declares.
#[derive(Clone, Debug)]
pub struct DeclaredError {
    /// The operation's id.
    pub operation: String,
    /// The status.
    pub status: u16,
    /// The code and its default message.
    pub error: ErrorExample,
}

/// The `Idempotency-Key` of examples that are not in a file.
const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// The request id in all examples. Real ones are generated for each request.
pub const REQUEST_ID: &str = "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11";

impl Example {
    /// Whether it follows an event, about which the service may still do something on its own: then the response is to fit
    /// in the end.
    pub fn follows_events(&self) -> bool {
        self.given.iter().any(|step| matches!(step, Step::Event(_)))
    }

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

/// Reads `examples.json` of an API crate and adds those that every service has: of `/health` and `/ready`, and of each
/// error in `declared` that the operation's successful request meets in another state of the world. An example in the
/// file takes precedence.
pub fn read(json: &str, declared: impl IntoIterator<Item = DeclaredError>) -> serde_json::Result<Vec<Example>> {
    let mut examples: Vec<Example> = serde_json::from_str(json)?;
    examples.extend(serde_json::from_str::<Vec<Example>>(health::EXAMPLES)?);
    for DeclaredError { operation, status, error } in declared {
        let own = || examples.iter().filter(|example| example.operation == operation);
        if own().filter_map(|example| example.error.as_ref()).any(|present| present.code == error.code) {
            continue;
        }
        let success = own().find(|example| example.error.is_none());
        let Some((request, state)) = success.and_then(|success| request_that_meets(&error.code, &success.request))
        else {
            continue;
        };
        let (given, headers) = (Vec::new(), BTreeMap::new());
        examples.push(Example { operation, given, state, request, status, headers, body: None, error: Some(error) });
    }
    Ok(examples)
}

/// What a request like the `successful` one meets the error `code` with, and in which state; `None` for a code that
/// depends on the operation.
fn request_that_meets(code: &str, successful: &Request) -> Option<(Request, State)> {
    let mut request = successful.clone();
    let state = match code {
        "database_unavailable" => State::DatabaseAway,
        "deadline_exceeded" => State::OutOfTime,
        "internal_error" => State::DatabaseBroken,
        "overloaded" => State::Overloaded,
        "request_timeout" => State::BodyStalls,
        "idempotency_key_in_use" => {
            request.headers.insert("Idempotency-Key".to_owned(), KEY.to_owned());
            State::KeyInUse
        }
        "payload_too_large" => {
            request.body = None;
            request.body_of_bytes = Some(BODY_LIMIT_BYTES + 1);
            State::Well
        }
        "unsupported_media_type" => {
            request.content_type = Some("text/plain".to_owned());
            State::Well
        }
        _ => return None,
    };
    Some((request, state))
}
