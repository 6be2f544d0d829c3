//! The texts of all messages, from `templates/`: for each event type and language a mail, as plain text and as HTML, and
//! a short message unless the event type has none.

use anyhow::Context as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};

/// The name and the source of each template.
macro_rules! sources {
    (@ $($name:expr),*) => { [$(($name, include_str!(concat!("../templates/", $name)))),*] };
    ($($event_type:literal)*) => {
        &[
            &sources!(@ "layout.html"),
            $(&sources!(@
                concat!($event_type, "/en.txt"), concat!($event_type, "/en.html"),
                concat!($event_type, "/de.txt"), concat!($event_type, "/de.html")
            ),)*
        ]
    };
}

const SOURCES: &[&[(&str, &str)]] = sources![
    "user.registered"
    "order.confirmed"
    "order.completed"
    "order.cancelled"
    "payment.completed"
    "payment.refunded"
];

/// The languages that each event type has texts in; the first is for all other languages.
const LANGUAGES: [&str; 2] = ["en", "de"];

/// The maximum number of instructions of a template: several times those of an order with a hundred items.
const FUEL: u64 = 50_000;

/// The texts of all messages, compiled.
#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Context<'a> {
    /// To whom it goes.
    pub(crate) user: Recipient<'a>,
    /// The data of the event.
    pub(crate) event: &'a serde_json::Value,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Recipient<'a> {
    /// The user's name.
    pub(crate) name: &'a str,
}

/// A mail, without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// One line.
    pub(crate) subject: String,
    /// The mail as plain text. Ends with one newline.
    pub(crate) text: String,
    /// The same as an HTML document.
    pub(crate) html: String,
}

/// Why a message cannot be rendered. Repeats nothing of what the message is about.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    /// The event type is unknown, or has no short message.
    #[error("the event type has no such message")]
    NoSuchMessage,
    /// The data is not what the template expects, or too much.
    #[error("{template}, line {line}: {kind}")]
    Failed {
        /// The name of the template.
        template: String,
        /// The line of the template, from 1; 0 if it is unknown.
        line: usize,
        /// What is wrong.
        kind: ErrorKind,
    },
}

impl From<minijinja::Error> for RenderError {
    fn from(error: minijinja::Error) -> Self {
        match (error.kind(), error.line()) {
            (ErrorKind::TemplateNotFound | ErrorKind::UnknownBlock, None) => Self::NoSuchMessage,
            (kind, line) => Self::Failed {
                template: error.name().unwrap_or_default().to_owned(),
                line: line.unwrap_or_default(),
                kind,
            },
        }
    }
}

impl Templates {
    /// Compiles every template; the error names the one that cannot be.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("money", money);
        for &(name, source) in SOURCES.iter().copied().flatten() {
            environment.add_template(name, source).with_context(|| format!("cannot compile the template {name}"))?;
        }
        Ok(Self { environment })
    }

    /// The mail about an event. `language`: two letters (ISO 639), English if there are no texts in it.
    pub(crate) fn mail(&self, event_type: &str, language: &str, context: &Context<'_>) -> Result<Mail, RenderError> {
        let language = supported(language);
        let context = context! { language, ..Serde(context) };
        let text = self.environment.get_template(&format!("{event_type}/{language}.txt"))?;
        let (subject, text) = text.render_captured(context.clone())?.with_state_mut(|state| {
            Ok::<_, minijinja::Error>((one_line(&state.render_block("subject")?), state.render_block("text")?))
        })?;
        let html = self.environment.get_template(&format!("{event_type}/{language}.html"))?;
        let html = html.render(context! { subject => subject.as_str(), ..context })?;
        Ok(Mail { subject, text, html })
    }

    /// The short message about an event: one line. `language` as for [`Templates::mail`].
    pub(crate) fn sms(&self, event_type: &str, language: &str, context: &Context<'_>) -> Result<String, RenderError> {
        let language = supported(language);
        let text = self.environment.get_template(&format!("{event_type}/{language}.txt"))?;
        let mut text = text.render_captured(context! { language, ..Serde(context) })?;
        Ok(one_line(&text.with_state_mut(|state| state.render_block("sms"))?))
    }
}

/// `language` if there are texts in it, else the one to use instead.
fn supported(language: &str) -> &'static str {
    LANGUAGES.into_iter().find(|&supported| supported == language).unwrap_or(LANGUAGES[0])
}

/// `text` with single plain spaces instead of line breaks, control characters and all other spaces. A non-breaking space
/// would also make a short message longer: the alphabet of short messages has none.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// An amount of money as in an event: an integer number of the currency's smallest unit.
#[derive(Debug, Deserialize)]
struct Money {
    amount: u64,
    currency: String,
}

/// The filter that writes an amount of money as is usual in the language of the message.
fn money(state: &State<'_, '_>, Serde(money): Serde<Money>) -> String {
    let german = state.lookup("language") == Some(Value::from("de"));
    let (thousands, point) = if german { (".", ',') } else { (",", '.') };
    let digits = fraction_digits(&money.currency);
    let unit = 10_u64.pow(digits as u32);
    let mut number = grouped(money.amount / unit, thousands);
    if digits > 0 {
        number = format!("{number}{point}{:0digits$}", money.amount % unit);
    }
    // Only symbols that stand for one currency, or for this one unless a country is named.
    let symbol = match money.currency.as_str() {
        "EUR" => "€",
        "GBP" => "£",
        "INR" => "₹",
        "JPY" => "¥",
        "KRW" => "₩",
        "USD" => "$",
        code if german => return format!("{number}\u{a0}{code}"),
        code => return format!("{code}\u{a0}{number}"),
    };
    if german { format!("{number}\u{a0}{symbol}") } else { format!("{symbol}{number}") }
}

/// The number of digits after the decimal point (ISO 4217, as of 2026).
fn fraction_digits(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// `number` with `separator` between the thousands.
fn grouped(number: u64, separator: &str) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{}{separator}{:03}", grouped(thousands, separator), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use notification_service_api::Channel::{Email, Sms};
    use serde_json::{Value, json};

    use super::*;
    use crate::plan;

    const EVENT_TYPES: [&str; 6] = [
        "user.registered",
        "order.confirmed",
        "order.completed",
        "order.cancelled",
        "payment.completed",
        "payment.refunded",
    ];

    /// The greatest number in an event.
    const GREATEST: i64 = 9_007_199_254_740_991;

    const DOCUMENTS: [&str; 3] = [
        include_str!("../../../openapi/events/order-service.json"),
        include_str!("../../../openapi/events/payment-service.json"),
        include_str!("../../../openapi/events/user-service.json"),
    ];

    /// The data of every example of these event types in the documents, and other shapes of them.
    fn events() -> Vec<(&'static str, Value)> {
        let item = |name: Option<&str>, subtotal: Option<Value>| {
            let mut item = json!({"product_id": 456, "quantity": 2});
            item.as_object_mut().unwrap().extend(name.map(|name| ("name".to_owned(), json!(name))));
            item.as_object_mut().unwrap().extend(subtotal.map(|subtotal| ("subtotal".to_owned(), subtotal)));
            item
        };
        let price = || Some(json!({"amount": 123_456, "currency": "EUR"}));
        let mut events = vec![
            ("user.registered", json!({"user_id": 1})),
            ("order.completed", json!({"order_id": 1, "user_id": 1})),
            ("order.confirmed", json!({"order_id": 1, "user_id": 1})),
            ("order.confirmed", json!({"order_id": 1, "user_id": 1, "total": price()})),
        ];
        for item in [
            item(Some("Espresso cup"), price()),
            item(None, price()),
            item(Some("Espresso cup"), None),
            item(None, None),
            item(Some("<b>&\"'"), price()),
        ] {
            let reservation = "5b8cbb3e-8f5c-4a35-8f0d-4f3c0d8a2f6f";
            let items = json!([item, item]);
            events.push(("order.confirmed", json!({"order_id": 1, "user_id": 1, "items": items})));
            events.push((
                "order.confirmed",
                json!({"order_id": 1, "user_id": 1, "items": items, "total": price(), "reservation_id": reservation}),
            ));
        }
        for document in DOCUMENTS {
            let document: Value = serde_json::from_str(document).unwrap();
            let messages = document["components"]["messages"].as_object().unwrap().values();
            for example in messages.flat_map(|message| message["examples"].as_array().unwrap()) {
                let event = &example["payload"];
                let event_type = EVENT_TYPES.into_iter().find(|name| event["type"] == *name);
                events.extend(event_type.map(|event_type| (event_type, event["data"].clone())));
            }
        }
        assert_eq!(events.len(), 14 + 8);
        for reason in ["requested", "payment_failed", "payment_timeout", "out_of_stock", "a_later_one"] {
            events.push(("order.cancelled", json!({"order_id": 1, "user_id": 1, "reason": reason})));
        }
        events.push(("payment.completed", payment(GREATEST, GREATEST, None)));
        events.push(("payment.refunded", payment(GREATEST, GREATEST, Some(0))));
        events.push(("payment.refunded", payment(GREATEST, GREATEST, Some(GREATEST))));
        events
    }

    /// The data of an event about a payment; of a refund, if something may remain.
    fn payment(order_id: i64, amount: i64, remaining: Option<i64>) -> Value {
        let money = |amount: i64| json!({"amount": amount, "currency": "KWD"});
        let mut event = json!({"payment_id": 2, "order_id": order_id, "user_id": 3, "amount": money(amount)});
        if let Some(remaining) = remaining {
            event["refund_id"] = json!(4);
            event["remaining"] = money(remaining);
        }
        event
    }

    fn about<'a>(name: &'a str, event: &'a Value) -> Context<'a> {
        Context { user: Recipient { name }, event }
    }

    #[test]
    fn every_message_renders() {
        let templates = Templates::new().unwrap();
        for (event_type, event) in events() {
            for language in LANGUAGES {
                let place = format!("{event_type}, {language}: {event}");
                let context = about("<b>&\"'", &event);
                let Mail { subject, text, html } = templates.mail(event_type, language, &context).unwrap();
                assert!(!subject.is_empty() && subject == subject.trim(), "{place}: {subject:?}");
                assert!(!subject.contains(char::is_control), "{place}: {subject:?}");

                assert!(text.contains("<b>&\"',\n\n"), "{place}: {text}");
                assert!(text == format!("{}\n", text.trim()) && !text.contains("\n\n\n"), "{place}: {text:?}");
                for line in text.lines() {
                    assert!(line.chars().count() <= 78 && line == line.trim(), "{place}: {line:?}");
                }

                assert!(html.contains(&format!("<html lang=\"{language}\">")), "{place}: {html}");
                assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{place}: {html}");
                assert!(html.contains("&lt;b&gt;&amp;&quot;&#x27;") && !html.contains("<b>"), "{place}: {html}");
                assert!(html.contains(&subject.replace('&', "&amp;")), "{place}: {html}");

                let sms = templates.sms(event_type, language, &context);
                if event_type == "user.registered" {
                    assert_eq!(sms, Err(RenderError::NoSuchMessage), "{place}");
                } else {
                    let sms = sms.as_ref().unwrap();
                    assert!(!sms.is_empty() && sms.chars().count() <= 160, "{place}: {sms:?}");
                    assert_eq!(sms, &one_line(sms), "{place}");
                }
                for output in [&subject, &text, &html, &sms.unwrap_or_default()] {
                    let output = output.to_lowercase();
                    for word in ["undefined", "none", "null", "{{", "{%"] {
                        assert!(!output.contains(word), "{place}: {word} in {output}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_planned_message_has_texts() {
        for event_type in EVENT_TYPES {
            let name = format!("{event_type}/en.txt");
            let (_, source) = SOURCES.iter().copied().flatten().find(|source| source.0 == name).unwrap();
            let has_sms = source.contains("block sms");
            let planned = plan::channels(event_type);
            assert_eq!((planned.contains(&Email), planned.contains(&Sms)), (true, has_sms), "{event_type}");
        }
    }

    #[test]
    fn every_event_type_has_every_language() {
        let mut expected = vec!["layout.html".to_owned()];
        for event_type in EVENT_TYPES {
            for language in LANGUAGES {
                expected.extend(["txt", "html"].map(|kind| format!("{event_type}/{language}.{kind}")));
            }
        }
        let mut names: Vec<_> = SOURCES.iter().copied().flatten().map(|(name, _)| *name).collect();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn mails_load_and_link_to_nothing() {
        for (name, source) in SOURCES.iter().copied().flatten() {
            for word in ["http", "url(", "@import", "src=", "href=", "<a ", "<img", "<link", "<script", "| safe"] {
                assert!(!source.contains(word), "{name}: {word}");
            }
        }
    }

    #[test]
    fn an_order_is_listed() {
        let event = json!({
            "order_id": 7,
            "user_id": 1,
            "items": [
                {
                    "product_id": 1,
                    "name": "Cup <script>",
                    "quantity": 2,
                    "subtotal": {"amount": 123_456, "currency": "EUR"},
                },
                {"product_id": 456, "quantity": 1},
            ],
            "total": {"amount": 123_456, "currency": "EUR"},
        });
        let templates = Templates::new().unwrap();
        let context = about("John Doe", &event);
        let mail = |language| templates.mail("order.confirmed", language, &context).unwrap();
        let sms = |language| templates.sms("order.confirmed", language, &context).unwrap();

        let english = mail("en");
        assert_eq!(english.subject, "Your order 7 is confirmed");
        let items = "2 × Cup <script>: €1,234.56\n1 × Product 456\n\nTotal: €1,234.56\n\n";
        assert!(english.text.contains(items), "{}", english.text);
        assert!(english.html.contains("Cup &lt;script&gt;") && !english.html.contains("<script"), "{}", english.html);
        assert_eq!(sms("en"), "Your order 7 is confirmed. Total: €1,234.56");

        let german = mail("de");
        assert_eq!(german.subject, "Ihre Bestellung 7 ist bestätigt");
        let items = "2 × Cup <script>: 1.234,56\u{a0}€\n1 × Artikel 456\n\nGesamtbetrag: 1.234,56\u{a0}€\n\n";
        assert!(german.text.contains(items), "{}", german.text);
        assert_eq!(sms("de"), "Ihre Bestellung 7 ist bestätigt. Gesamtbetrag: 1.234,56 €");
    }

    /// The rows of the table of an HTML mail.
    fn rows(html: &str) -> Vec<String> {
        let row = |row: &str| {
            let cells = row.split('<').skip(1).filter_map(|tag| tag.split_once('>'));
            cells.map(|(_, text)| text.trim()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
        };
        html.split("<tr>")
            .filter(|part| part.contains("<th "))
            .map(|part| row(part.split("</tr>").next().unwrap()))
            .collect()
    }

    #[test]
    fn payments_and_refunds_are_told_with_amount_and_order() {
        let templates = Templates::new().unwrap();
        for (remaining, language, subject, sentence, lines, sms) in [
            (
                None,
                "en",
                "Receipt for your order 7",
                "Thank you. We have received your payment.",
                &["Order: 7", "Paid: KWD\u{a0}1,234.567"][..],
                "We have received KWD 1,234.567 for your order 7. Thank you.",
            ),
            (
                None,
                "de",
                "Zahlungsbestätigung zu Ihrer Bestellung 7",
                "vielen Dank. Wir haben Ihre Zahlung erhalten.",
                &["Bestellung: 7", "Bezahlt: 1.234,567\u{a0}KWD"],
                "Wir haben 1.234,567 KWD für Ihre Bestellung 7 erhalten. Vielen Dank.",
            ),
            (
                Some(1),
                "en",
                "Refund for your order 7",
                "We have refunded a part of your payment.",
                &["Order: 7", "Refund: KWD\u{a0}1,234.567", "Not refunded: KWD\u{a0}0.001"],
                "We have refunded KWD 1,234.567 for your order 7. Not refunded: KWD 0.001",
            ),
            (
                Some(1),
                "de",
                "Erstattung zu Ihrer Bestellung 7",
                "wir haben Ihnen einen Teil Ihrer Zahlung erstattet.",
                &["Bestellung: 7", "Erstattung: 1.234,567\u{a0}KWD", "Nicht erstattet: 0,001\u{a0}KWD"],
                "Wir haben Ihnen 1.234,567 KWD für Ihre Bestellung 7 erstattet. Nicht erstattet: 0,001 KWD",
            ),
            (
                Some(0),
                "en",
                "Refund for your order 7",
                "Your payment is now refunded in full.",
                &["Order: 7", "Refund: KWD\u{a0}1,234.567"],
                "We have refunded KWD 1,234.567 for your order 7. Your payment is now refunded in full.",
            ),
            (
                Some(0),
                "de",
                "Erstattung zu Ihrer Bestellung 7",
                "Ihre Zahlung ist jetzt vollständig erstattet.",
                &["Bestellung: 7", "Erstattung: 1.234,567\u{a0}KWD"],
                "Wir haben Ihnen 1.234,567 KWD für Ihre Bestellung 7 erstattet. \
                 Ihre Zahlung ist jetzt vollständig erstattet.",
            ),
        ] {
            let event_type = if remaining.is_some() { "payment.refunded" } else { "payment.completed" };
            let event = payment(7, 1_234_567, remaining);
            let context = about("John Doe", &event);
            let mail = templates.mail(event_type, language, &context).unwrap();
            assert_eq!(mail.subject, subject);
            let body = format!("\n\n{sentence}\n\n{}\n\n", lines.join("\n"));
            assert!(mail.text.contains(&body), "{subject}: {}", mail.text);
            assert!(mail.html.contains(&format!(">{sentence}<")), "{subject}: {}", mail.html);
            assert_eq!(rows(&mail.html), lines);
            assert_eq!(templates.sms(event_type, language, &context).unwrap(), sms);
        }
    }

    #[test]
    fn who_has_paid_for_a_cancelled_order_gets_it_back() {
        let templates = Templates::new().unwrap();
        // The longest one.
        let event = json!({"order_id": GREATEST, "user_id": 1, "reason": "payment_timeout"});
        for (language, sentence) in [
            ("en", "If you have paid already, you get your money back."),
            ("de", "Falls Sie schon bezahlt haben, erhalten Sie Ihr Geld zurück."),
        ] {
            let context = about("John Doe", &event);
            let mail = templates.mail("order.cancelled", language, &context).unwrap();
            let sms = templates.sms("order.cancelled", language, &context).unwrap();
            assert!(sms.chars().count() <= 160, "{language}: {sms}");
            for text in [mail.text, mail.html, sms] {
                assert!(one_line(&text).contains(sentence), "{language}: {text}");
            }
        }
    }

    #[test]
    fn a_confirmation_asks_for_no_payment() {
        for (name, source) in SOURCES.iter().copied().flatten().filter(|(name, _)| name.starts_with("order.confirmed/"))
        {
            let source = source.to_lowercase();
            for word in [" pay", "zahl", "überweis", "transfer", "due", "fällig"] {
                assert!(!source.contains(word), "{name}: {word}");
            }
        }
    }

    #[test]
    fn each_reason_of_a_cancellation_has_its_sentence() {
        let templates = Templates::new().unwrap();
        for (reason, english, german) in [
            ("requested", "is cancelled, as requested.", "ist storniert, wie von Ihnen gewünscht."),
            ("payment_failed", "is cancelled: the payment failed.", "ist storniert: Die Zahlung ist fehlgeschlagen."),
            (
                "payment_timeout",
                "is cancelled: it was not paid in time.",
                "ist storniert: Sie wurde nicht rechtzeitig bezahlt.",
            ),
            (
                "out_of_stock",
                "is cancelled: not all of it is in stock.",
                "ist storniert: Nicht alle Artikel sind vorrätig.",
            ),
            ("a_later_one", "is cancelled.", "ist storniert."),
        ] {
            let event = json!({"order_id": 1, "user_id": 1, "reason": reason});
            for (language, sentence) in [("en", english), ("de", german)] {
                let context = about("John Doe", &event);
                let mail = templates.mail("order.cancelled", language, &context).unwrap();
                let sms = templates.sms("order.cancelled", language, &context).unwrap();
                for text in [mail.text, mail.html, sms] {
                    assert!(text.contains(sentence), "{reason}, {language}: {text}");
                }
            }
        }
    }

    #[test]
    fn other_languages_get_english() {
        let templates = Templates::new().unwrap();
        let event = json!({"order_id": 1, "user_id": 1});
        let context = about("John Doe", &event);
        let english = templates.mail("order.completed", "en", &context).unwrap();
        assert_ne!(templates.mail("order.completed", "de", &context).unwrap(), english);
        for language in ["fr", "", "EN", "../en"] {
            assert_eq!(templates.mail("order.completed", language, &context).unwrap(), english, "{language}");
            let sms = templates.sms("order.completed", language, &context).unwrap();
            assert_eq!(sms, "Your order 1 is on its way to you.", "{language}");
        }
    }

    #[test]
    fn money_is_written_as_in_the_language() {
        for (amount, currency, english, german) in [
            (0_u64, "EUR", "€0.00", "0,00\u{a0}€"),
            (5, "EUR", "€0.05", "0,05\u{a0}€"),
            (123_456, "EUR", "€1,234.56", "1.234,56\u{a0}€"),
            (100_000, "USD", "$1,000.00", "1.000,00\u{a0}$"),
            (0, "JPY", "¥0", "0\u{a0}¥"),
            (1_998, "JPY", "¥1,998", "1.998\u{a0}¥"),
            (1_000_005, "JPY", "¥1,000,005", "1.000.005\u{a0}¥"),
            (1_200, "CHF", "CHF\u{a0}12.00", "12,00\u{a0}CHF"),
            (1_200, "CAD", "CAD\u{a0}12.00", "12,00\u{a0}CAD"),
            (12_050, "KWD", "KWD\u{a0}12.050", "12,050\u{a0}KWD"),
            (9_007_199_254_740_991, "EUR", "€90,071,992,547,409.91", "90.071.992.547.409,91\u{a0}€"),
            (9_007_199_254_740_991, "USD", "$90,071,992,547,409.91", "90.071.992.547.409,91\u{a0}$"),
            (9_007_199_254_740_991, "JPY", "¥9,007,199,254,740,991", "9.007.199.254.740.991\u{a0}¥"),
            (9_007_199_254_740_991, "KWD", "KWD\u{a0}9,007,199,254,740.991", "9.007.199.254.740,991\u{a0}KWD"),
        ] {
            let environment = Templates::new().unwrap().environment;
            let money = json!({"amount": amount, "currency": currency});
            for (language, expected) in [("en", english), ("de", german)] {
                let context = context! { language, money => Serde(&money) };
                assert_eq!(environment.render_str("{{ money | money }}", context).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_line_has_no_breaks() {
        assert_eq!(one_line("\r\n a\u{a0}\t b\u{2028}c\0d\n"), "a b c d");
        assert_eq!(one_line("\n "), "");
    }

    #[test]
    fn a_large_order_renders_and_an_absurd_one_does_not() {
        let templates = Templates::new().unwrap();
        let order = |items| {
            let price = json!({"amount": GREATEST, "currency": "KWD"});
            let item = json!({"product_id": 1, "name": "ẞ".repeat(200), "quantity": 1_000_000, "subtotal": price});
            json!({"order_id": GREATEST, "user_id": 1, "items": vec![item; items], "total": price})
        };
        let name = "W".repeat(255);
        let event = order(100);
        assert!(templates.mail("order.confirmed", "de", &about(&name, &event)).is_ok());
        assert!(templates.sms("order.confirmed", "de", &about(&name, &event)).unwrap().chars().count() <= 160);
        let event = order(10_000);
        let error = templates.mail("order.confirmed", "de", &about(&name, &event)).unwrap_err();
        assert!(matches!(error, RenderError::Failed { kind: ErrorKind::OutOfFuel, .. }), "{error:?}");
    }

    #[test]
    fn errors_repeat_no_data() {
        let templates = Templates::new().unwrap();
        let none = json!({});
        let context = about("John Doe", &none);
        assert_eq!(templates.mail("order.unknown", "en", &context), Err(RenderError::NoSuchMessage));
        let error = templates.mail("order.completed", "en", &context).unwrap_err();
        assert_eq!(error.to_string(), "order.completed/en.txt, line 1: undefined value");

        let event = json!({"order_id": 1, "total": "Jane's secret"});
        let error = templates.mail("order.confirmed", "en", &about("John Doe", &event)).unwrap_err();
        assert!(matches!(&error, RenderError::Failed { line: 4, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
