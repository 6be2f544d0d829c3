//! The OpenAPI document of a service: what dropshot derives from the API trait, completed.
//!
//! dropshot emits paths, types, summaries and tags. It does not emit servers, license, examples of requests and
//! responses, or the exact statuses of an operation: it writes `4XX` and `5XX`. Those are declared beside the trait in a
//! [`Contract`]: one [`Operation`] for each operation, and golden [`examples`].

use std::collections::BTreeMap;

use dropshot::{ApiDescription, ApiDescriptionBuildErrors, StubContext};
use serde_json::{Map, Value, json};

use crate::components::{error_code_schema, error_schema, header, headers};
use crate::conventions::{self, Breach};
use crate::error_code::ErrorCode;
use crate::event::Events;
use crate::event_document::{self, EventDocumentError};
use crate::examples::{self, DeclaredError, ErrorExample, Example};
use crate::health;
use crate::operation::{Operation, TypeCheck};

/// The contract of one service: everything its document is made of.
#[derive(Debug)]
pub struct Contract {
    /// The service's name in `services/platform.toml`.
    pub service: &'static str,
    /// The service's port there: a test compares it.
    pub port: u16,
    /// `info.version`: the version of the contract, not of the program.
    pub version: semver::Version,
    /// What the service is for: one sentence in Markdown.
    pub summary: &'static str,
    /// Which requests are safe to repeat, and how to repeat the others: a paragraph in Markdown.
    pub repeating: &'static str,
    /// The trait, as dropshot describes it.
    pub api: fn() -> Result<ApiDescription<StubContext>, ApiDescriptionBuildErrors>,
    /// The operations of the trait.
    pub operations: fn() -> Vec<Operation>,
    /// The text of `examples.json`.
    pub examples: &'static str,
    /// The events that the service publishes; `None` if there are none.
    pub events: Option<Events>,
}

/// Why a document cannot be made. Each variant names the operation to fix.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// dropshot rejects the trait.
    #[error("the API trait is not valid: {0}")]
    Trait(String),
    /// `examples.json` cannot be read.
    #[error("examples.json: {0}")]
    Examples(String),
    /// An operation of the trait that is not declared.
    #[error("operation `{0}` is in the trait, but not in `operations()` beside it")]
    Undeclared(String),
    /// A declared operation, or an example's, that is not in the trait.
    #[error("operation `{0}` is in `operations()` or in examples.json, but not in the trait beside them")]
    Unknown(String),
    /// A declaration that contradicts the trait.
    #[error("operation `{id}`: {problem}")]
    Mismatch {
        /// The operation.
        id: String,
        /// The contradiction.
        problem: String,
    },
    /// The events contradict their declaration.
    #[error(transparent)]
    Events(#[from] EventDocumentError),
}

impl Contract {
    /// A request and its response for every operation and every error code.
    pub fn examples(&self) -> Result<Vec<Example>, DocumentError> {
        let errors = self.declared_operations().flat_map(|Operation { id, errors, .. }| {
            errors.into_iter().map(|ErrorCode { code, status, message, .. }| DeclaredError {
                operation: id.to_owned(),
                status: status.as_u16(),
                error: ErrorExample { code: code.to_owned(), message: message.to_owned() },
            })
        });
        examples::read(self.examples, errors).map_err(|error| DocumentError::Examples(error.to_string()))
    }

    fn declared_operations(&self) -> impl Iterator<Item = Operation> {
        (self.operations)().into_iter().chain(health::operations())
    }

    /// The complete document, as pretty-printed JSON that ends with a newline.
    pub fn document(&self) -> Result<String, DocumentError> {
        let mut document = self.derive(self.api)?;
        add_health(&mut document, self.derive(health::description)?);
        document["info"]["description"] = self.description().into();
        document["info"]["contact"] = json!({ "name": "Orders & Notifications Platform team" });
        document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/" });
        document["servers"] = json!([
            { "url": "/", "description": "Where this document is served" },
            { "url": format!("http://127.0.0.1:{}", self.port), "description": "The service as the README starts it" },
        ]);
        // No operation authenticates its caller. Without this the document would not say so.
        document["security"] = json!([]);
        document["components"]["headers"] = headers();
        if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
            schemas.insert("Error".to_owned(), error_schema());
            schemas.insert("ErrorCode".to_owned(), self.error_code_schema());
            schemas.sort_keys();
        }
        if let Some(components) = document["components"].as_object_mut() {
            components.remove("responses");
        }
        self.complete_operations(&mut document)?;
        conventions::refer_directly(&mut document);
        conventions::check(&document)
            .map_err(|Breach { operation: id, problem }| DocumentError::Mismatch { id, problem })?;
        conventions::show_parameter_examples(&mut document);
        Ok(format!("{document:#}\n"))
    }

    /// The complete AsyncAPI document of the events, as pretty-printed JSON that ends with a newline; `None` if there are
    /// none.
    pub fn event_document(&self) -> Result<Option<String>, DocumentError> {
        let document = |events| event_document::document(self.service, &self.title(), events);
        Ok(self.events.as_ref().map(document).transpose()?)
    }

    /// The schema of the error codes that its operations declare.
    fn error_code_schema(&self) -> Value {
        let declared = self.declared_operations().flat_map(|operation| operation.errors);
        error_code_schema(declared.map(|error| error.code).collect())
    }

    /// What dropshot makes of `api`.
    fn derive(
        &self,
        api: fn() -> Result<ApiDescription<StubContext>, ApiDescriptionBuildErrors>,
    ) -> Result<Value, DocumentError> {
        let api = api().map_err(|error| DocumentError::Trait(error.to_string()))?;
        let derived = api.openapi(self.title(), self.version.clone()).json();
        derived.map_err(|error| DocumentError::Trait(error.to_string()))
    }

    /// The service's name for people: `User Service` for `user-service`.
    fn title(&self) -> String {
        let capitalize = |word: &str| word[..1].to_uppercase() + &word[1..];
        self.service.split('-').map(capitalize).collect::<Vec<_>>().join(" ")
    }

    fn description(&self) -> String {
        let Self { summary, repeating, .. } = self;
        format!(
            "{summary}\n\n\
             Bodies are JSON (UTF-8) with `snake_case` names; times are RFC 3339 in UTC. Unknown fields of a body and \
             unknown query parameters of a list are refused. Ids are integers up to 2^53 - 1, which every JSON reader \
             represents exactly.\n\n\
             Every error has the shape of the schema `Error`; decide by its `error_code`, whose known values are in the \
             schema `ErrorCode`. {repeating}\n\n\
             Any request may state in the header `Request-Timeout-Ms` how many milliseconds (1 to 60000) its sender \
             still waits; the service gives up then, unless its own limit is shorter.\n\n\
             Before version 1.0.0 this contract may change; from then on it only grows within `/api/v1`."
        )
    }

    fn complete_operations(&self, document: &mut Value) -> Result<(), DocumentError> {
        let examples = self.examples()?;
        let mut declared: BTreeMap<&str, Operation> =
            self.declared_operations().map(|operation| (operation.id, operation)).collect();
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
                .map_err(|problem| DocumentError::Mismatch { id, problem })?;
        }
        match declared.keys().next() {
            Some(id) => Err(DocumentError::Unknown((*id).to_owned())),
            None => Ok(()),
        }
    }
}

/// Adds the paths, schemas and tags of `health` to `document`.
fn add_health(document: &mut Value, health: Value) {
    for section in ["/paths", "/components/schemas"] {
        let added = health.pointer(section).and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(object) = document.pointer_mut(section).and_then(Value::as_object_mut) {
            object.extend(added);
            object.sort_keys();
        }
    }
    if let (Some(tags), Some(added)) = (document["tags"].as_array_mut(), health["tags"].as_array()) {
        tags.extend(added.iter().cloned());
        tags.sort_by_key(|tag| tag["name"].to_string());
    }
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
        _ => return Err("the trait, `takes` and the example must agree on whether its request has a body".to_owned()),
    }

    let parameters = operation.get("parameters").and_then(Value::as_array);
    let is_conditional = parameters.into_iter().flatten().any(|parameter| parameter["name"] == "If-None-Match");
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let responses = responses.ok_or("it has no responses")?;
    responses.retain(|status, _| status.starts_with('2'));
    let (status, success) = responses.iter_mut().next().ok_or("it has no successful response")?;
    if *status != golden.status.to_string() {
        return Err(format!("its success is {status}, that of the example {}", golden.status));
    }
    success["description"] = declared.meaning.into();
    success["headers"]["X-Request-Id"] = header("X-Request-Id");
    for (name, header) in success["headers"].as_object_mut().into_iter().flatten() {
        if let Some(example) = golden.headers.get(&name.to_lowercase()) {
            header["example"] = example.as_str().into();
        }
    }
    if let Some(header) = success.pointer_mut("/headers/Idempotency-Replayed") {
        // Without an example, a mock makes up a value: the schema alone is a boolean that is never `false`.
        header["example"] = true.into();
    }
    match (success.pointer_mut("/content/application~1json"), declared.answers, &golden.body) {
        (Some(content), Some(check), Some(example)) => {
            let example = checked(check, example)?;
            let mut bodies = examples.iter().filter_map(|example| example.body.as_ref());
            match bodies.find(|body| declared.paginated && body.get("next_page").is_some()) {
                // The last page first: a mock that always answers with the first example must not page for ever.
                Some(more) => {
                    content["examples"] = json!({
                        "last_page": { "summary": "The last page", "value": example },
                        "page_before": { "summary": "A page before the last one", "value": checked(check, more)? },
                    });
                }
                None => content["example"] = example,
            }
        }
        (None, None, None) => {}
        _ => {
            return Err("the trait, `answers` and the example must agree on whether its response has a body".to_owned());
        }
    }

    let mut by_status: BTreeMap<String, Vec<(ErrorCode, Value)>> = BTreeMap::new();
    for error in &declared.errors {
        let status = error.status.as_u16();
        let matches = |example: &&&Example| {
            example.status == status && example.error.as_ref().is_some_and(|e| e.code == error.code)
        };
        let example = examples.iter().find(matches).and_then(|example| example.response_body());
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
    if is_conditional {
        responses.insert(NOT_MODIFIED.to_owned(), not_modified());
    }
    responses.sort_keys();
    Ok(())
}

/// The status of a response to a client that has the resource already.
const NOT_MODIFIED: &str = "304";

fn not_modified() -> Value {
    json!({
        "description": "The resource still has an entity tag of `If-None-Match`: use what you have.",
        "headers": { "X-Request-Id": header("X-Request-Id") },
    })
}

fn checked(check: TypeCheck, example: &Value) -> Result<Value, String> {
    check(example).map_err(|error| format!("its example is not of its type: {error}"))
}

fn error_response(errors: Vec<(ErrorCode, Value)>) -> Value {
    let lines: Vec<String> = errors.iter().map(|(error, _)| format!("`{}`: {}", error.code, error.when)).collect();
    let is_retryable = errors.iter().any(|(error, _)| error.retry_after_s.is_some());
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
    if is_retryable {
        response["headers"]["Retry-After"] = header("Retry-After");
    }
    response
}
