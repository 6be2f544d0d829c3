//! Calls that the policy refuses without an attempt.

use std::fmt;

use progenitor_client::Error;
use reqwest::StatusCode;

use crate::Outcome;

/// Why a call was refused without an attempt. The call fails with an [`Error::Custom`] that holds this text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The service has been failing; only one probe a second is sent.
    CircuitOpen,
    /// The maximum number of attempts was in flight, and none ended in time.
    TooManyCalls,
    /// The caller's deadline had passed.
    DeadlinePassed,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::CircuitOpen, Self::TooManyCalls, Self::DeadlinePassed];

    /// The refusal behind an error; `None` if the call failed for another reason.
    pub fn of<E>(error: &Error<E>) -> Option<Self> {
        match error {
            Error::Custom(text) => Self::ALL.into_iter().find(|refusal| refusal.as_str() == text),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "the circuit is open: the service has been failing",
            Self::TooManyCalls => "too many calls to the service are under way",
            Self::DeadlinePassed => "the deadline passed before the service could be asked",
        }
    }

    /// The refusal that the outcome of [`Policy::exec`](crate::Policy::exec) stands for.
    pub fn of_outcome(outcome: &reqwest::Result<reqwest::Response>) -> Option<Self> {
        outcome.as_ref().ok()?.extensions().get().copied()
    }

    /// An answer that stands for the refusal until the client turns it into an [`Error::Custom`]: progenitor's hook can only
    /// return reqwest's types. The extension marks it; no peer can set one.
    pub(crate) fn into_outcome(self) -> Outcome {
        let mut stand_in = http::Response::new("");
        *stand_in.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        stand_in.extensions_mut().insert(self);
        Ok(stand_in.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Refusal {}
