//! Calls that the policy itself refuses.

use std::fmt;

use reqwest::StatusCode;

use crate::Error;

/// Why a call was refused without an attempt. Such a call is an [`Error::Custom`] with this as its text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The dependency is failing; it is tried once a second.
    CircuitOpen,
    /// As many attempts were under way as are allowed, and none ended in time.
    TooManyCalls,
    /// The caller's deadline had passed.
    DeadlinePassed,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::CircuitOpen, Self::TooManyCalls, Self::DeadlinePassed];

    /// The refusal that an error is; `None` if the call failed otherwise.
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

    /// What stands in place of an outcome: an answer would be taken for the service's own, and an error
    /// of reqwest, which can only be made of a body that fails, for a failed attempt. It leaves the
    /// client as an error, by [`Self::in_place_of`]; that it is none of the service's answers is known by an extension,
    /// which nothing on the wire can set.
    pub(super) fn into_outcome(self) -> reqwest::Result<reqwest::Response> {
        let mut stand_in = http::Response::new("");
        *stand_in.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        stand_in.extensions_mut().insert(self);
        Ok(stand_in.into())
    }

    pub(crate) fn in_place_of(outcome: &reqwest::Result<reqwest::Response>) -> Option<Self> {
        outcome.as_ref().ok()?.extensions().get().copied()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Refusal {}
