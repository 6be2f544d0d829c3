//! notification-service: tells users what happens to them and their orders.
//!
//! `events` handles what other services publish, `plan` says what is sent on which channel, `store` (all SQL) keeps it, and
//! `sender` sends it: it asks `dependencies` for the address, has `message` and `render` write the text, and hands it to one
//! of the `outlets`. Requests pass `http` and `notifications`. `notification-service-api` is the contract.

mod dependencies;
mod events;
mod http;
mod message;
mod metrics;
mod notifications;
mod outage;
mod outcome;
mod outlets;
mod plan;
mod render;
mod sender;
mod settings;
pub mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args as _;
use notification_service_api::Channel;
use service_runtime::{Service, migrations};
use slog::{Logger, o, warn};
use tokio::sync::watch;

use crate::dependencies::users::{self, Users};
use crate::events::Events;
use crate::message::Writer;
use crate::metrics::Metrics;
use crate::notifications::Notifications;
use crate::outlets::Outlet;
use crate::render::Templates;
use crate::sender::Sender;
use crate::settings::Settings;
use crate::store::NotificationStore;

/// The time between two measurements of what waits.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// notification-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Notifies the users of the Orders & Notifications Platform by e-mail and SMS.",
    document: include_str!("../../../openapi/notification-service.json"),
    events: None,
    settings: Some(Settings::augment_args),
    migrations: migrations!["0001_create_notifications"],
    serve: |mut parts| {
        let settings: Settings = parts.settings()?;
        let store = NotificationStore::new(parts.database.clone(), parts.inbox());
        let (queued, _) = watch::channel(());
        let events = Events::new(store.clone(), queued.clone());
        let of_users = events.clone();
        parts.handle_events(user_events::TYPES, move |message| {
            let events = of_users.clone();
            async move { user_events::dispatch(&events, &message).await }
        });
        let of_orders = events.clone();
        parts.handle_events(order_events::TYPES, move |message| {
            let events = of_orders.clone();
            async move { order_events::dispatch(&events, &message).await }
        });
        parts.handle_events(payment_events::TYPES, move |message| {
            let events = events.clone();
            async move { payment_events::dispatch(&events, &message).await }
        });
        let metrics = Metrics::new(parts.metrics());
        parts.run_in_background(measure(store.clone(), metrics.clone(), parts.log().clone()));
        let users = Arc::new(Users::new(parts.dependency("user-service", users::MAX_RESPONSE_BYTES)?));
        let per_second = settings.messages_per_second;
        let writer = Arc::new(Writer::new(Templates::new()?, settings.smtp_from.clone()));
        let directory = parts.data_directory().join("messages");
        let outlets = Outlet::of_channels(settings, writer.domain(), &directory, parts.log())?;
        for (channel, outlet) in outlets {
            let sender = Sender {
                channel,
                calls: parts.outside_calls(outlet.name()),
                outlet,
                store: store.clone(),
                users: users.clone(),
                writer: writer.clone(),
                metrics: metrics.clone(),
                outage: Mutex::default(),
                lookup_outage: Mutex::default(),
                log: parts.log().new(o!("channel" => channel.as_str())),
            };
            let queued = queued.subscribe();
            parts.run_until_stop(|stop| sender.run(per_second, queued, stop));
        }
        parts.serve(http::api(), Notifications::new(store))
    },
};

/// Measures what waits, for ever.
async fn measure(store: NotificationStore, metrics: Metrics, log: Logger) {
    loop {
        match store.backlog().await {
            Ok(backlog) => {
                for channel in Channel::ALL {
                    metrics.backlog(channel, backlog.get(channel.as_str()).copied().unwrap_or_default());
                }
            }
            Err(error) => warn!(log, "queue of notifications not measured"; "error" => error.to_string()),
        }
        tokio::time::sleep(MEASURE_INTERVAL).await;
    }
}
