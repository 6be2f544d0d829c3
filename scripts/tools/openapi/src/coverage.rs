//! Contract coverage: checks that the services' logs show every documented outcome and no other.
//!
//! The services log each request with its path, status and `error_code`. The logs of tests and of fuzzing show which
//! (operation, status, error code) a service can return.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use contract::error_code::INVALID_PATH;
use contract::paths::{Operation, error_codes, matches, operations};
use serde_json::Value;

use crate::document::Contract;

/// An outcome of an operation: service, operation, status, and the error code of a failure.
type Outcome = (String, String, u16, Option<String>);

/// Compares the outcomes in the JSON logs (`*.log`) in `directories` with those that `contracts` document. Fails with
/// those that were never seen and those that are not documented; returns the number seen.
pub fn check_coverage(contracts: &[Contract], directories: &[PathBuf]) -> Result<usize> {
    let documents: Vec<(&str, Value)> = contracts
        .iter()
        .map(|contract| Ok((contract.service, serde_json::from_str(&contract.document)?)))
        .collect::<Result<_>>()?;
    let promised: BTreeSet<Outcome> =
        documents.iter().flat_map(|(service, document)| outcomes_of(service, document)).collect();
    let mut seen = BTreeSet::new();
    for directory in directories {
        seen.append(&mut outcomes_in(directory, &documents)?);
    }

    let mut report = String::new();
    for (service, operation, status, code) in promised.difference(&seen) {
        writeln!(report, "never seen:     {service} {operation} {status} {}", code.as_deref().unwrap_or_default())?;
    }
    for (service, operation, status, code) in seen.difference(&promised) {
        writeln!(report, "not documented: {service} {operation} {status} {}", code.as_deref().unwrap_or_default())?;
    }
    if report.is_empty() { Ok(seen.len()) } else { bail!("{report}in the logs in {directories:?}") }
}

fn id(operation: Operation<'_>) -> String {
    operation.id().unwrap_or_default().to_owned()
}

fn outcomes_of(service: &str, document: &Value) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for operation in operations(document) {
        for (status, response) in operation.value["responses"].as_object().into_iter().flatten() {
            let number = status.parse().unwrap_or_default();
            let outcome = |code| (service.to_owned(), id(operation), number, code);
            let codes: Vec<&str> = error_codes(status, response).collect();
            if codes.is_empty() {
                outcomes.push(outcome(None));
            }
            outcomes.extend(codes.into_iter().map(|code| outcome(Some(code.to_owned()))));
        }
    }
    outcomes
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

/// The outcome that a line of the log reports, if the request reached an operation.
fn outcome_of(line: &Value, documents: &[(&str, Value)]) -> Option<Outcome> {
    if line["message"] != "request completed" {
        return None;
    }
    let service = line["service_name"].as_str()?;
    let (_, document) = documents.iter().find(|(name, _)| *name == service)?;
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
            Some(code.to_owned())
        }
    };
    Some((service.to_owned(), id(operation), u16::try_from(line["status"].as_u64()?).ok()?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contracts() -> Vec<Contract> {
        let document = r#"{"paths": {"/things/{id}": {"get": {"operationId": "thing_view", "responses": {
            "200": {"content": {"application/json": {"example": {}}}},
            "404": {"content": {"application/json": {"examples": {"thing_not_found": {}}}}}}}}}}"#;
        vec![Contract { service: "things", document: document.to_owned(), events: None }]
    }

    fn coverage(lines: &[(&str, u16, &str)]) -> Result<usize> {
        let directory = tempfile::tempdir().unwrap();
        let line = |(path, status, error): &(&str, u16, &str)| {
            let mut line = serde_json::json!({"message": "request completed", "service_name": "things",
                "method": "GET", "path": path, "status": status});
            if !error.is_empty() {
                line["error"] = (*error).into();
            }
            format!("{line}\n")
        };
        std::fs::write(directory.path().join("some.log"), lines.iter().map(line).collect::<String>() + "{\"half")
            .unwrap();
        check_coverage(&contracts(), &[directory.path().to_owned()])
    }

    #[test]
    fn documented_and_seen_outcomes_are_covered() {
        let unrouted = [("/", 404, "not_found"), ("/things/%FF", 400, "invalid_path")];
        let seen = [("/things/1", 200, ""), ("/things/2", 404, "thing_not_found"), unrouted[0], unrouted[1]];
        assert_eq!(coverage(&seen).unwrap(), 2);
    }

    #[test]
    fn each_difference_from_the_document_is_reported() {
        let (found, missing) = (("/things/1", 200, ""), ("/things/*", 404, "thing_not_found"));
        for (seen, expected) in [
            (vec![found], "never seen:     things thing_view 404 thing_not_found"),
            (vec![found, missing, ("/things/1", 500, "Boom at 7")], "not documented: things thing_view 500 Boom at 7"),
            (vec![found, missing, ("/things/1", 500, "broken: x")], "not documented: things thing_view 500 broken\n"),
        ] {
            let message = coverage(&seen).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
