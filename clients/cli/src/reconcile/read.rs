//! Reads a snapshot from the services.

use std::future::Future;

use clap::ArgMatches;
use client_policy::Policy;
use futures::TryStreamExt as _;
use progenitor_client::Error;
use serde::Serialize;

use super::snapshot::{Charge, Order, Payment, Product, Reservation, Snapshot};
use crate::connection::Connection;
use crate::output::{Exit, Printer};

/// The length of a page: the longest that the services have.
const PAGE: u64 = 1000;

/// Reads everything from all services at the same time. Prints which of them do not answer.
pub(super) async fn snapshot(matches: &ArgMatches, with_ledger: bool) -> Result<Snapshot, Exit> {
    let orders = read("order-service", matches, |url, http| async move {
        let client = order_client::Client::new_with_client(&url, http, Policy::none());
        client.order_list().limit(PAGE).stream().map_ok(Order::from).try_collect().await
    });
    let payments = read("payment-service", matches, |url, http| async move {
        let client = payment_client::Client::new_with_client(&url, http, Policy::none());
        client.payment_list().limit(PAGE).stream().map_ok(Payment::from).try_collect().await
    });
    let stock = read("product-service", matches, |url, http| async move {
        let client = product_client::Client::new_with_client(&url, http, Policy::none());
        tokio::try_join!(
            client.reservation_list().limit(PAGE).stream().map_ok(Reservation::from).try_collect(),
            client.product_list().limit(PAGE).stream().map_ok(Product::from).try_collect()
        )
    });
    let charges = async {
        if !with_ledger {
            return Ok(None);
        }
        let charges = read("payment-provider", matches, |url, http| async move {
            let client = payment_provider_client::Client::new_with_client(&url, http, Policy::none());
            client.charge_list().limit(PAGE).stream().map_ok(Charge::from).try_collect().await
        });
        charges.await.map(Some)
    };
    let (orders, payments, stock, charges) = tokio::join!(orders, payments, stock, charges);
    let (reservations, products) = stock?;
    Ok(Snapshot { orders: orders?, payments: payments?, reservations, products, charges: charges? })
}

/// What `call` reads from `service`, with its address and an HTTP client.
async fn read<T, E: Serialize, F>(
    service: &str,
    matches: &ArgMatches,
    call: impl FnOnce(String, reqwest::Client) -> F,
) -> Result<T, Exit>
where
    F: Future<Output = Result<T, Error<E>>>,
{
    let connection = Connection::new(service, matches);
    let Connection { url, timeout_ms } = &connection;
    let printer = Printer::new(service, url, *timeout_ms, connection.proxy_variable());
    let http = connection.client().map_err(|error| printer.fault(Exit::Fault, &error.to_string()))?;
    call(url.clone(), http).await.map_err(|error| {
        printer.error(&error);
        printer.exit()
    })
}
