//! Payments by Stripe, with a Stripe that answers as it is told.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use payment_client::{Client, types};
use payment_service::SERVICE;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_runtime::config::OwnSettings;
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};

const KEY: &str = "sk_test_CANARYKEY";
const WEBHOOK_SECRET: &str = "whsec_CANARYSECRET";
const OPEN: &str = "POST /v1/payment_intents";
const CONFIRM: &str = "POST /v1/payment_intents/pi_1/confirm";
const CANCEL: &str = "POST /v1/payment_intents/pi_1/cancel";
const VIEW: &str = "GET /v1/payment_intents/pi_1";
const REFUND: &str = "POST /v1/refunds";
const REFUNDS: &str = "GET /v1/refunds";

/// An answer to a request.
type Answer = (&'static str, u16, Value);

/// The method and path of a request, its headers, and its form.
type Asked = (String, HashMap<String, String>, HashMap<String, String>);

/// What Stripe answers next, and what it was asked.
#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

impl Script {
    fn answer(&mut self, request: &HttpMockRequest) -> HttpMockResponse {
        let request: http::Request<String> = request.into();
        let asked = format!("{} {}", request.method(), request.uri().path());
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        let form = url::form_urlencoded::parse(request.body().as_bytes()).into_owned().collect::<HashMap<_, _>>();
        let answer = self.answers.pop_front().filter(|(expected, ..)| *expected == asked);
        let (_, status, body) = answer.unwrap_or_else(|| panic!("Stripe is asked for {asked}"));
        // The answer has to have the id that was sent.
        let body = body.to_string().replace("$REFUND", form.get("metadata[refund_id]").map_or("", |id| id));
        let body = body.replace("$LAST", self.last_refund().as_deref().unwrap_or_default());
        self.asked.push((asked, request.headers().iter().map(header).collect(), form));
        HttpMockResponse::builder().status(status).header("content-type", "application/json").body(body).build()
    }

    fn last_refund(&self) -> Option<String> {
        self.asked.iter().rev().find_map(|(.., form)| form.get("metadata[refund_id]").cloned())
    }
}

fn intent(status: &str) -> Value {
    json!({"id": "pi_1", "object": "payment_intent", "status": status, "amount": 3996, "latest_charge": null})
}

fn refund(status: &str) -> Value {
    json!({"id": "re_1", "object": "refund", "status": status, "metadata": {"refund_id": "$REFUND"}})
}

fn refunds(of: &str) -> Value {
    let refund = json!({"id": "re_1", "object": "refund", "status": "succeeded", "metadata": {"refund_id": of}});
    json!({"object": "list", "data": [refund], "has_more": false})
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "CANARY 4242 4242 4242 4242", "param": "CANARY"}})
}

struct Running {
    client: Client,
    url: String,
    stripe: Arc<Mutex<Script>>,
    log: CapturedLog,
    _server: Server,
    _mock: MockServer,
}

impl Running {
    async fn start(database: &TestDatabase, answers: impl IntoIterator<Item = Answer>) -> Self {
        let stripe = Arc::new(Mutex::new(Script { answers: answers.into_iter().collect(), asked: Vec::new() }));
        let (mock, script) = (MockServer::start_async().await, stripe.clone());
        mock.mock(|when, then| {
            when.is_true(|_| true);
            then.respond_with(move |request| script.lock().unwrap().answer(request));
        });
        let settings = SERVICE.settings.unwrap()(clap::Command::new("test"));
        let url = mock.base_url();
        let flags =
            ["test", "--stripe-secret-key", KEY, "--stripe-webhook-secret", WEBHOOK_SECRET, "--stripe-url", &url];
        let mut config = config_of(&SERVICE, &database.url, &[]);
        config.own = OwnSettings::of(settings.try_get_matches_from(flags).unwrap());
        let log = CapturedLog::default();
        let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
        let url = server.url();
        Self { client: Client::plain(&url), url, stripe, log, _server: server, _mock: mock }
    }

    async fn pay(&self) -> types::Payment {
        let money = types::Money::builder().amount(3996).currency("EUR");
        let payment =
            types::PaymentCreate::builder().order_id(7).user_id(1).amount(money).payment_method("pm_card_visa");
        self.client.payment_create().body(payment).send().await.unwrap().into_inner()
    }

    /// Waits until a payment has an outcome, and Stripe has said all that it is to say.
    async fn paid(&self) -> types::Payment {
        let id = self.pay().await.id;
        self.wait_for(|payment| payment.status != types::PaymentStatus::Pending, id).await
    }

    async fn wait_for(&self, is_it: impl Fn(&types::Payment) -> bool, id: types::PaymentId) -> types::Payment {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let payment = self.client.payment_view().payment_id(id).send().await.unwrap().into_inner();
            if is_it(&payment) && self.stripe.lock().unwrap().answers.is_empty() {
                return payment;
            }
            assert!(Instant::now() < end, "{payment:?}: {}", self.log.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn report(&self, signature: Option<&str>, body: &str) -> StatusCode {
        let request = reqwest::Client::new().post(format!("{}/api/v1/stripe/events", self.url)).body(body.to_owned());
        let request = signature.into_iter().fold(request, |request, value| request.header("stripe-signature", value));
        request.send().await.unwrap().status()
    }

    fn assert_no_canary(&self) {
        assert!(!self.log.text().contains("CANARY"), "{}", self.log.text());
    }
}

on_both_databases! {
    async fn a_charge_is_made_and_then_confirmed(database: TestDatabase) {
        let answers = [(OPEN, 200, intent("requires_confirmation")), (CONFIRM, 200, intent("succeeded"))];
        let running = Running::start(&database, answers).await;
        assert_eq!(running.paid().await.status, types::PaymentStatus::Completed);
        let asked = std::mem::take(&mut running.stripe.lock().unwrap().asked);
        for (_, headers, _) in &asked {
            assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
            assert_eq!(headers["stripe-version"], "2025-08-27.basil");
            assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        }
        let [(_, headers, form), (_, _, confirmed)] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(headers["idempotency-key"], form["metadata[charge_id]"]);
        for (name, value) in [
            ("amount", "3996"),
            ("currency", "eur"),
            ("confirm", "false"),
            ("payment_method", "pm_card_visa"),
            ("payment_method_types[]", "card"),
            ("metadata[payment_id]", "1"),
            ("metadata[order_id]", "7"),
        ] {
            assert_eq!(form[name], value, "{name}");
        }
        assert!(confirmed.is_empty(), "{confirmed:?}");
        running.assert_no_canary();
    }

    async fn a_report_has_stripe_asked_at_once(database: TestDatabase) {
        // So many failures make the next attempt come more than ten seconds later.
        let failures = (0..7).map(|_| (CONFIRM, 503, json!({})));
        let open = (OPEN, 200, intent("requires_confirmation"));
        let running = Running::start(&database, std::iter::once(open).chain(failures)).await;
        let id = running.pay().await.id;
        running.wait_for(|_| true, id).await;
        let postponed = || running.log.text().matches("outcome of a payment is unknown").count() >= 7;
        while !postponed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.stripe.lock().unwrap().answers.push_back((CONFIRM, 200, intent("succeeded")));
        let event = |kind: &str, order: i64| {
            json!({"type": kind, "data": {"object": {"id": "pi_1", "metadata": {"order_id": order.to_string(), "payment_id": "1"}}}})
                .to_string()
        };
        let ended = event("payment_intent.succeeded", 7);
        assert_eq!(running.report(None, "").await, StatusCode::NO_CONTENT);
        let now = chrono::Utc::now().timestamp();
        for (signature, body) in [
            (None, ended.clone()),
            (Some(String::new()), String::new()),
            (Some(signed(now, &ended, "whsec_other")), ended.clone()),
            (Some(signed(now - 600, &ended, WEBHOOK_SECRET)), ended.clone()),
            (Some(signed(now, &ended, WEBHOOK_SECRET)), event("payment_intent.succeeded", 8)),
        ] {
            assert_eq!(running.report(signature.as_deref(), &body).await, StatusCode::BAD_REQUEST, "{signature:?}");
        }
        for other in [event("payment_intent.succeeded", 8), event("payment_intent.created", 7), "{}".to_owned()] {
            let signature = signed(now, &other, WEBHOOK_SECRET);
            assert_eq!(running.report(Some(&signature), &other).await, StatusCode::NO_CONTENT, "{other}");
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(running.stripe.lock().unwrap().answers.len(), 1, "Stripe is asked because of something else");
        let signature = signed(now, &ended, WEBHOOK_SECRET);
        assert_eq!(running.report(Some(&signature), &ended).await, StatusCode::NO_CONTENT);
        let reported_at = Instant::now();
        running.wait_for(|payment| payment.status == types::PaymentStatus::Completed, id).await;
        assert!(reported_at.elapsed() < Duration::from_secs(5), "{:?}", reported_at.elapsed());
        // Stripe repeats what was lost on its way: nothing is left to ask for.
        assert_eq!(running.report(Some(&signature), &ended).await, StatusCode::NO_CONTENT);
        running.assert_no_canary();
    }
}

fn signed(time: i64, body: &str, secret: &str) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut code = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    code.update(format!("{time}.{body}").as_bytes());
    let digits: String = code.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={digits}")
}

#[tokio::test]
async fn the_status_of_an_intent_decides() {
    let (opened, declined) = ((OPEN, 200, intent("requires_confirmation")), error("card_error", "card_declined"));
    let unexpected = error("invalid_request_error", "payment_intent_unexpected_state");
    let completed = (types::PaymentStatus::Completed, None);
    let failed = |reason| (types::PaymentStatus::Failed, Some(reason));
    let by_provider = failed(types::FailureReason::Declined);
    for (answers, expected) in [
        (vec![(OPEN, 400, error("invalid_request_error", "amount_too_small"))], by_provider),
        (vec![(OPEN, 404, error("invalid_request_error", "resource_missing"))], by_provider),
        (vec![(OPEN, 402, declined.clone())], by_provider),
        (
            vec![opened.clone(), (CONFIRM, 402, declined.clone()), (VIEW, 200, intent("requires_payment_method"))],
            by_provider,
        ),
        (vec![opened.clone(), (CONFIRM, 200, intent("requires_payment_method"))], by_provider),
        (vec![opened.clone(), (CONFIRM, 400, unexpected.clone()), (VIEW, 200, intent("succeeded"))], completed),
        (
            vec![opened.clone(), (CONFIRM, 400, unexpected.clone()), (VIEW, 200, intent("canceled"))],
            failed(types::FailureReason::OrderCancelled),
        ),
        (
            vec![opened.clone(), (CONFIRM, 200, intent("requires_action")), (CANCEL, 200, intent("canceled"))],
            by_provider,
        ),
        (
            vec![
                opened.clone(),
                (CONFIRM, 400, error("invalid_request_error", "parameter_missing")),
                (VIEW, 200, intent("requires_confirmation")),
                (CANCEL, 400, unexpected.clone()),
                (VIEW, 200, intent("succeeded")),
            ],
            completed,
        ),
        (
            vec![
                opened.clone(),
                (CONFIRM, 200, intent("processing")),
                (CONFIRM, 400, unexpected.clone()),
                (VIEW, 200, intent("processing")),
                (CONFIRM, 400, unexpected.clone()),
                (VIEW, 200, intent("succeeded")),
            ],
            completed,
        ),
    ] {
        let database = TestDatabase::new(Kind::Sqlite).await;
        let running = Running::start(&database, answers.clone()).await;
        let payment = running.paid().await;
        assert_eq!((payment.status, payment.failure_reason), expected, "{answers:?}");
        running.assert_no_canary();
    }
}

#[tokio::test]
async fn what_says_nothing_about_a_charge_is_no_outcome() {
    let declined = error("card_error", "card_declined");
    for (status, body) in [
        (401, error("invalid_request_error", "api_key_expired")),
        (403, error("invalid_request_error", "more_permissions_required")),
        (409, error("idempotency_error", "idempotency_key_in_use")),
        (400, error("idempotency_error", "idempotency_error")),
        (429, error("invalid_request_error", "rate_limit")),
        (500, error("api_error", "")),
        (503, json!("CANARY")),
        (302, declined.clone()),
        (400, json!({"CANARY": "of a proxy"})),
        (200, json!({"CANARY": 1})),
        (200, json!({"id": "../CANARY", "status": "succeeded"})),
    ] {
        let (opened, confirmed) = ((OPEN, 200, intent("requires_confirmation")), (CONFIRM, 200, intent("succeeded")));
        let mut answers = vec![(OPEN, status, body.clone()), opened];
        if !body["id"].is_string() {
            answers.push((CONFIRM, status, body.clone()));
        }
        answers.extend([
            // The account is another one.
            (CONFIRM, 404, error("invalid_request_error", "resource_missing")),
            (VIEW, 404, error("invalid_request_error", "resource_missing")),
            confirmed,
        ]);
        let database = TestDatabase::new(Kind::Sqlite).await;
        let running = Running::start(&database, answers).await;
        assert_eq!(running.paid().await.status, types::PaymentStatus::Completed, "{status} {body}");
        running.assert_no_canary();
        let asked = std::mem::take(&mut running.stripe.lock().unwrap().asked);
        let keys: Vec<_> = asked.iter().filter_map(|(_, headers, _)| headers.get("idempotency-key")).collect();
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    }
}

#[tokio::test]
async fn a_refund_is_made_once() {
    let refused = |code| (REFUND, 400, error("invalid_request_error", code));
    for (answers, expected) in [
        (vec![(REFUND, 200, refund("succeeded"))], types::RefundStatus::Completed),
        (vec![(REFUND, 200, refund("pending"))], types::RefundStatus::Completed),
        (vec![(REFUND, 200, refund("failed"))], types::RefundStatus::Failed),
        (vec![refused("amount_too_large")], types::RefundStatus::Failed),
        // An earlier answer was lost: it is made, or it is not.
        (vec![(REFUND, 500, json!({})), (REFUNDS, 200, refunds("$LAST"))], types::RefundStatus::Completed),
        (
            vec![(REFUND, 500, json!({})), (REFUNDS, 200, refunds("another")), (REFUND, 200, refund("succeeded"))],
            types::RefundStatus::Completed,
        ),
        (vec![refused("charge_already_refunded"), (REFUNDS, 200, refunds("$LAST"))], types::RefundStatus::Completed),
        (vec![refused("charge_already_refunded"), (REFUNDS, 200, refunds("another"))], types::RefundStatus::Failed),
        // The account has not enough money yet.
        (
            vec![refused("balance_insufficient"), (REFUNDS, 200, refunds("another")), (REFUND, 200, refund("pending"))],
            types::RefundStatus::Completed,
        ),
    ] {
        let charged = [(OPEN, 200, intent("requires_confirmation")), (CONFIRM, 200, intent("succeeded"))];
        let database = TestDatabase::new(Kind::Sqlite).await;
        let running = Running::start(&database, charged).await;
        let id = running.paid().await.id;
        running.stripe.lock().unwrap().answers.extend(answers.clone());
        let body = types::RefundCreate::builder();
        let made = running.client.refund_create().payment_id(id).body(body).send().await.unwrap().into_inner();
        running.wait_for(|_| true, id).await;
        let end = Instant::now() + Duration::from_secs(60);
        let refund = loop {
            let view = running.client.refund_view().payment_id(id).refund_id(made.id);
            let refund = view.send().await.unwrap().into_inner();
            if refund.status != types::RefundStatus::Pending {
                break refund;
            }
            assert!(Instant::now() < end, "{}", running.log.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(refund.status, expected, "{answers:?}");
        let asked = std::mem::take(&mut running.stripe.lock().unwrap().asked);
        for (_, headers, form) in asked.iter().filter(|(asked, ..)| asked == REFUND) {
            assert_eq!((form["payment_intent"].as_str(), form["amount"].as_str()), ("pi_1", "3996"));
            assert_eq!(headers["idempotency-key"], form["metadata[refund_id]"]);
        }
        running.assert_no_canary();
    }
}

#[tokio::test]
async fn with_wrong_keys_the_service_does_not_start() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let start = async |flags: &[&str]| {
        let settings = SERVICE.settings.unwrap()(clap::Command::new("test"));
        let mut config = config_of(&SERVICE, &database.url, &[]);
        let flags = std::iter::once("test").chain(flags.iter().copied());
        config.own = OwnSettings::of(settings.try_get_matches_from(flags).unwrap());
        let started = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await;
        started.err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let wrong = start(&["--stripe-secret-key", "pk_CANARY"]).await;
    assert!(wrong.contains("STRIPE_SECRET_KEY") && !wrong.contains("CANARY"), "{wrong}");
    let wrong = start(&["--stripe-secret-key", KEY, "--stripe-webhook-secret", "CANARY"]).await;
    assert!(wrong.contains("STRIPE_WEBHOOK_SECRET") && !wrong.contains("CANARY"), "{wrong}");
}
