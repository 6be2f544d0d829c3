//! The OpenAPI document of a service: what dropshot derives from the trait, and what it cannot say.
//!
//! dropshot knows paths, types, summaries and tags. It does not emit servers, license, examples of requests and
//! answers, or the statuses an operation really has: it writes `4XX` and `5XX`. Those stand beside the trait as
//! an [`About`], one [`Operation`] for each operation, and golden [`examples`](crate::examples); [`complete`] joins all
//! of it into one document.

use std::collections::BTreeMap;

use dropshot::{ApiDescription, StubContext};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::error_code::ErrorCode;
use crate::examples::{Example, REQUEST_ID};
use crate::page::PageLimit;

/// What a document says of its service as a whole.
#[derive(Clone, Debug)]
pub struct About {
    /// The service's name for people.
    pub title: &'static str,
    /// `info.version`: the version of the contract, not of the program.
    pub version: semver::Version,
    /// What the service is for, in Markdown.
    pub description: &'static str,
    /// Where the service answers when started as the README says.
    pub server_url: &'static str,
}

/// What dropshot cannot say of one operation. Its examples stand in `examples.json`.
#[derive(Debug)]
pub struct Operation {
    id: &'static str,
    takes: Option<TypeCheck>,
    meaning: &'static str,
    answers: Option<TypeCheck>,
    errors: Vec<ErrorCode>,
    paginated: bool,
}

/// Reads a value as the type that it is an example of, and gives it as that type writes it.
type TypeCheck = fn(&Value) -> serde_json::Result<Value>;

fn check_as<T: DeserializeOwned + Serialize>(value: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(value.clone())?)
}

impl Operation {
    /// The operation that the trait declares as the method `id`; `meaning` says what its success means.
    pub fn new(id: &'static str, meaning: &'static str) -> Self {
        Self { id, takes: None, meaning, answers: None, errors: Vec::new(), paginated: false }
    }

    /// The type of its request body.
    pub fn takes<T: DeserializeOwned + Serialize>(mut self) -> Self {
        self.takes = Some(check_as::<T>);
        self
    }

    /// The type of its answer's body.
    pub fn answers<T: DeserializeOwned + Serialize>(mut self) -> Self {
        self.answers = Some(check_as::<T>);
        self
    }

    /// Every error it can answer with.
    pub fn fails(mut self, errors: &[ErrorCode]) -> Self {
        self.errors.extend_from_slice(errors);
        self
    }

    /// It answers in pages: `limit` and `page_token` go in, `items` and `next_page` come out.
    pub fn paginated(mut self) -> Self {
        self.paginated = true;
        self
    }
}

/// Why a document could not be made. Each names the operation to mend.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// dropshot refuses the trait.
    #[error("the API trait is not valid: {0}")]
    Trait(String),
    /// `examples.json` cannot be read.
    #[error("examples.json: {0}")]
    Examples(String),
    /// The trait has it, the declarations do not.
    #[error("operation `{0}` is in the trait, but not in `operations()` beside it")]
    Undeclared(String),
    /// The declarations or the examples have it, the trait does not.
    #[error("operation `{0}` is in `operations()` or in examples.json, but not in the trait beside them")]
    Unknown(String),
    /// A declaration that does not fit the trait.
    #[error("operation `{id}`: {problem}")]
    Unfit {
        /// The operation.
        id: String,
        /// What does not fit.
        problem: String,
    },
}

/// The complete document of the API `trait_description`, as pretty-printed JSON that ends with a newline.
pub fn complete(
    trait_description: ApiDescription<StubContext>,
    about: &About,
    operations: Vec<Operation>,
    examples: &[Example],
) -> Result<String, DocumentError> {
    let derived = trait_description.openapi(about.title, about.version.clone()).json();
    let mut document = derived.map_err(|error| DocumentError::Trait(error.to_string()))?;

    document["info"]["description"] = about.description.into();
    document["info"]["contact"] = json!({ "name": "Orders & Notifications Platform team" });
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/" });
    document["servers"] = json!([{ "url": about.server_url, "description": "The service as the README starts it" }]);
    // No operation asks who is calling. Without this the document would leave it open.
    document["security"] = json!([]);
    document["components"]["headers"] = headers();
    document["components"]["schemas"]["Error"] = error_schema();
    if let Some(components) = document["components"].as_object_mut() {
        components.remove("responses");
    }

    let mut declared: BTreeMap<&str, Operation> = operations.into_iter().map(|o| (o.id, o)).collect();
    if let Some(example) = examples.iter().find(|example| !declared.contains_key(example.operation.as_str())) {
        return Err(DocumentError::Unknown(example.operation.clone()));
    }
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let derived = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in derived.filter_map(Value::as_object_mut) {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let declaration = declared.remove(id.as_str()).ok_or_else(|| DocumentError::Undeclared(id.clone()))?;
        let examples: Vec<&Example> = examples.iter().filter(|example| example.operation == id).collect();
        complete_operation(operation, declaration, &examples)
            .map_err(|problem| DocumentError::Unfit { id, problem })?;
    }
    if let Some(id) = declared.keys().next() {
        return Err(DocumentError::Unknown((*id).to_owned()));
    }
    check_request_bodies(&document)?;
    if let Some(limit) = document["components"]["schemas"].get_mut("PageLimit") {
        limit["default"] = PageLimit::default().get().into();
    }

    Ok(format!("{document:#}\n"))
}

fn complete_operation(
    operation: &mut Map<String, Value>,
    declared: Operation,
    examples: &[&Example],
) -> Result<(), String> {
    for text in ["summary", "description"] {
        if !operation.contains_key(text) {
            return Err(format!("no {text}: write a doc comment of a first line and a paragraph"));
        }
    }
    if declared.paginated {
        operation.insert("x-dropshot-pagination".to_owned(), json!({ "required": [] }));
    }
    let golden = examples.iter().find(|example| example.error.is_none()).ok_or("no example of its success")?;
    match (operation.get_mut("requestBody"), declared.takes, &golden.request.body) {
        (Some(body), Some(check), Some(example)) => {
            body["content"]["application/json"]["example"] = checked(check, example)?;
        }
        (None, None, None) => {}
        _ => return Err("the trait, `takes` and the example must agree on whether it takes a body".to_owned()),
    }

    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let responses = responses.ok_or("it has no responses")?;
    responses.retain(|status, _| status.starts_with('2'));
    let (status, success) = responses.iter_mut().next().ok_or("it has no successful response")?;
    if *status != golden.status.to_string() {
        return Err(format!("its success is {status}, that of the example {}", golden.status));
    }
    success["description"] = declared.meaning.into();
    success["headers"]["X-Request-Id"] = header("X-Request-Id");
    match (success.pointer_mut("/content/application~1json"), declared.answers, &golden.body) {
        (Some(content), Some(check), Some(example)) => content["example"] = checked(check, example)?,
        (None, None, None) => {}
        _ => return Err("the trait, `answers` and the example must agree on whether it answers a body".to_owned()),
    }

    let mut by_status: BTreeMap<String, Vec<(ErrorCode, Value)>> = BTreeMap::new();
    for error in &declared.errors {
        let status = error.status.as_u16();
        let matches = |example: &&&Example| {
            example.status == status && example.error.as_ref().is_some_and(|e| e.code == error.code)
        };
        let example = examples.iter().find(matches).and_then(|example| example.answer());
        let example = example.ok_or_else(|| format!("no example of {status} {}", error.code))?;
        by_status.entry(status.to_string()).or_default().push((*error, example));
    }
    let undeclared = examples
        .iter()
        .filter_map(|example| example.error.as_ref())
        .find(|example| declared.errors.iter().all(|error| error.code != example.code));
    if let Some(example) = undeclared {
        return Err(format!("an example of {}, which it does not declare with `fails`", example.code));
    }
    for (status, errors) in by_status {
        responses.insert(status, error_response(errors));
    }
    responses.sort_keys();
    Ok(())
}

fn checked(check: TypeCheck, example: &Value) -> Result<Value, String> {
    check(example).map_err(|error| format!("its example is not of its type: {error}"))
}

fn error_response(errors: Vec<(ErrorCode, Value)>) -> Value {
    let lines: Vec<String> = errors.iter().map(|(error, _)| format!("`{}`: {}", error.code, error.when)).collect();
    let may_help_to_wait = errors.iter().any(|(error, _)| error.retry_after_s.is_some());
    let examples: Map<String, Value> =
        errors.into_iter().map(|(error, example)| (error.code.to_owned(), json!({ "value": example }))).collect();
    let mut response = json!({
        "description": lines.join("\n\n"),
        "headers": { "X-Request-Id": header("X-Request-Id") },
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/Error" },
            "examples": examples,
        } },
    });
    if may_help_to_wait {
        response["headers"]["Retry-After"] = header("Retry-After");
    }
    response
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    json!({
        "Retry-After": {
            "description": "Seconds to wait before trying again (RFC 9110, section 10.2.3).",
            "schema": { "type": "integer", "minimum": 0, "example": 1 },
        },
        "X-Request-Id": {
            "description": "The service's name for this request: the `request_id` of its log lines. Drawn anew \
                            for every request; one that the client sends is not used.",
            "schema": { "type": "string", "example": REQUEST_ID },
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why a request failed. Every error of every operation has this shape.",
        "required": ["message", "request_id"],
        "properties": {
            "error_code": {
                "type": "string",
                "description": "A stable word to decide by; the values are listed with each operation. New ones may \
                                come with a new version: treat one you do not know by its status. Absent only \
                                where no operation was reached: an unknown path (404) or method (405), or a \
                                path that cannot be decoded (400).",
                "example": "internal_error",
            },
            "message": {
                "type": "string",
                "description": "What happened and where, for people. The wording may change at any time.",
                "example": "Internal error; quote the request_id when reporting it",
            },
            "request_id": {
                "type": "string",
                "description": "The same as the header `X-Request-Id`. Quote it when reporting a problem.",
                "example": REQUEST_ID,
            },
        },
    })
}

/// A body that takes unknown fields would silently ignore a misspelt one.
fn check_request_bodies(document: &Value) -> Result<(), DocumentError> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    for operation in paths.filter_map(Value::as_object).flat_map(|path| path.values()) {
        let Some(reference) =
            operation.pointer("/requestBody/content/application~1json/schema/$ref").and_then(Value::as_str)
        else {
            continue;
        };
        let schema = document.pointer(reference.trim_start_matches('#'));
        if schema.and_then(|schema| schema.get("additionalProperties")) != Some(&Value::Bool(false)) {
            return Err(DocumentError::Unfit {
                id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
                problem: format!("{reference} takes unknown fields: add `#[serde(deny_unknown_fields)]`"),
            });
        }
    }
    Ok(())
}
