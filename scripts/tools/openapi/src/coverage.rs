//! Contract coverage: checks that the services' logs show every documented outcome and no other.
//!
//! The services log each request with its path, status and `error_code`, and each event that they publish or have handled
//! with its type. The logs of tests and of fuzzing show which (operation, status, error code) a service can return, and
//! which events it publishes and handles.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use contract::error_code::INVALID_PATH;
use contract::paths::{Operation, error_codes, matches, operations};
use serde_json::Value;

use crate::document::Contract;

/// The messages that the services log about each event, and what the report calls them.
const EVENT_MESSAGES: [(&str, &str); 2] = [("event published", PUBLISHES), ("event handled", HANDLES)];
const PUBLISHES: &str = "publishes";
const HANDLES: &str = "handles";

/// What was seen or is promised, as the report shows it: a service with an operation, a status, and the error code of a
/// failure, or with the type of an event.
type Outcome = String;

/// Compares the outcomes in the JSON logs (`*.log`) in `directories` with those that `contracts` document. Fails with
/// those that were never seen and those that are not documented; returns the number seen.
pub fn check_coverage(contracts: &[Contract], directories: &[PathBuf]) -> Result<usize> {
    let documents: Vec<(&str, Value)> = contracts
        .iter()
        .map(|contract| Ok((contract.service, serde_json::from_str(&contract.document)?)))
        .collect::<Result<_>>()?;
    let mut promised: BTreeSet<Outcome> =
        documents.iter().flat_map(|(service, document)| outcomes_of(service, document)).collect();
    for contract in contracts {
        promised.append(&mut events_of(contract)?);
    }
    let mut seen = BTreeSet::new();
    for directory in directories {
        seen.append(&mut outcomes_in(directory, &documents)?);
    }

    let mut report = String::new();
    for outcome in promised.difference(&seen) {
        writeln!(report, "never seen:     {outcome}")?;
    }
    for outcome in seen.difference(&promised) {
        writeln!(report, "not documented: {outcome}")?;
    }
    if report.is_empty() { Ok(seen.len()) } else { bail!("{report}in the logs in {directories:?}") }
}

fn outcome(service: &str, operation: Operation<'_>, status: u64, code: Option<&str>) -> Outcome {
    let id = operation.id().unwrap_or_default();
    code.map_or_else(|| format!("{service} {id} {status}"), |code| format!("{service} {id} {status} {code}"))
}

fn outcomes_of(service: &str, document: &Value) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for operation in operations(document) {
        for (status, response) in operation.value["responses"].as_object().into_iter().flatten() {
            let number = status.parse().unwrap_or_default();
            let codes: Vec<&str> = error_codes(status, response).collect();
            if codes.is_empty() {
                outcomes.push(outcome(service, operation, number, None));
            }
            outcomes.extend(codes.into_iter().map(|code| outcome(service, operation, number, Some(code))));
        }
    }
    outcomes
}

/// The events that a service publishes and handles.
fn events_of(contract: &Contract) -> Result<BTreeSet<Outcome>> {
    let document: Value = contract.events.as_deref().map_or(Ok(Value::Null), serde_json::from_str)?;
    let publishes = document["channels"].as_object().into_iter().flat_map(|channels| channels.keys());
    let publishes = publishes.map(|name| format!("{} {PUBLISHES} {name}", contract.service));
    let handles = contract.consumes.iter().map(|name| format!("{} {HANDLES} {name}", contract.service));
    Ok(publishes.chain(handles).collect())
}

fn outcomes_in(directory: &Path, documents: &[(&str, Value)]) -> Result<BTreeSet<Outcome>> {
    let mut outcomes = BTreeSet::new();
    let files = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for file in files {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let log = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // A killed process may have left half a line.
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        outcomes.extend(lines.filter_map(|line| outcome_of(&line, documents)));
    }
    Ok(outcomes)
}

/// The outcome that a line of the log reports, if it is about an event, or about a request that reached an operation.
fn outcome_of(line: &Value, documents: &[(&str, Value)]) -> Option<Outcome> {
    let service = line["service_name"].as_str()?;
    let (_, document) = documents.iter().find(|(name, _)| *name == service)?;
    if let Some((_, does)) = EVENT_MESSAGES.iter().find(|(message, _)| line["message"] == *message) {
        return Some(format!("{service} {does} {}", line["event_type"].as_str()?));
    }
    if line["message"] != "request completed" {
        return None;
    }
    let (method, path) = (line["method"].as_str()?, line["path"].as_str()?);
    let is_called = |one: &Operation<'_>| one.method.eq_ignore_ascii_case(method) && matches(path, one.path);
    let operation = operations(document).find(is_called)?;
    let code = match line["error"].as_str() {
        None => None,
        Some(error) => {
            let code = error.split(':').next().unwrap_or_default();
            // The log hides what cannot be decoded: no operation was reached.
            if code == INVALID_PATH.code {
                return None;
            }
            Some(code)
        }
    };
    Some(outcome(service, operation, line["status"].as_u64()?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contracts() -> Vec<Contract> {
        let document = r#"{"paths": {"/things/{id}": {"get": {"operationId": "thing_view", "responses": {
            "200": {"content": {"application/json": {"example": {}}}},
            "404": {"content": {"application/json": {"examples": {"thing_not_found": {}}}}}}}}}}"#;
        let (document, events) = (document.to_owned(), r#"{"channels": {"thing.made": {}}}"#.to_owned());
        vec![Contract { service: "things", document, events: Some(events), consumes: vec!["box.filled".to_owned()] }]
    }

    const EVENTS: [(&str, &str); 2] = [("event published", "thing.made"), ("event handled", "box.filled")];

    fn coverage(lines: &[(&str, u16, &str)], events: &[(&str, &str)]) -> Result<usize> {
        let directory = tempfile::tempdir().unwrap();
        let event = |(message, kind): &(&str, &str)| {
            let line = serde_json::json!({"message": message, "service_name": "things", "event_type": kind});
            format!("{line}\n")
        };
        let line = |(path, status, error): &(&str, u16, &str)| {
            let mut line = serde_json::json!({"message": "request completed", "service_name": "things",
                "method": "GET", "path": path, "status": status});
            if !error.is_empty() {
                line["error"] = (*error).into();
            }
            format!("{line}\n")
        };
        let log: String = lines.iter().map(line).chain(events.iter().map(event)).collect();
        std::fs::write(directory.path().join("some.log"), log + "{\"half").unwrap();
        check_coverage(&contracts(), &[directory.path().to_owned()])
    }

    #[test]
    fn documented_and_seen_outcomes_are_covered() {
        let unrouted = [("/", 404, "not_found"), ("/things/%FF", 400, "invalid_path")];
        let seen = [("/things/1", 200, ""), ("/things/2", 404, "thing_not_found"), unrouted[0], unrouted[1]];
        assert_eq!(coverage(&seen, &EVENTS).unwrap(), 4);
    }

    #[test]
    fn each_difference_from_the_document_is_reported() {
        let (found, missing) = (("/things/1", 200, ""), ("/things/*", 404, "thing_not_found"));
        for (seen, expected) in [
            (vec![found], "never seen:     things thing_view 404 thing_not_found"),
            (vec![found, missing, ("/things/1", 500, "Boom at 7")], "not documented: things thing_view 500 Boom at 7"),
            (vec![found, missing, ("/things/1", 500, "broken: x")], "not documented: things thing_view 500 broken\n"),
        ] {
            let message = coverage(&seen, &EVENTS).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn each_event_is_seen_published_and_handled() {
        let all = [("/things/1", 200, ""), ("/things/2", 404, "thing_not_found")];
        let other = ("event handled", "thing.made");
        for (seen, expected) in [
            (&EVENTS[..1], "never seen:     things handles box.filled\n"),
            (&EVENTS[1..], "never seen:     things publishes thing.made\n"),
            (&[EVENTS[0], EVENTS[1], other], "not documented: things handles thing.made\n"),
        ] {
            let message = coverage(&all, seen).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
