//! The AsyncAPI document of a service: its events, as they are sent.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use schemars::r#gen::SchemaSettings;
use schemars::visit::{RemoveRefSiblings, Visitor as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::conventions::refer_directly;
use crate::event::{CloudEvent, Context, EventType, Events, MEDIA_TYPE, data_schema, source};

/// The exchange that all events are published to.
pub const EXCHANGE: &str = "platform.events";

const SECURITY: &str = "#/components/securitySchemes/user";

/// The id, the time and the trace of all examples. Real ones differ from event to event.
const EXAMPLE_ID: &str = "0192f3a4-5b6c-7d8e-9f01-23456789abcd";
const EXAMPLE_TIME: &str = "2026-01-01T12:00:00.123456Z";
const EXAMPLE_TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Why a document cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EventDocumentError {
    /// `events.json` cannot be read.
    #[error("events.json: {0}")]
    Examples(#[from] serde_json::Error),
    /// A type that contradicts its declaration or its examples.
    #[error("event `{name}`: {problem}")]
    Type {
        /// The type.
        name: String,
        /// The contradiction, and what to do about it.
        problem: String,
    },
}

/// An example in `events.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    r#type: String,
    data: Value,
}

/// The complete document of the `events` of `service`, as pretty-printed JSON that ends with a newline. `title` is the
/// service's name for people.
pub fn document(service: &str, title: &str, events: &Events) -> Result<String, EventDocumentError> {
    let mut types = (events.types)();
    types.sort_by_key(|one| one.name);
    let examples: Vec<Example> = serde_json::from_str(events.examples)?;
    let declared: BTreeSet<&str> = types.iter().map(|one| one.name).collect();
    if let Some(unknown) = examples.iter().find(|example| !declared.contains(example.r#type.as_str())) {
        return Err(problem(&unknown.r#type, "it has an example in events.json, but is not in `types`"));
    }

    let mut generator = SchemaSettings::draft07()
        .with(|settings| settings.definitions_path = "#/components/schemas/".to_owned())
        .into_generator();
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    let mut sent = Map::new();
    for one in &types {
        let name = one.name;
        let (title, description) = (one.title(), one.paragraphs());
        if description.is_empty() || !is_type(name) {
            return Err(problem(
                name,
                "it needs a name of two words and a dot, and a doc comment of a title and a text",
            ));
        }
        let data = serde_json::to_value((one.schema)(&mut generator))?;
        let schema: String = name.split(['.', '_']).map(capitalized).collect();
        if data["$ref"] != format!("#/components/schemas/{schema}") {
            return Err(problem(name, &format!("its structure must be called {schema}")));
        }
        let examples = examples_of(service, events, one, &examples)?;
        channels.insert(name.to_owned(), channel(name, title));
        operations.insert(name.replace('.', "_"), operation(name, title, &description));
        messages.insert(
            name.to_owned(),
            json!({
                "name": name, "title": title, "summary": format!("{title}."), "description": description,
                "contentType": MEDIA_TYPE, "payload": { "$ref": format!("#/components/schemas/{schema}Event") },
                "examples": examples,
            }),
        );
        sent.insert(format!("{schema}Event"), envelope(service, name, &data));
    }
    let mut definitions = generator.take_definitions();
    // A description beside a reference is ignored by many tools.
    definitions.values_mut().for_each(|schema| RemoveRefSiblings.visit_schema(schema));
    let mut schemas = serde_json::to_value(definitions)?;
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.extend(sent);
        schemas.sort_keys();
    }
    let mut document = json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": format!("{title} Events"),
            "version": events.version.to_string(),
            "description": description(),
            "contact": { "name": "Orders & Notifications Platform team" },
            "license": { "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/" },
        },
        "defaultContentType": MEDIA_TYPE,
        "servers": { "rabbitmq": {
            "host": "127.0.0.1:5672", "protocol": "amqp", "protocolVersion": "0-9-1",
            "description": "RabbitMQ as Docker Compose starts it",
            "security": [{ "$ref": SECURITY }],
        } },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "user": { "type": "userPassword", "description": "A user of RabbitMQ that may read a queue of its own" },
            },
        },
    });
    refer_directly(&mut document);
    complete_schemas(&mut document["components"]["schemas"]);
    Ok(format!("{document:#}\n"))
}

fn problem(name: &str, problem: &str) -> EventDocumentError {
    EventDocumentError::Type { name: name.to_owned(), problem: problem.to_owned() }
}

/// Whether this is two words and a dot.
fn is_type(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    name.split_once('.').is_some_and(|(about, what)| is_word(about) && is_word(what))
}

/// `word` with its first letter in upper case.
fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

fn description() -> String {
    format!(
        "What happens in the service, published once it is stored. Each event is a CloudEvent 1.0 in JSON (structured mode) on \
         the topic exchange `{EXCHANGE}` of RabbitMQ, with its `type` as the routing key.\n\n\
         An event is delivered at least once: remember the `id` of those that you have handled, in the transaction of \
         their effect. Events may arrive in any order, also those about one subject. Ignore fields that you do not know: a \
         type only gets new ones. Events contain no personal data; ask the service for it by id.\n\n\
         Before version 1.0.0 this contract may change; from then on it only grows, and a breaking change is a new type \
         that is sent beside the old one."
    )
}

fn channel(name: &str, title: &str) -> Value {
    json!({
        "address": name,
        "title": title,
        "description": format!("The routing key of `{name}`."),
        "messages": { name: { "$ref": format!("#/components/messages/{name}") } },
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": EXCHANGE, "type": "topic", "durable": true, "autoDelete": false, "vhost": "platform" },
        } },
    })
}

fn operation(name: &str, title: &str, description: &str) -> Value {
    let channel = format!("#/channels/{name}");
    json!({
        "action": "send",
        "title": title,
        "summary": format!("{title}."),
        "description": description,
        "channel": { "$ref": channel },
        "messages": [{ "$ref": format!("{channel}/messages/{name}") }],
        "security": [{ "$ref": SECURITY }],
        "bindings": { "amqp": { "deliveryMode": 2, "mandatory": true } },
    })
}

/// The schema of a CloudEvent with `data`.
fn envelope(service: &str, name: &str, data: &Value) -> Value {
    let text =
        |description: &str, example: &str| json!({ "description": description, "type": "string", "example": example });
    let only =
        |description: &str, value: &str| json!({ "description": description, "type": "string", "enum": [value] });
    let mut time = text("When it happened (RFC 3339, UTC, to the microsecond).", EXAMPLE_TIME);
    time["format"] = "date-time".into();
    let mut id = text("Unique among all events; a repetition has the same.", EXAMPLE_ID);
    id["format"] = "uuid".into();
    json!({
        "description": format!("The CloudEvent `{name}`."),
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"],
        "properties": {
            "specversion": only("The version of CloudEvents.", "1.0"),
            "id": id,
            "source": only("The service that published it.", &source(service)),
            "type": only("The type of the event.", name),
            "subject": text("The id of what it is about.", "1"),
            "time": time,
            "datacontenttype": only("The media type of `data`.", "application/json"),
            "dataschema": text("The document that describes `data`, with its version.", &data_schema(service, "0.1.0")),
            "traceparent": text("Where in a trace it happened (W3C Trace Context).", EXAMPLE_TRACE),
            "data": { "description": "What happened.", "allOf": [data] },
        },
    })
}

/// The examples of the type `one`, as they are sent.
fn examples_of(
    service: &str,
    events: &Events,
    one: &EventType,
    examples: &[Example],
) -> Result<Vec<Value>, EventDocumentError> {
    let fault = |error: String| problem(one.name, &format!("its example is not of its type: {error}"));
    let (source, schema) = (source(service), data_schema(service, &events.version.to_string()));
    let time: DateTime<Utc> = EXAMPLE_TIME.parse().map_err(|error| fault(format!("{error}")))?;
    let (time, traceparent) = (time.into(), Some(EXAMPLE_TRACE));
    let context = Context { id: EXAMPLE_ID, source: &source, data_schema: &schema, time, traceparent };
    let mut sent = Vec::new();
    for example in examples.iter().filter(|example| example.r#type == one.name) {
        let data = (one.check)(&example.data).map_err(|error| fault(error.to_string()))?;
        if data != example.data {
            return Err(problem(one.name, "its example has fields that the type does not have"));
        }
        let subject = (one.subject)(&data).map_err(|error| fault(error.to_string()))?;
        sent.push(json!({ "payload": CloudEvent::of(&context, one.name, subject, data) }));
    }
    if sent.is_empty() { Err(problem(one.name, "it has no example in events.json")) } else { Ok(sent) }
}

/// Writes a schema as other documents have it: the keyword is `examples`, and bounds of integers are integers.
fn complete_schemas(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A property may have this name.
            if let Some(example) = fields.get("example").filter(|_| fields.contains_key("type")).cloned() {
                fields.shift_remove("example");
                fields.insert("examples".to_owned(), json!([example]));
            }
            fields.values_mut().for_each(complete_schemas);
        }
        Value::Array(values) => values.iter_mut().for_each(complete_schemas),
        Value::Number(number) if !number.is_i64() => {
            // All bounds of contracts are exact as floating-point numbers.
            if let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0) {
                *schema = (whole as i64).into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::page::PageLimit;

    crate::event! {
        /// A lamp was lit
        ///
        /// Somebody has lit it.
        struct LampLit as "lamp.lit" about lamp_id {
            /// The lamp.
            lamp_id: PageLimit,
        }
    }

    fn document_with(examples: &'static str) -> Result<Value, EventDocumentError> {
        let types = || vec![EventType::of::<LampLit>()];
        let events = Events { version: semver::Version::new(1, 2, 3), types, examples };
        Ok(serde_json::from_str(&document("lamp-service", "Lamp Service", &events)?)?)
    }

    #[test]
    fn an_event_is_described_as_it_is_sent() {
        let document = document_with(r#"[{ "type": "lamp.lit", "data": { "lamp_id": 7 } }]"#).unwrap();
        let message = &document["components"]["messages"]["lamp.lit"];
        assert_eq!(
            (&message["title"], &message["description"]),
            (&"A lamp was lit".into(), &"Somebody has lit it.".into())
        );
        let sent = &message["examples"][0]["payload"];
        assert_eq!((&sent["subject"], &sent["data"]), (&"7".into(), &json!({ "lamp_id": 7 })));
        assert_eq!(sent["dataschema"], "urn:orders-platform:events:lamp-service:1.2.3");
        let schema = &document["components"]["schemas"]["LampLitEvent"];
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|field| sent.get(field.as_str().unwrap()).is_some()), "{sent}");
        assert!(sent.as_object().unwrap().keys().all(|field| schema["properties"].get(field).is_some()), "{schema}");
        let id = &document["components"]["schemas"]["PageLimit"];
        assert_eq!((&id["examples"], &id["maximum"]), (&json!(null), &json!(1000)));
    }

    #[test]
    fn wrong_examples_are_refused() {
        for (examples, expected) in [
            ("[]", "it has no example"),
            (r#"[{ "type": "lamp.lit", "data": { "lamp_id": 0 } }]"#, "not of its type"),
            (
                r#"[{ "type": "lamp.lit", "data": { "lamp_id": 1, "colour": "red" } }]"#,
                "fields that the type does not have",
            ),
            (r#"[{ "type": "lamp.put_out", "data": {} }]"#, "not in `types`"),
            ("{}", "events.json"),
        ] {
            let message = document_with(examples).unwrap_err().to_string();
            assert!(message.contains(expected), "{examples}: {message}");
        }
    }
}
