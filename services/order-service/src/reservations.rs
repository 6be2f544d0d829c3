//! The reservations of orders that are being placed. Once an order is placed, events settle its reservation.

use std::sync::Arc;
use std::time::Duration;

use client_policy::Failure;
use order_service_api::{OrderItem, OrderItemCreate};
use service_runtime::guard::RequestScope;
use slog::info;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::dependencies::products::{Products, ReserveError};

/// The time limit of a release, which no request waits for.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// The reservations at product-service. Clones share them.
#[derive(Clone)]
pub(crate) struct Reservations(Arc<Products>);

/// A reservation for an order that is not placed yet. Unless it is [kept](Self::keep), it is released when it is dropped,
/// as when its request is given up.
pub(crate) struct Hold {
    id: Uuid,
    reservations: Reservations,
    request: RequestScope,
    /// Whether there is something to release, as far as this knows.
    held: bool,
}

impl Reservations {
    pub(crate) fn new(products: Products) -> Self {
        Self(Arc::new(products))
    }

    /// A new reservation. Its id is random: a request that is repeated makes another one, so that none can be released by an
    /// attempt that is given up while a later one relies on it.
    pub(crate) fn hold(&self, request: &RequestScope) -> Hold {
        Hold { id: Uuid::new_v4(), reservations: self.clone(), request: request.clone(), held: false }
    }

    /// Releases a reservation in the background. If that fails, it expires by itself.
    pub(crate) fn release(&self, id: Uuid, request: &RequestScope) {
        // Without a runtime the process is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let (products, scope) = (self.0.clone(), request.outlived_by(RELEASE_TIMEOUT));
        runtime.spawn(async move {
            if let Err(failure) = products.release(id, &scope).await {
                info!(scope.log, "reservation left to expire"; "reservation_id" => id.to_string(), "error" => describe(&failure));
            }
        });
    }
}

impl Hold {
    /// Reserves `items`, and returns them with their names and prices.
    pub(crate) async fn reserve(&mut self, items: &[OrderItemCreate]) -> Result<Vec<OrderItem>, ReserveError> {
        // Even without an answer it may be reserved.
        self.held = true;
        let outcome = self.reservations.0.reserve(self.id, items, &self.request).await;
        if let Err(ReserveError::UnknownProducts(_) | ReserveError::InsufficientStock(_)) = &outcome {
            self.held = false;
        }
        outcome
    }

    /// Leaves it to the caller, or to its order, what becomes of the reservation. Returns its id.
    pub(crate) fn keep(mut self) -> Uuid {
        self.held = false;
        self.id
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.held {
            self.reservations.release(self.id, &self.request);
        }
    }
}

/// A failure for the log; it repeats nothing that the other service wrote.
pub(crate) fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Answered { status, .. } => format!("status {}", status.as_u16()),
        Failure::Unavailable(cause) => format!("unavailable: {cause}"),
        Failure::Timeout => "no answer in time".to_owned(),
        Failure::InvalidResponse(cause) => format!("invalid response: {cause}"),
        Failure::Fault(cause) => cause.clone(),
    }
}
