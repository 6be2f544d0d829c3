//! payment-provider as its clients see it: real HTTP, through the generated client, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::time::Duration;

use futures::future::join_all;
use payment_provider::SERVICE;
use payment_provider_client::policy::Policy;
use payment_provider_client::types::{self, ChargeStatus};
use payment_provider_client::{Client, Error, ResponseValue};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use uuid::Uuid;

type Outcome<T> = Result<ResponseValue<T>, Error<types::Error>>;

/// A running instance of the service.
struct Instance {
    client: Client,
    server: Server,
    log: CapturedLog,
}

async fn start(database: &TestDatabase) -> Instance {
    start_with_timeout(database, 10_000).await
}

/// An instance that gives requests up after `request_timeout_ms`.
async fn start_with_timeout(database: &TestDatabase, request_timeout_ms: u32) -> Instance {
    let mut config = config_of(&SERVICE, &database.url, &[]);
    config.limits.request_timeout_ms = request_timeout_ms;
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    // Only the service has a time limit.
    let client = Client::new_with_client(&server.url(), reqwest::Client::new(), Policy::none());
    Instance { client, server, log }
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

fn money(amount: i64) -> types::Money {
    types::Money { amount: amount.into(), currency: "EUR".parse().unwrap() }
}

/// Charges 1998 to `payment_method`.
async fn charge(client: &Client, id: &str, payment_method: &str) -> Outcome<types::Charge> {
    let body = types::ChargeCreate {
        charge_id: id.parse().unwrap(),
        amount: money(1998),
        payment_method: Some(payment_method.parse().unwrap()),
        reference: "orders/1".parse().unwrap(),
    };
    client.charge_create().body(body).send().await
}

async fn view(client: &Client, id: &str) -> Outcome<types::Charge> {
    client.charge_view().charge_id(id).send().await
}

async fn cancel(client: &Client, id: &str) -> types::Charge {
    client.charge_cancel().charge_id(id).send().await.unwrap().into_inner()
}

async fn refund(client: &Client, charge_id: &str, id: &str, amount: i64) -> Outcome<types::Refund> {
    let body = types::RefundCreate { refund_id: id.parse().unwrap(), amount: money(amount) };
    client.refund_create().charge_id(charge_id).body(body).send().await
}

fn refunded(charge: &types::Charge) -> i64 {
    charge.refunded.get()
}

fn status_and_code<T: std::fmt::Debug>(outcome: Outcome<T>) -> (u16, String) {
    match outcome {
        Err(Error::ErrorResponse(error)) => (error.status().as_u16(), error.error_code.clone().unwrap_or_default()),
        other => panic!("not an error of the contract: {other:?}"),
    }
}

fn no_answer() -> (u16, String) {
    (503, "deadline_exceeded".to_owned())
}

/// The charge, once it is stored and `is_expected`.
async fn wait_for(client: &Client, id: &str, is_expected: impl Fn(&types::Charge) -> bool) -> types::Charge {
    for _ in 0..1000 {
        if let Ok(charge) = view(client, id).await
            && is_expected(&charge)
        {
            return charge.into_inner();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the charge does not become what it should");
}

on_both_databases! {
    async fn what_is_made_can_be_read_at_its_location(database: TestDatabase) {
        let Instance { client, server, .. } = start(&database).await;
        let charge_id = id();
        let made = charge(&client, &charge_id, "tok_ok").await.unwrap();
        let location = made.headers()["location"].to_str().unwrap();
        let read = reqwest::get(format!("{}{location}", server.url())).await.unwrap();
        assert_eq!(read.json::<types::Charge>().await.unwrap(), *made);
        let made = refund(&client, &charge_id, &id(), 500).await.unwrap();
        let location = made.headers()["location"].to_str().unwrap();
        let read = reqwest::get(format!("{}{location}", server.url())).await.unwrap();
        assert_eq!(read.json::<types::Refund>().await.unwrap(), *made);
        let elsewhere = client.refund_view().charge_id(id()).refund_id(made.refund_id.clone()).send().await;
        assert_eq!(status_and_code(elsewhere), (404, "refund_not_found".to_owned()));
    }

    async fn a_list_has_every_charge_once_whatever_the_limit(database: TestDatabase) {
        let instance = start(&database).await;
        let client = &instance.client;
        let ids = [id(), id(), id()];
        for id in &ids {
            charge(client, id, "tok_ok").await.unwrap();
        }
        cancel(client, &id()).await;
        for limit in [1, 2, 3] {
            let mut page = client.charge_list().limit(limit).reference("orders/1").send().await.unwrap().into_inner();
            let mut listed = Vec::new();
            loop {
                listed.extend(page.items.iter().map(|charge| charge.charge_id.to_string()));
                let Some(token) = page.next_page else { break };
                page = client.charge_list().page_token(token).send().await.unwrap().into_inner();
            }
            assert!(listed.iter().eq(ids.iter().rev()), "limit {limit}: {listed:?}");
        }
    }

    async fn a_page_token_refuses_another_reference(database: TestDatabase) {
        let instance = start(&database).await;
        let client = &instance.client;
        for id in [id(), id()] {
            charge(client, &id, "tok_ok").await.unwrap();
        }
        let first = client.charge_list().limit(1).reference("orders/1").send().await.unwrap();
        let token = first.next_page.clone().unwrap();
        let next = client.charge_list().page_token(&token).reference("orders/1").send().await.unwrap();
        assert_eq!(next.items.len(), 1);
        let other = client.charge_list().page_token(&token).reference("orders/2").send().await;
        assert_eq!(status_and_code(other), (400, "invalid_page_token".to_owned()));
    }

    async fn the_payment_method_decides_the_status(database: TestDatabase) {
        let instance = start(&database).await;
        let client = &instance.client;
        for (payment_method, status) in [
            ("tok_ok", ChargeStatus::Succeeded),
            ("tok_twice", ChargeStatus::Succeeded),
            ("tok_declined", ChargeStatus::Declined),
            ("tok_OK", ChargeStatus::Declined),
            ("4111111111111111", ChargeStatus::Declined),
        ] {
            let id = id();
            let made = charge(client, &id, payment_method).await.unwrap().into_inner();
            assert_eq!(made.status, status, "{payment_method}");
            assert_eq!(charge(client, &id, payment_method).await.unwrap().into_inner(), made, "{payment_method}");
        }
        assert_eq!(client.charge_list().send().await.unwrap().items.len(), 5);
    }

    async fn concurrent_equal_requests_make_one_charge(database: TestDatabase) {
        let instances = [start(&database).await, start(&database).await];
        for payment_method in ["tok_ok", "tok_twice"] {
            let id = id();
            let made = (0..20).map(|number| charge(&instances[number % 2].client, &id, payment_method));
            let made: Vec<_> = join_all(made).await.into_iter().map(|made| made.unwrap().into_inner()).collect();
            assert!(made.iter().all(|other| *other == made[0]), "{made:?}");
        }
        assert_eq!(instances[0].client.charge_list().send().await.unwrap().items.len(), 2);
    }

    async fn a_charge_and_its_cancellation_agree(database: TestDatabase) {
        let instances = [start(&database).await, start(&database).await];
        for number in 0..20 {
            let id = id();
            let (one, other) = (&instances[number % 2].client, &instances[number / 2 % 2].client);
            let (charged, cancelled) = tokio::join!(charge(one, &id, "tok_ok"), cancel(other, &id));
            let (charged, stored) = (charged.unwrap().into_inner(), view(one, &id).await.unwrap().into_inner());
            assert_eq!((charged.status, &charged), (cancelled.status, &stored));
        }
    }

    async fn refunds_never_exceed_the_charge(database: TestDatabase) {
        let instances = [start(&database).await, start(&database).await];
        for payment_method in ["tok_ok", "tok_twice"] {
            let charge_id = id();
            charge(&instances[0].client, &charge_id, payment_method).await.unwrap();
            let ids: Vec<String> = (0..10).map(|_| id()).collect();
            let client = |number: usize| &instances[number % 2].client;
            let refunds = ids.iter().enumerate().map(|(number, id)| refund(client(number), &charge_id, id, 500));
            let (made, refused): (Vec<_>, Vec<_>) = join_all(refunds).await.into_iter().partition(Result::is_ok);
            assert_eq!((made.len(), refused.len()), (3, 7));
            for outcome in refused {
                assert_eq!(status_and_code(outcome), (422, "refund_too_large".to_owned()));
            }
            let first = made[0].as_ref().unwrap();
            let again = refund(client(0), &charge_id, &first.refund_id, 500).await.unwrap();
            assert_eq!(*again, **first);
            assert_eq!(refunded(&view(client(0), &charge_id).await.unwrap()), 1500);
        }
    }

    async fn nothing_is_refunded_of_nothing(database: TestDatabase) {
        let instance = start(&database).await;
        let client = &instance.client;
        let charge_id = id();
        charge(client, &charge_id, "tok_ok").await.unwrap();
        match refund(client, &charge_id, &id(), 0).await {
            Err(Error::ErrorResponse(error)) => {
                assert_eq!(error.error_code.as_deref(), Some("refund_too_large"));
                assert_eq!(error.message, "The charge has 1998 EUR in the smallest unit left to refund");
            }
            other => panic!("{other:?}"),
        }
        let cancelled = id();
        cancel(client, &cancelled).await;
        match refund(client, &cancelled, &id(), 1).await {
            Err(Error::ErrorResponse(error)) => {
                assert_eq!(error.error_code.as_deref(), Some("charge_not_refundable"));
                assert_eq!(error.message, "A charge that is cancelled cannot be refunded");
            }
            other => panic!("{other:?}"),
        }
    }

    async fn tok_hang_has_no_answer_and_makes_no_charge(database: TestDatabase) {
        let (instance, impatient) = (start(&database).await, start_with_timeout(&database, 50).await);
        let client = &instance.client;
        let id = id();
        assert_eq!(status_and_code(charge(&impatient.client, &id, "tok_hang").await), no_answer());
        assert_eq!(status_and_code(view(client, &id).await), (404, "charge_not_found".to_owned()));
        assert_eq!(cancel(client, &id).await.status, ChargeStatus::Cancelled);
    }

    async fn tok_fail_once_fails_once(database: TestDatabase) {
        let instances = [start(&database).await, start(&database).await];
        let charge_id = id();
        let first = charge(&instances[0].client, &charge_id, "tok_fail_once").await;
        assert_eq!(status_and_code(first), (503, "provider_failed".to_owned()));
        let viewed = view(&instances[0].client, &charge_id).await;
        assert_eq!(status_and_code(viewed), (404, "charge_not_found".to_owned()));
        for Instance { client, .. } in &instances {
            let made = charge(client, &charge_id, "tok_fail_once").await.unwrap();
            assert_eq!(made.status, ChargeStatus::Succeeded);
        }
        refund(&instances[0].client, &charge_id, &id(), 1998).await.unwrap();
    }

    async fn tok_charged_but_lost_answers_only_the_second_request(database: TestDatabase) {
        let instance = start(&database).await;
        let client = &instance.client;
        let (charge_id, refund_id) = (id(), id());
        let second = async {
            let stored = wait_for(client, &charge_id, |_| true).await;
            let made = charge(client, &charge_id, "tok_charged_but_lost").await.unwrap();
            assert_eq!((made.status, &*made), (ChargeStatus::Succeeded, &stored));
        };
        tokio::select! {
            first = charge(client, &charge_id, "tok_charged_but_lost") => panic!("{first:?}"),
            () = second => {}
        }
        let second = async {
            wait_for(client, &charge_id, |charge| refunded(charge) == 500).await;
            refund(client, &charge_id, &refund_id, 500).await.unwrap();
        };
        tokio::select! {
            first = refund(client, &charge_id, &refund_id, 500) => panic!("{first:?}"),
            () = second => {}
        }
        assert_eq!(refunded(&view(client, &charge_id).await.unwrap()), 500);
        assert_eq!(client.charge_list().send().await.unwrap().items.len(), 1);
    }

    async fn tok_late_is_done_after_its_request_was_given_up(database: TestDatabase) {
        let (instance, impatient) = (start(&database).await, start_with_timeout(&database, 50).await);
        let client = &instance.client;
        let (made, cancelled, refund_id) = (id(), id(), id());
        for id in [&made, &cancelled] {
            assert_eq!(status_and_code(charge(&impatient.client, id, "tok_late").await), no_answer());
        }
        let before = cancel(client, &cancelled).await;
        assert_eq!((before.status, before.amount), (ChargeStatus::Cancelled, None));
        // Meanwhile it is requested again.
        let again = charge(client, &made, "tok_late").await.unwrap().into_inner();
        assert_eq!((again.status, &again), (ChargeStatus::Succeeded, &wait_for(client, &made, |_| true).await));
        // The late request has found it.
        let after = wait_for(client, &cancelled, |charge| charge.amount.is_some()).await;
        assert_eq!((after.status, after.created_at), (ChargeStatus::Cancelled, before.created_at));
        assert_eq!(charge(client, &cancelled, "tok_late").await.unwrap().into_inner(), after);
        assert_eq!(client.charge_list().send().await.unwrap().items.len(), 2);
        let (one, other) =
            tokio::join!(refund(client, &made, &refund_id, 500), refund(client, &made, &refund_id, 500));
        assert_eq!(*one.unwrap(), *other.unwrap());
        assert_eq!(refunded(&view(client, &made).await.unwrap()), 500);
    }

    async fn the_log_has_every_change_once_and_no_payment_method(database: TestDatabase) {
        let Instance { client, server, log } = start(&database).await;
        let (made, refund_id) = (id(), id());
        for _ in 0..2 {
            charge(&client, &made, "tok_twice").await.unwrap();
            refund(&client, &made, &refund_id, 500).await.unwrap();
            cancel(&client, &made).await;
        }
        let (declined, cancelled) = (id(), id());
        for _ in 0..2 {
            charge(&client, &declined, "tok_declined").await.unwrap();
            cancel(&client, &cancelled).await;
            charge(&client, &cancelled, "tok_ok").await.unwrap();
        }
        server.stop().await;
        let text = log.text();
        for (event, of) in [
            ("charge made", &made),
            ("charge declined", &declined),
            ("charge cancelled", &cancelled),
            ("refund made", &made),
        ] {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(event)).collect();
            assert!(lines.len() == 1 && lines[0].contains(of), "{event}: {lines:?}");
        }
        assert!(!text.contains("tok_"), "{text}");
    }
}
