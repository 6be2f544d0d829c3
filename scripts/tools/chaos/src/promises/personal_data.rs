//! Promise 12: no log contains anything that a client sends.

use std::time::Duration;

use anyhow::Result;
use harness::http::Client;
use harness::measurements::mib;
use harness::proxy::Mode;
use service_testing::KINDS;

use crate::canary::{CANARY, email, name, phone};
use crate::platform::{NOTIFICATIONS, ORDERS, Platform, Setup, USER_SERVICE, USERS, unique};
use crate::run::Run;
use crate::verdict::Verdict;

/// Headers that a service may read, or log.
#[rustfmt::skip]
const HEADERS: [&str; 11] = [
    "X-Request-Id", "Request-Timeout-Ms", "Authorization", "User-Agent", "Referer", "Cookie",
    "Expect", "traceparent", "Transfer-Encoding", "Content-Encoding", CANARY,
];

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut requests = 0;
    for kind in KINDS {
        let mut platform = Platform::start(run, kind, Setup::default()).await?;
        for member in &platform.services.members {
            let address = member.instance.address;
            for request in everywhere() {
                // Neither the answer nor its absence matters here.
                let _ = Client::new(address, Duration::from_secs(2)).send(&request).await;
                requests += 1;
            }
        }
        // A service also logs that its database is unavailable, and that it stops.
        if let Some(proxy) = &platform.databases.proxy {
            proxy.set_mode(Mode::Reset);
            for request in everywhere() {
                let _ = Client::new(platform.address(USER_SERVICE), Duration::from_secs(2)).send(&request).await;
                requests += 1;
            }
        }
        for member in platform.services.members.iter_mut().rev() {
            member.instance.process.terminate(Duration::from_secs(15)).await?;
        }
    }
    if let Some(postgres) = run.started_postgres() {
        run.logs.copy("postgresql", &postgres.log())?;
    }
    let found = run.logs.scan()?;
    let mut verdict = Verdict::default();
    let searched = format!("{} logs of {} MiB, {requests} requests sent for it", found.files, mib(found.bytes));
    verdict.none(format_args!("occurrences in {searched}"), found.occurrences);
    verdict.failures.extend(found.examples.into_iter().take(10));
    Ok(verdict.with_method(
        "a canary as every e-mail address, name and phone number of this run, and in every part of valid and invalid \
         requests; then all logs of all processes are searched",
    ))
}

/// Requests with the canary in every part that a client can choose.
fn everywhere() -> Vec<Vec<u8>> {
    let (email, name, number) = (email(unique()), name(), unique());
    let encoded = email.replace('@', "%40").replace('+', "%2B");
    let user = format!(r#"{{"email":"{email}","name":"{name}"}}"#);
    let contact = format!(r#"{{"phone":"{}","language":"en","channels":["sms"]}}"#, phone());
    let long = format!(r#"{{"email":"{email}","name":"{}"}}"#, name.repeat(10_000));
    let bodies = [
        user.clone(),
        // The same again: the address is taken.
        user.clone(),
        user.to_uppercase().replace("EMAIL", "email").replace("NAME", "name"),
        user.replace("name\"", "nickname\""),
        user.replace('}', ""),
        format!("{user}{user}"),
        format!(r#"{{"email":{{"{email}":1}},"name":["{name}"]}}"#),
        format!(r#"{{"email":"{name}","name":"{email}\u0000"}}"#),
        format!(r#"{{"user_id":"{email}","product_id":1,"quantity":1}}"#),
        format!(r#"{{"{email}":1,"user_id":1,"product_id":1,"quantity":1}}"#),
        format!(r#"{{"status":"{email}"}}"#),
        format!("\"{email}\""),
        email.clone(),
        contact.clone(),
        contact.replace("\"+", "\""),
        // Not quoted.
        contact.replace("\"+", "").replace("\",\"language", ",\"language"),
        contact.replace("phone", &email),
        long,
    ];
    let mut requests = Vec::new();
    for path in [
        USERS.to_owned(),
        ORDERS.to_owned(),
        format!("{USERS}/1"),
        format!("{USERS}/1/contact"),
        format!("{ORDERS}/1/status"),
    ] {
        let method = if [USERS, ORDERS].contains(&path.as_str()) { "POST" } else { "PUT" };
        for body in &bodies {
            for extra in [
                String::new(),
                format!("Idempotency-Key: {email}\r\n"),
                format!("Idempotency-Key: {name} {number}\r\n"),
            ] {
                requests.push(request(method, &path, &extra, body));
            }
        }
    }
    for target in [
        format!("{USERS}?email={encoded}"),
        format!("{USERS}?email={encoded}&email={encoded}"),
        format!("{USERS}?{encoded}=1"),
        format!("{USERS}?limit={encoded}"),
        format!("{USERS}?page_token={encoded}"),
        format!("{ORDERS}?status={encoded}"),
        format!("{ORDERS}?user_id={encoded}"),
        format!("{USERS}/{encoded}"),
        format!("{ORDERS}/{encoded}"),
        format!("{ORDERS}/{encoded}/cancel"),
        format!("{NOTIFICATIONS}?user_id={encoded}"),
        format!("{NOTIFICATIONS}?page_token={encoded}"),
        format!("{NOTIFICATIONS}/{encoded}"),
        format!("/{encoded}"),
        format!("/{CANARY}/{encoded}//{encoded}"),
        format!("/docs/{CANARY}"),
        format!("/{}", CANARY.repeat(1000)),
        format!("http://{CANARY}/api/v1/users"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", CANARY] {
            requests.push(request(method, &target, "", ""));
        }
    }
    for header in HEADERS {
        requests.push(request("POST", USERS, &format!("{header}: {email}\r\n"), &user));
    }
    requests.push(user.into_bytes());
    requests.push(format!("GET {email} HTTP/1.1\r\n\r\n").into_bytes());
    requests.push(format!("GET / {CANARY}/1.1\r\n\r\n").into_bytes());
    requests
}

fn request(method: &str, target: &str, extra: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {CANARY}.example\r\n{extra}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
