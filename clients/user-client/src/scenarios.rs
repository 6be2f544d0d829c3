//! user-service on a bad day, for tests of what depends on it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use user_client::{Client, scenarios::Scenarios};
//!
//! let users = httpmock::MockServer::start();
//! users.down();
//!
//! let error = Client::plain(&users.base_url()).user_view().user_id(1).send().await.unwrap_err();
//! assert_eq!(error.status().map(|status| status.as_u16()), Some(503));
//! # }
//! ```

use std::time::Duration;

use httpmock::{Mock, MockServer};

use crate::mock::MockServerExt;
use crate::samples;

/// Ways in which user-service can fail those who depend on it.
///
/// httpmock answers with the mock that was made first: make the special cases before the general ones.
pub trait Scenarios {
    /// Every request is answered with 503, as by a proxy in front of a service that is away.
    fn down(&self) -> Mock<'_>;

    /// Reading a user succeeds, but only after `delay`.
    fn slow(&self, delay: Duration) -> Mock<'_>;

    /// Nobody has the id that is read: 404 with `user_not_found`.
    fn unknown_user(&self) -> Mock<'_>;

    /// Every request is answered with 200 and a body that is no user, which the contract does not allow.
    fn nonsense(&self) -> Mock<'_>;
}

impl Scenarios for MockServer {
    fn down(&self) -> Mock<'_> {
        self.mock(|_, then| {
            then.status(503).header("content-type", "text/html").body("<h1>503 Service Unavailable</h1>");
        })
    }

    fn slow(&self, delay: Duration) -> Mock<'_> {
        self.user_view(|_, then| {
            then.ok(&samples::user_view()).into_inner().delay(delay);
        })
    }

    fn unknown_user(&self) -> Mock<'_> {
        self.user_view(|_, then| {
            then.not_found(&samples::errors::user_not_found());
        })
    }

    fn nonsense(&self) -> Mock<'_> {
        self.mock(|_, then| {
            then.status(200).header("content-type", "application/json").body(r#"{"nonsense": true}"#);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::{Client, Error, error_codes};

    async fn outcome(server: &MockServer) -> Result<u16, Error<crate::types::Error>> {
        let http = reqwest::Client::builder().timeout(Duration::from_millis(200)).build().unwrap();
        let client = Client::new_with_client(&server.base_url(), http, Policy::none());
        client.user_view().user_id(1).send().await.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn each_scenario_is_met_by_the_client_as_it_says() {
        let down = MockServer::start();
        down.down();
        assert_eq!(outcome(&down).await.unwrap_err().status().map(|status| status.as_u16()), Some(503));

        let slow = MockServer::start();
        slow.slow(Duration::from_secs(60));
        assert!(matches!(outcome(&slow).await, Err(Error::CommunicationError(error)) if error.is_timeout()));

        let patient = MockServer::start();
        patient.slow(Duration::ZERO);
        assert_eq!(outcome(&patient).await.unwrap(), 200);

        let unknown = MockServer::start();
        unknown.unknown_user();
        let Err(Error::ErrorResponse(error)) = outcome(&unknown).await else { panic!("no error of the contract") };
        assert_eq!(error.error_code.as_deref(), Some(error_codes::USER_NOT_FOUND));

        let nonsense = MockServer::start();
        nonsense.nonsense();
        assert!(matches!(outcome(&nonsense).await, Err(Error::InvalidResponsePayload(..))));
    }
}
