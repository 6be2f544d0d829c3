//! The OpenAPI document of a service: what dropshot derives from the trait, and what it cannot say.
//!
//! dropshot knows paths, types, summaries and tags. It does not emit servers, license, examples of requests and
//! answers, or the statuses an operation really has: it writes `4XX` and `5XX`. Those stand beside the trait as
//! an [`About`] and one [`Operation`] for each operation; [`complete`] joins both into one document.

use std::collections::BTreeMap;

use dropshot::{ApiDescription, StubContext};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::error_code::ErrorCode;
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

/// What dropshot cannot say of one operation.
#[derive(Debug)]
pub struct Operation {
    id: &'static str,
    request: Option<Example>,
    answer: Option<(&'static str, Option<Example>)>,
    errors: Vec<ErrorCode>,
    paginated: bool,
}

/// A value of the document, and whether the type it is an example of accepts it.
type Example = Result<Value, String>;

fn example<T: DeserializeOwned + Serialize>(value: Value) -> Example {
    let typed: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

impl Operation {
    /// The operation that the trait declares as the method `id`.
    pub fn new(id: &'static str) -> Self {
        Self { id, request: None, answer: None, errors: Vec::new(), paginated: false }
    }

    /// An example of its request body.
    pub fn takes<T: DeserializeOwned + Serialize>(mut self, value: Value) -> Self {
        self.request = Some(example::<T>(value));
        self
    }

    /// What its success means, with an example of the body.
    pub fn answers<T: DeserializeOwned + Serialize>(mut self, meaning: &'static str, value: Value) -> Self {
        self.answer = Some((meaning, Some(example::<T>(value))));
        self
    }

    /// What its success means, where there is no body.
    pub fn answers_empty(mut self, meaning: &'static str) -> Self {
        self.answer = Some((meaning, None));
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
    /// The trait has it, the declarations do not.
    #[error("operation `{0}` is in the trait, but not in `operations()` beside it")]
    Undeclared(String),
    /// The declarations have it, the trait does not.
    #[error("operation `{0}` is in `operations()`, but not in the trait beside it")]
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
) -> Result<String, DocumentError> {
    let derived = trait_description.openapi(about.title, about.version.clone()).json();
    let mut document = derived.map_err(|error| DocumentError::Trait(error.to_string()))?;

    document["info"]["description"] = about.description.into();
    document["info"]["contact"] = json!({ "name": "Orders & Notifications Platform team" });
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/" });
    document["servers"] = json!([{ "url": about.server_url, "description": "The service as the README starts it" }]);
    document["components"]["headers"] = headers();
    document["components"]["schemas"]["Error"] = error_schema();
    if let Some(components) = document["components"].as_object_mut() {
        components.remove("responses");
    }

    let mut declared: BTreeMap<&str, Operation> = operations.into_iter().map(|o| (o.id, o)).collect();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let derived = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in derived.filter_map(Value::as_object_mut) {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let declaration = declared.remove(id.as_str()).ok_or_else(|| DocumentError::Undeclared(id.clone()))?;
        complete_operation(operation, declaration).map_err(|problem| DocumentError::Unfit { id, problem })?;
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

fn complete_operation(operation: &mut Map<String, Value>, declared: Operation) -> Result<(), String> {
    for text in ["summary", "description"] {
        if !operation.contains_key(text) {
            return Err(format!("no {text}: write a doc comment of a first line and a paragraph"));
        }
    }
    match (operation.get_mut("requestBody"), declared.request) {
        (Some(body), Some(example)) => body["content"]["application/json"]["example"] = example?,
        (None, None) => {}
        (Some(_), None) => return Err("it takes a body: give an example with `takes`".to_owned()),
        (None, Some(_)) => return Err("it takes no body, but has an example of one".to_owned()),
    }
    if declared.paginated {
        operation.insert("x-dropshot-pagination".to_owned(), json!({ "required": [] }));
    }

    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let responses = responses.ok_or("it has no responses")?;
    responses.retain(|status, _| status.starts_with('2'));
    let success = responses.values_mut().next().ok_or("it has no successful response")?;
    let (meaning, example) = declared.answer.ok_or("say what its success means with `answers`")?;
    success["description"] = meaning.into();
    success["headers"]["X-Request-Id"] = header("X-Request-Id");
    match (success.pointer_mut("/content/application~1json"), example) {
        (Some(content), Some(example)) => content["example"] = example?,
        (None, None) => {}
        _ => return Err("its success has a body and no example, or an example and no body".to_owned()),
    }

    let mut by_status: BTreeMap<String, Vec<ErrorCode>> = BTreeMap::new();
    for error in declared.errors {
        by_status.entry(error.status.as_u16().to_string()).or_default().push(error);
    }
    for (status, errors) in by_status {
        responses.insert(status, error_response(&errors));
    }
    responses.sort_keys();
    Ok(())
}

fn error_response(errors: &[ErrorCode]) -> Value {
    let lines: Vec<String> = errors.iter().map(|error| format!("`{}`: {}", error.code, error.when)).collect();
    let examples: Map<String, Value> = errors
        .iter()
        .map(|error| {
            let value = json!({
                "request_id": "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11",
                "error_code": error.code,
                "message": error.example,
            });
            (error.code.to_owned(), json!({ "value": value }))
        })
        .collect();
    let mut response = json!({
        "description": lines.join("\n\n"),
        "headers": { "X-Request-Id": header("X-Request-Id") },
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/Error" },
            "examples": examples,
        } },
    });
    if errors.iter().any(|error| error.retry_after_s.is_some()) {
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
            "schema": { "type": "string", "example": "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11" },
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
                "example": "0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11",
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
