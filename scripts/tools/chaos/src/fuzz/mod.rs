//! Generates malformed and unusual requests; the same seed generates the same requests.

mod values;

use crate::canary::{CANARY, email, name};
use crate::fuzz::values::{MEDIA_TYPES, METHODS, NUMBERS, SEGMENTS, TEXTS};
use crate::platform::{ORDER_SERVICE, ORDERS, USER_SERVICE, USERS};

/// How many users and orders belong to a worker: those with the ids after `worker * ROWS`.
pub(crate) const ROWS: i64 = 20;

/// A request to one of the services.
#[derive(Debug)]
pub(crate) struct FuzzRequest {
    /// The name of the service.
    pub(crate) to: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether an HTTP server has to answer it: it is complete and well-formed.
    pub(crate) answerable: bool,
    /// Whether the server may wait for more, so that the client has to close its direction.
    pub(crate) truncated: bool,
}

/// Generates the requests of one worker. Workers share no row, e-mail address or key, so that the answers to one do not
/// depend on what the others send concurrently.
#[derive(Debug)]
pub(crate) struct Generator {
    random: fastrand::Rng,
    worker: i64,
}

impl Generator {
    pub(crate) fn new(random: fastrand::Rng, worker: i64) -> Self {
        Self { random, worker }
    }

    /// The next request.
    pub(crate) fn generate(&mut self) -> FuzzRequest {
        let to = if self.chance(2) { USER_SERVICE } else { ORDER_SERVICE };
        let (method, path, body) = if to == USER_SERVICE { self.user_operation() } else { self.order_operation() };
        let method = if self.chance(15) { self.one_of(METHODS) } else { method };
        let path = if self.chance(12) { self.mutate_path(&path) } else { path };
        let mut body = body.map(String::into_bytes).unwrap_or_default();
        if self.chance(15) {
            self.mutate_bytes(&mut body);
        }
        self.assemble(to, method, &path, body)
    }

    fn user_operation(&mut self) -> (&'static str, String, Option<String>) {
        let id = self.id();
        match self.random.u8(0..10) {
            0..3 => ("POST", USERS.to_owned(), Some(self.user())),
            3..5 => ("GET", format!("{USERS}/{id}"), None),
            5 => ("GET", format!("{USERS}{}", self.query(&["email", "limit", "page_token"])), None),
            6..8 => ("PUT", format!("{USERS}/{id}"), Some(self.user())),
            8 => ("DELETE", format!("{USERS}/{id}"), None),
            _ => {
                ("GET", self.one_of(&["/health", "/ready", "/openapi.json", "/docs", "/", "/metrics"]).to_owned(), None)
            }
        }
    }

    fn order_operation(&mut self) -> (&'static str, String, Option<String>) {
        let id = self.id();
        match self.random.u8(0..10) {
            0..4 => ("POST", ORDERS.to_owned(), Some(self.order())),
            4 => ("GET", format!("{ORDERS}/{id}"), None),
            5 => ("GET", format!("{ORDERS}{}", self.query(&["user_id", "status", "limit", "page_token"])), None),
            6..8 => {
                let status = self.one_of(&["created", "confirmed", "completed", "cancelled", "CREATED", "lost", ""]);
                let value = if self.chance(4) { self.unusual_value() } else { format!("\"{status}\"") };
                ("PUT", format!("{ORDERS}/{id}/status"), Some(format!("{{\"status\":{value}}}")))
            }
            8 => ("POST", format!("{ORDERS}/{id}/cancel"), None),
            _ => (
                "GET",
                self.one_of(&["/health", "/ready", "/openapi.json", "/docs/", "//", "/api/v1"]).to_owned(),
                None,
            ),
        }
    }

    /// The id of a row of this worker, of no row, or no id at all.
    fn id(&mut self) -> String {
        match self.random.u8(0..10) {
            0..7 => (self.worker * ROWS + self.random.i64(1..=ROWS)).to_string(),
            7 => self.random.i64(1_000_000_000..9_007_199_254_740_991).to_string(),
            8 => self.one_of(NUMBERS).to_owned(),
            _ => self.one_of(SEGMENTS).to_owned(),
        }
    }

    fn user(&mut self) -> String {
        let address = email(format_args!("{}-{}", self.worker, self.random.u8(0..40)));
        let email = if self.chance(4) { self.unusual_value() } else { format!("\"{address}\"") };
        let name = if self.chance(4) { self.unusual_value() } else { format!("\"{}\"", name()) };
        self.object(&[("email", email), ("name", name)])
    }

    fn order(&mut self) -> String {
        let user_id = if self.chance(5) {
            self.unusual_value()
        } else {
            (self.worker * ROWS + self.random.i64(1..=ROWS)).to_string()
        };
        let product_id = if self.chance(5) { self.unusual_value() } else { self.random.u32(1..).to_string() };
        let quantity = if self.chance(5) { self.unusual_value() } else { self.random.u16(1..).to_string() };
        self.object(&[("user_id", user_id), ("product_id", product_id), ("quantity", quantity)])
    }

    fn object(&mut self, fields: &[(&str, String)]) -> String {
        let mut fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        if self.chance(15) {
            let unusual = self.unusual_value();
            fields.push(format!(
                "\"{}\":{unusual}",
                self.one_of(&["id", "email", "quantity", "__proto__", "", "\\u0000", CANARY])
            ));
        }
        if self.chance(20) {
            fields.pop();
        }
        if self.chance(5) {
            self.random.shuffle(&mut fields);
        }
        format!("{{{}}}", fields.join(","))
    }

    /// A JSON value that is rarely valid.
    fn unusual_value(&mut self) -> String {
        match self.random.u8(0..12) {
            0..4 => self.one_of(NUMBERS).to_owned(),
            4..8 => format!("\"{}\"", self.one_of(TEXTS)),
            8 => self.one_of(&["null", "true", "false", "[]", "{}", "[1]", "{\"a\":1}"]).to_owned(),
            9 => format!("\"{}\"", "x".repeat(self.random.usize(200..600))),
            10 => format!("\"{}@{CANARY}\"", "é".repeat(self.random.usize(1..300))),
            _ => {
                let depth = self.random.usize(1..300);
                format!("{}{}", "[".repeat(depth), "]".repeat(depth))
            }
        }
    }

    fn query(&mut self, names: &[&'static str]) -> String {
        let mut pairs = Vec::new();
        for _ in 0..self.random.u8(0..4) {
            let name = if self.chance(6) {
                self.one_of(&["Limit", "offset", "", "%00", "limit[]"])
            } else {
                self.one_of(names)
            };
            let value = match self.random.u8(0..6) {
                0 => self.one_of(NUMBERS).to_owned(),
                1 => self.one_of(SEGMENTS).to_owned(),
                2 => self.one_of(&["created", "confirmed", "lost", "a%40b", "", "%E5%90%8D", "a@b@c"]).to_owned(),
                3 => self.random.u16(0..1100).to_string(),
                4 => email(self.worker).replace('@', "%40").replace('+', "%2B"),
                _ => (0..self.random.usize(1..60)).map(|_| self.random.alphanumeric()).collect(),
            };
            pairs.push(if self.chance(20) { name.to_owned() } else { format!("{name}={value}") });
        }
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    fn mutate_path(&mut self, path: &str) -> String {
        let segment = self.one_of(SEGMENTS);
        match self.random.u8(0..8) {
            0 => format!("{path}/"),
            1 => path.replacen('/', "//", 2),
            2 => format!("{path}/{segment}"),
            3 => path.to_uppercase(),
            4 => format!("{path}?{segment}"),
            5 => path.replace("v1", segment),
            6 => format!("{path}#{segment}"),
            _ => format!("{path}{}", "a".repeat(self.random.usize(1..5000))),
        }
    }

    fn mutate_bytes(&mut self, body: &mut Vec<u8>) {
        let at = self.random.usize(0..=body.len());
        match self.random.u8(0..8) {
            0 => body.truncate(at),
            1 => body.insert(at, self.harmless_byte()),
            2 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte = self.harmless_byte();
                }
            }
            3 => body.extend_from_within(..),
            4 => body.splice(0..0, *b"\xEF\xBB\xBF").for_each(drop),
            5 => body.extend_from_slice(b" \n\t{}"),
            6 => *body = (0..self.random.usize(0..200)).map(|_| self.random.u8(..)).collect(),
            _ => body.resize(body.len() + self.random.usize(60_000..70_000), b' '),
        }
    }

    /// Any byte except digits and white space, which could turn the id of a row of this worker into that of another
    /// row: another worker's, or one that these requests have created, whose ids differ between the databases, because
    /// PostgreSQL does not reuse those of failed inserts.
    fn harmless_byte(&mut self) -> u8 {
        let byte = self.random.u8(..);
        if byte.is_ascii_digit() || byte.is_ascii_whitespace() { b'x' } else { byte }
    }

    fn assemble(&mut self, to: &'static str, method: &str, path: &str, body: Vec<u8>) -> FuzzRequest {
        let mut headers = vec!["Host: localhost".to_owned()];
        let mut version = "HTTP/1.1";
        let mut answerable = true;
        let mut truncated = false;
        let media_type = if self.chance(12) { self.one_of(MEDIA_TYPES) } else { "application/json" };
        if !body.is_empty() && !self.chance(40) {
            headers.push(format!("Content-Type: {media_type}"));
        }
        if self.chance(4) {
            headers.push(format!("Idempotency-Key: {}", self.key()));
        }
        if self.chance(8) {
            let unusual = self.unusual_header();
            headers.push(unusual);
        }
        let mut length = body.len().to_string();
        // Malformed or incomplete: the server may close the connection.
        if self.chance(25) {
            answerable = false;
            let kind = self.random.u8(0..9);
            truncated = kind < 4;
            match kind {
                0 => length = (body.len() + self.random.usize(1..1000)).to_string(),
                1 => length = self.one_of(NUMBERS).to_owned(),
                2 => headers.push(format!("Content-Length: {}", body.len() + 1)),
                3 => headers.push("Transfer-Encoding: chunked".to_owned()),
                4 => version = self.one_of(&["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "http/1.1", ""]),
                5 => headers.clear(),
                6 => headers.push(format!("X-\u{e9}{}: \u{0}", self.random.u8(..))),
                7 => headers.extend((0..self.random.usize(1..150)).map(|at| format!("X-Header-{at}: {at}"))),
                _ => headers.push(format!("X-Long: {}", "x".repeat(self.random.usize(1..20_000)))),
            }
        }
        if !body.is_empty() || length != "0" || self.chance(2) {
            headers.push(format!("Content-Length: {length}"));
        }
        // Not every target above is valid in a request line.
        answerable &= path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let mut bytes = format!("{method} {path} {version}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes();
        bytes.extend(body);
        FuzzRequest { to, bytes, answerable, truncated }
    }

    fn key(&mut self) -> String {
        match self.random.u8(0..12) {
            0 => String::new(),
            1 => "k".repeat(self.random.usize(250..260)),
            2 => self.one_of(&["é", "名", "a b", "  a  ", "\t", "a\tb", "\"quoted\"", "a,b", "%00"]).to_owned(),
            3 => format!("twice\r\nIdempotency-Key: {}", self.random.u8(..)),
            _ => format!("{}-{}", self.worker, self.random.u16(0..500)),
        }
    }

    fn unusual_header(&mut self) -> String {
        let number = self.one_of(NUMBERS);
        match self.random.u8(0..12) {
            0 => "Content-Encoding: gzip".to_owned(),
            1 => "Expect: 100-continue".to_owned(),
            // Accepted values must leave enough time.
            2 => format!(
                "Request-Timeout-Ms: {}",
                self.one_of(&["", "0", "-1", "5000", "60000", "60001", "1.5", "x", "é"])
            ),
            3 => format!("X-Request-Id: {}", self.one_of(TEXTS)),
            4 => format!("Accept: {}", self.one_of(MEDIA_TYPES)),
            5 => format!("Accept-Encoding: {}", self.one_of(SEGMENTS)),
            6 => format!("Range: bytes={number}-"),
            7 => format!("If-None-Match: {number}"),
            8 => format!("Authorization: Bearer {number}"),
            9 => format!("X-HTTP-Method-Override: {}", self.one_of(METHODS)),
            10 => "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__".to_owned(),
            _ => format!("Origin: {}", self.one_of(TEXTS)),
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(0..one_in) == 0
    }

    fn one_of<'a>(&mut self, options: &[&'a str]) -> &'a str {
        self.random.choice(options).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
