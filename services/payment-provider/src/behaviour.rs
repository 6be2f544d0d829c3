//! What a payment method makes of a request: the table in the contract of `charge_create`.

use std::fmt::Display;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::time::Duration;

use payment_provider_api::{ChargeStatus, PaymentMethod};
use slog::{Logger, warn};

use crate::store::Stored;

/// How long after its first request something late is done.
const DELAY: Duration = Duration::from_secs(3);

/// How the provider behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// As it should.
    Correct,
    /// It declines the charge.
    Declines,
    /// It takes [`DELAY`].
    Late,
    /// It does nothing, and does not answer.
    Hangs,
    /// It fails the first time.
    FailsOnce,
    /// The answer to the first request is lost.
    LosesAnswer,
    /// It executes a request twice at the same time.
    ExecutesTwice,
}

/// Something that the ledger does at most once, however often it is run.
pub(crate) trait Operation: Send + Sync + 'static {
    type Output: Send + 'static;
    type Error: Display + Send + 'static;

    /// Whether it has been done, or need not be done any more.
    fn is_done(&self) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Does it, unless it is done already.
    fn run(&self) -> impl Future<Output = Result<Stored<Self::Output>, Self::Error>> + Send;
}

impl Behaviour {
    /// The behaviour for a payment method.
    pub(crate) fn of(payment_method: Option<&PaymentMethod>) -> Self {
        match payment_method.map(PaymentMethod::as_str) {
            None | Some("tok_ok") => Self::Correct,
            Some("tok_late") => Self::Late,
            Some("tok_hang") => Self::Hangs,
            Some("tok_fail_once") => Self::FailsOnce,
            Some("tok_charged_but_lost") => Self::LosesAnswer,
            Some("tok_twice") => Self::ExecutesTwice,
            Some(_) => Self::Declines,
        }
    }

    /// The status of a charge that is not cancelled.
    pub(crate) fn status(self) -> ChargeStatus {
        match self {
            Self::Declines => ChargeStatus::Declined,
            _ => ChargeStatus::Succeeded,
        }
    }

    /// Does `operation` late, without an answer or twice, if that is the behaviour.
    pub(crate) async fn execute<O: Operation>(self, operation: O, log: &Logger) -> Result<O::Output, O::Error> {
        let done = match self {
            Self::Late => execute_late(operation, log.clone()).await?,
            Self::LosesAnswer => {
                let done = operation.run().await?;
                if done.is_new {
                    return pending().await;
                }
                done
            }
            Self::ExecutesTwice => tokio::join!(operation.run(), operation.run()).1?,
            Self::Correct | Self::Declines | Self::Hangs | Self::FailsOnce => operation.run().await?,
        };
        Ok(done.value)
    }
}

/// Runs `operation` after [`DELAY`], at once if it is done already. It is run even if its request has ended by then.
async fn execute_late<O: Operation>(operation: O, log: Logger) -> Result<Stored<O::Output>, O::Error> {
    let late = async move {
        if !operation.is_done().await? {
            tokio::time::sleep(DELAY).await;
        }
        operation.run().await
    };
    let task = tokio::spawn(async move {
        let outcome = late.await;
        if let Err(error) = &outcome {
            warn!(log, "late request failed"; "error" => error.to_string());
        }
        outcome
    });
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            // The request guard catches it, as that of any request.
            Ok(panic) => resume_unwind(panic),
            // The process is ending.
            Err(_) => std::future::pending().await,
        },
    }
}
