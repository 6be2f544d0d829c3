//! payment-service: has orders paid.
//!
//! `events` handles what order-service publishes, `store` (all SQL) keeps payments, refunds and what the provider is to be
//! asked for, and `caller` asks one of the `providers`. Requests pass `http` and `payments`. `payment-service-api` is the
//! contract.

mod caller;
mod events;
mod http;
mod metrics;
mod payments;
mod providers;
mod settings;
pub mod store;
mod stripe_event;

use std::sync::Arc;
use std::time::Duration;

use clap::Args as _;
use service_runtime::{Service, migrations};
use slog::{Logger, warn};
use tokio::sync::watch;

use crate::caller::Caller;
use crate::events::OrderEvents;
use crate::metrics::Metrics;
use crate::payments::Payments;
use crate::settings::Settings;
use crate::store::{PaymentStore, TaskKind, Turn};

/// The time between two measurements of what waits.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// payment-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Has the orders of the Orders & Notifications Platform paid.",
    document: include_str!("../../../openapi/payment-service.json"),
    events: Some(include_str!("../../../openapi/events/payment-service.json")),
    settings: Some(Settings::augment_args),
    migrations: migrations!["0001_create_payments"],
    serve: |mut parts| {
        let settings: Settings = parts.settings()?;
        let webhook_secret = settings.webhook_secret()?;
        let store = PaymentStore::new(parts.database.clone(), parts.outbox()?, parts.inbox());
        let (stored, _) = watch::channel(());
        let events = OrderEvents::new(store.clone(), stored.clone(), parts.log().clone());
        parts.handle_events(order_events::TYPES, move |message| {
            let events = events.clone();
            async move { order_events::dispatch(&events, &message).await }
        });
        let metrics = Metrics::new(parts.metrics());
        parts.run_in_background(measure(store.clone(), metrics.clone(), parts.log().clone()));
        let provider = providers::configured(&mut parts, &settings)?;
        let caller = Arc::new(Caller { store: store.clone(), provider, metrics, log: parts.log().clone() });
        for turn in [Turn::First, Turn::Again] {
            let (caller, stored) = (caller.clone(), stored.subscribe());
            parts.run_until_stop(|stop| caller.run(turn, stored, stop));
        }
        let payments = Payments::new(store, parts.keys.clone(), stored, webhook_secret);
        parts.serve(http::api(), payments)
    },
};

/// Measures what waits, for ever.
async fn measure(store: PaymentStore, metrics: Metrics, log: Logger) {
    loop {
        match store.waiting().await {
            Ok(waiting) => {
                for kind in TaskKind::ALL {
                    metrics.waiting(kind, waiting.get(kind.as_str()).copied().unwrap_or_default());
                }
            }
            Err(error) => warn!(log, "waiting payments not measured"; "error" => error.to_string()),
        }
        tokio::time::sleep(MEASURE_INTERVAL).await;
    }
}
