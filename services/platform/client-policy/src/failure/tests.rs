use progenitor_client::ResponseValue;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[derive(Clone, Debug, Deserialize)]
struct Problem {
    error_code: Option<String>,
    message: String,
}

impl ErrorBody for Problem {
    fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref()
    }

    fn message(&self) -> &str {
        &self.message
    }
}

fn response(status: u16, body: &str) -> reqwest::Response {
    http::Response::builder().status(status).body(body.to_owned()).unwrap().into()
}

/// An error of the contract.
async fn documented(status: u16, code: Option<&str>) -> Failure {
    let body = serde_json::json!({ "error_code": code, "message": "words" }).to_string();
    let answer = ResponseValue::from_response::<Problem>(response(status, &body)).await.unwrap();
    Failure::of(Error::<Problem>::ErrorResponse(answer))
}

fn transport(error: reqwest::Error) -> Failure {
    Failure::of(Error::<Problem>::CommunicationError(error))
}

#[tokio::test]
async fn a_4xx_with_a_code_is_left_to_the_caller() {
    for (status, code) in [(404, "user_not_found"), (400, "invalid_request"), (409, "email_taken")] {
        let status_code = StatusCode::from_u16(status).unwrap();
        let expected = Failure::Answered { status: status_code, code: code.to_owned(), message: "words".to_owned() };
        assert_eq!(documented(status, Some(code)).await, expected);
    }
}

#[tokio::test]
async fn a_4xx_without_a_code_is_invalid() {
    for status in [400, 404] {
        assert_eq!(documented(status, None).await, Failure::InvalidResponse(format!("status {status}")));
    }
}

#[tokio::test]
async fn a_5xx_and_429_are_unavailable() {
    for status in [429, 500, 502, 503, 504] {
        for code in [None, Some("overloaded")] {
            assert_eq!(documented(status, code).await, Failure::Unavailable(format!("status {status}")));
        }
    }
}

#[tokio::test]
async fn a_deadline_that_the_service_exceeded_is_a_timeout() {
    assert_eq!(documented(503, Some("deadline_exceeded")).await, Failure::Timeout);
    let other = documented(500, Some("deadline_exceeded")).await;
    assert_eq!(other, Failure::Unavailable("status 500".to_owned()));
}

#[test]
fn an_undocumented_status_is_classified_by_its_class() {
    for (status, expected) in [
        (200, Failure::InvalidResponse("status 200".to_owned())),
        (302, Failure::InvalidResponse("status 302".to_owned())),
        (404, Failure::InvalidResponse("status 404".to_owned())),
        (429, Failure::Unavailable("status 429".to_owned())),
        (599, Failure::Unavailable("status 599".to_owned())),
    ] {
        let error = Error::<Problem>::UnexpectedResponse(response(status, r#"{"error_code": "user_not_found"}"#));
        assert_eq!(Failure::of(error), expected);
    }
}

#[test]
fn a_body_that_does_not_parse_is_not_repeated() {
    let error = serde_json::from_str::<u64>(r#""secret""#).unwrap_err();
    let failure = Failure::of(Error::<Problem>::InvalidResponsePayload(Vec::new().into(), error));
    assert_eq!(failure, Failure::InvalidResponse("Data error in its JSON at line 1, column 8".to_owned()));
}

#[test]
fn refusals_are_a_timeout_or_unavailable() {
    for (refusal, expected) in [
        (Refusal::DeadlinePassed, Failure::Timeout),
        (Refusal::CircuitOpen, Failure::Unavailable(Refusal::CircuitOpen.to_string())),
        (Refusal::TooManyCalls, Failure::Unavailable(Refusal::TooManyCalls.to_string())),
    ] {
        assert_eq!(Refusal::of_outcome(&refusal.into_outcome()), Some(refusal));
        assert_eq!(Failure::of(Error::<Problem>::Custom(refusal.to_string())), expected);
    }
}

#[test]
fn a_request_that_the_client_rejects_is_a_fault() {
    for (error, text) in [
        (Error::<Problem>::InvalidRequest("too long".to_owned()), "Invalid Request: too long"),
        (Error::Custom("something".to_owned()), "Error: something"),
    ] {
        assert_eq!(Failure::of(error), Failure::Fault(text.to_owned()));
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable_with_its_cause() {
    let error = reqwest::get("http://127.0.0.1:1").await.unwrap_err();
    let Failure::Unavailable(cause) = transport(error) else { panic!("not unavailable") };
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http_is_invalid() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_buf(&mut Vec::new()).await.unwrap();
        connection.write_all(b"nonsense\r\n\r\n").await.unwrap();
    });
    let error = reqwest::get(url).await.unwrap_err();
    assert_eq!(transport(error), Failure::InvalidResponse("it does not speak HTTP".to_owned()));
}
