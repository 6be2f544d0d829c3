//! What user-service is asked about users, and what its answers mean. Only its contract is known here, through
//! `user-client`.

use std::collections::{HashMap, HashSet};

use order_service_api::UserId;
use service_runtime::trace::TraceContext;
use user_client::policy::{Refusal, is_http_parse_error};
use user_client::reqwest::{self, StatusCode};
use user_client::{Client, Error, error_codes, types};

use crate::user_check::UserCheckError;

/// What is certain about users. Whoever is missing must be asked for alone.
pub(crate) type Verdicts = HashMap<UserId, Result<(), UserCheckError>>;

/// The most users that can be asked for batch_writer, by the contract.
pub(crate) const MOST_IDS: usize = 100;

/// Asks with one request whether these users exist, at most [`MOST_IDS`]. user-service is told the trace of the first.
pub(crate) async fn look_up(client: &Client, asked: &[(UserId, TraceContext)]) -> Verdicts {
    match asked {
        [] => Verdicts::new(),
        [(id, trace)] => [(*id, view(client, *id, trace).await)].into(),
        [(_, trace), ..] => list(client, asked.iter().map(|(id, _)| *id).collect(), trace).await,
    }
}

/// Succeeds if user-service has this user.
pub(crate) async fn view(client: &Client, id: UserId, trace: &TraceContext) -> Result<(), UserCheckError> {
    let client = client.traced(trace.headers());
    let user = client.user_view().user_id(id.get()).send().await.map_err(judge)?;
    if i64::try_from(user.id.get()) == Ok(id.get()) {
        Ok(())
    } else {
        Err(UserCheckError::InvalidResponse("it answered with another user".to_owned()))
    }
}

/// A list says who exists, no more: that somebody does not is only said of who was asked for alone.
async fn list(client: &Client, ids: Vec<UserId>, trace: &TraceContext) -> Verdicts {
    let client = client.traced(trace.headers());
    let text: Vec<String> = ids.iter().map(UserId::to_string).collect();
    match client.user_list().ids(text.join(",")).send().await.map_err(judge) {
        Ok(page) => {
            let listed: HashSet<_> = page.items.iter().filter_map(|user| i64::try_from(user.id.get()).ok()).collect();
            ids.into_iter().filter(|id| listed.contains(&id.get())).map(|id| (id, Ok(()))).collect()
        }
        // An earlier version does not know this question.
        Err(UserCheckError::InvalidResponse(_)) => Verdicts::new(),
        Err(error) => ids.into_iter().map(|id| (id, Err(error.clone()))).collect(),
    }
}

/// What a failed call says about the user.
fn judge(error: Error<types::Error>) -> UserCheckError {
    match error {
        Error::ErrorResponse(answer) => {
            match (answer.status(), answer.error_code.as_deref()) {
                (StatusCode::NOT_FOUND, Some(error_codes::USER_NOT_FOUND)) => UserCheckError::NotFound,
                // It was told how long it had.
                (StatusCode::SERVICE_UNAVAILABLE, Some(error_codes::DEADLINE_EXCEEDED)) => UserCheckError::Timeout,
                (status, _) => judge_status(status),
            }
        }
        Error::UnexpectedResponse(answer) => judge_status(answer.status()),
        Error::InvalidResponsePayload(_, error) => {
            // The error's category and place: its text could repeat what user-service wrote.
            let (what, line, column) = (error.classify(), error.line(), error.column());
            UserCheckError::InvalidResponse(format!("{what:?} error in its JSON at line {line}, column {column}"))
        }
        Error::CommunicationError(error) | Error::ResponseBodyError(error) => judge_fault(&error),
        error @ (Error::InvalidRequest(_) | Error::InvalidUpgrade(_) | Error::Custom(_)) => match Refusal::of(&error) {
            Some(Refusal::DeadlinePassed) => UserCheckError::Timeout,
            Some(refusal) => UserCheckError::Unavailable(refusal.to_string()),
            None => UserCheckError::Fault(error.to_string()),
        },
    }
}

fn judge_status(status: StatusCode) -> UserCheckError {
    let seen = format!("status {}", status.as_u16());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        UserCheckError::Unavailable(seen)
    } else {
        UserCheckError::InvalidResponse(seen)
    }
}

/// What a call says about the user that got no whole answer.
fn judge_fault(error: &reqwest::Error) -> UserCheckError {
    if error.is_timeout() {
        return UserCheckError::Timeout;
    }
    if is_http_parse_error(error) {
        return UserCheckError::InvalidResponse("it does not speak HTTP".to_owned());
    }
    // The innermost cause: "Connection refused" says more than "error sending request".
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    UserCheckError::Unavailable(cause.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use httpmock::{MockServer, When};
    use user_client::mock::{MockServerExt, operations::UserListThen};
    use user_client::policy::Settings;
    use user_client::reqwest::header::HeaderMap;
    use user_client::samples;

    use super::*;

    /// What is certain about the users with these ids.
    async fn verdicts(
        server: &MockServer,
        ids: impl IntoIterator<Item = i64>,
    ) -> Vec<Option<Result<(), UserCheckError>>> {
        // A loaded machine is no case of these tests.
        let (attempt_timeout, timeout) = (Duration::from_secs(60), Duration::from_secs(60));
        let settings = Settings { attempt_timeout, timeout, ..Settings::default() };
        let client = Client::connect(&server.base_url(), settings).unwrap();
        let asked: Vec<_> = ids.into_iter().map(|id| (id.try_into().unwrap(), trace_of(id))).collect();
        let verdicts = look_up(&client, &asked).await;
        asked.iter().map(|(id, _)| verdicts.get(id).cloned()).collect()
    }

    const EXISTS: Option<Result<(), UserCheckError>> = Some(Ok(()));

    fn trace_of(id: i64) -> TraceContext {
        TraceContext::of_request(&format!("{id:032x}"), &HeaderMap::new(), false)
    }

    /// Only a request that is told the trace of this user.
    fn told(when: When, id: i64) {
        when.header("traceparent", trace_of(id).headers()["traceparent"].to_str().unwrap());
    }

    fn user(id: i64) -> types::User {
        types::User::builder().id(id).email("user@example.com").name("John Doe").try_into().unwrap()
    }

    fn page(ids: impl IntoIterator<Item = i64>) -> types::UserPage {
        types::UserPage { items: ids.into_iter().map(user).collect(), next_page: None }
    }

    #[tokio::test]
    async fn many_are_asked_for_together() {
        let server = MockServer::start_async().await;
        let list = server.user_list(|when, then| {
            told(when.ids(&"2,3,5".parse::<types::UserIds>().unwrap()).into_inner(), 2);
            then.ok(&page([2, 3]));
        });
        assert_eq!(verdicts(&server, [2, 3, 5]).await, [EXISTS, EXISTS, None]);
        assert_eq!(list.calls(), 1);
        assert_eq!(verdicts(&server, []).await, []);
    }

    #[tokio::test]
    async fn who_is_alone_is_asked_for_alone() {
        let server = MockServer::start_async().await;
        server.user_view(|when, then| {
            told(when.user_id(&1.try_into().unwrap()).into_inner(), 1);
            then.ok(&user(1));
        });
        server.user_view(|_, then| {
            then.not_found(&samples::errors::user_not_found());
        });
        assert_eq!(verdicts(&server, [1]).await, [EXISTS]);
        assert_eq!(verdicts(&server, [7]).await, [Some(Err(UserCheckError::NotFound))]);
    }

    #[tokio::test]
    async fn a_hundred_fit_into_a_request() {
        let server = MockServer::start_async().await;
        let list = server.user_list(|_, then| {
            then.ok(&page(1..=100));
        });
        let longest = UserId::MAX - 99..=UserId::MAX;
        assert_eq!(verdicts(&server, 1..=100).await, vec![EXISTS; 100]);
        assert_eq!(verdicts(&server, longest).await, vec![None; 100]);
        assert_eq!(list.calls(), 2);
    }

    #[tokio::test]
    async fn an_answer_to_another_question_makes_nothing_certain() {
        let answers: [fn(UserListThen); 6] = [
            |then| drop(then.bad_request(&samples::errors::invalid_request())),
            |then| drop(then.into_inner().status(404).body("Not Found")),
            |then| drop(then.into_inner().status(404).json_body_obj(&samples::errors::user_not_found())),
            |then| drop(then.into_inner().status(200).json_body_obj(&user(1))),
            |then| drop(then.ok(&page([]))),
            // The first of all users, whoever is asked for.
            |then| drop(then.ok(&page([8, 9]))),
        ];
        for (number, answer) in answers.into_iter().enumerate() {
            let server = MockServer::start_async().await;
            let list = server.user_list(|_, then| answer(then));
            assert_eq!(verdicts(&server, [1, 7]).await, [None, None], "{number}");
            assert_eq!(list.calls(), 1, "{number}");
        }
    }

    #[tokio::test]
    async fn a_service_that_cannot_answer_cannot_for_anybody() {
        let server = MockServer::start_async().await;
        server.user_list(|_, then| {
            then.internal_server_error(&samples::errors::internal_error());
        });
        let unavailable = Some(Err(UserCheckError::Unavailable("status 500".to_owned())));
        assert_eq!(verdicts(&server, [1, 7]).await, [unavailable.clone(), unavailable]);
    }
}
