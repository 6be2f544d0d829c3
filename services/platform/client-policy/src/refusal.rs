//! Calls that the policy refuses without an attempt.

use progenitor_client::Error;
use reqwest::StatusCode;

use crate::Outcome;

/// Why a call was refused without an attempt. The call fails with an [`Error::Custom`] that holds this text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The service has been failing; only one probe a second is sent.
    #[error("the circuit is open: the service has been failing")]
    CircuitOpen,
    /// The maximum number of attempts was in flight, and none ended in time.
    #[error("too many calls to the service are under way")]
    TooManyCalls,
    /// The caller's deadline had passed.
    #[error("the deadline passed before the service could be asked")]
    DeadlinePassed,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::CircuitOpen, Self::TooManyCalls, Self::DeadlinePassed];

    /// The refusal behind an error; `None` if the call failed for another reason.
    pub fn of<E>(error: &Error<E>) -> Option<Self> {
        match error {
            Error::Custom(text) => Self::ALL.into_iter().find(|refusal| refusal.to_string() == *text),
            _ => None,
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
