//! Bookkeeping: which orders were confirmed, what notification-service says of them, and what the mail server has.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde_json::Value;

use crate::customers::Placed;
use crate::mail_server::Mail;

/// The comparison.
#[derive(Debug, Default)]
pub(super) struct Books {
    orders: usize,
    pub(super) confirmed: usize,
    /// E-mails about confirmed orders that the mail server has.
    mails: usize,
    /// Those that it had already.
    repeated: usize,
    /// The largest number of e-mails about one order.
    most: usize,
    /// Where the books differ.
    pub(super) wrong: Vec<String>,
}

impl Books {
    /// Compares the `notifications`, as notification-service lists them, and the `mails` with the orders that an event says
    /// are `confirmed`, among them all whose customers were told so.
    pub(super) fn compare(
        placed: &[Placed],
        confirmed: &BTreeSet<i64>,
        notifications: &[Value],
        mails: &[Mail],
    ) -> Self {
        let mut books = Self { orders: placed.len(), confirmed: confirmed.len(), ..Self::default() };
        let missing = placed.iter().filter(|order| order.confirmed && !confirmed.contains(&order.order_id));
        books.wrong.extend(missing.map(|order| format!("no event says that order {} is confirmed", order.order_id)));
        books.check_notifications(confirmed, notifications);
        books.check_mails(confirmed, mails);
        books.check_ids(mails);
        books
    }

    /// Each order that was confirmed has one notification, which is sent, and no other order has any.
    fn check_notifications(&mut self, confirmed: &BTreeSet<i64>, notifications: &[Value]) {
        let mut statuses = HashMap::<i64, Vec<&str>>::new();
        for row in notifications {
            if row["event_type"] == "order.confirmed" && row["channel"] == "email" {
                let order_id = row["order_id"].as_i64().unwrap_or_default();
                statuses.entry(order_id).or_default().push(row["status"].as_str().unwrap_or_default());
            }
        }
        for order_id in confirmed {
            let found = statuses.remove(order_id).unwrap_or_default();
            if found != ["sent"] {
                self.wrong.push(format!("order {order_id} is confirmed, its notifications are {found:?}"));
            }
        }
        let mut others: Vec<_> = statuses.into_keys().collect();
        others.sort_unstable();
        self.wrong.extend(others.iter().map(|id| format!("order {id} has a notification, but is not confirmed")));
    }

    /// At least one e-mail was accepted for each order that was confirmed; all that it has have the same `Message-ID`; and
    /// no other order has any.
    fn check_mails(&mut self, confirmed: &BTreeSet<i64>, mails: &[Mail]) {
        let mut by_order = BTreeMap::<i64, Vec<&Mail>>::new();
        for mail in mails {
            if let Some(order_id) = confirmed_order(mail) {
                by_order.entry(order_id).or_default().push(mail);
            }
        }
        for order_id in confirmed {
            let found = by_order.remove(order_id).unwrap_or_default();
            let ids: HashSet<_> = found.iter().map(|mail| &mail.message_id).collect();
            if !found.iter().any(|mail| mail.accepted) {
                self.wrong.push(format!("order {order_id} is confirmed, but no e-mail about it was accepted"));
            } else if ids.len() > 1 {
                self.wrong.push(format!("the {} e-mails about order {order_id} have {} ids", found.len(), ids.len()));
            }
            self.mails += found.len();
            self.repeated += found.len().saturating_sub(1);
            self.most = self.most.max(found.len());
        }
        self.wrong.extend(by_order.into_keys().map(|id| format!("order {id} is told of, but is not confirmed")));
    }

    /// E-mails with the same `Message-ID` say the same to the same user.
    fn check_ids(&mut self, mails: &[Mail]) {
        let mut contents = HashMap::new();
        for mail in mails {
            let content = (&mail.subject, &mail.recipient);
            let Mail { message_id, subject, .. } = mail;
            if *contents.entry(message_id).or_insert(content) != content {
                self.wrong.push(format!("{message_id} is also the id of another message, now of {subject:?}"));
            }
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, confirmed, mails, repeated, most, wrong } = self;
        write!(
            f,
            "{orders} orders, {confirmed} of them confirmed, {mails} e-mails about these, {repeated} of them repeated"
        )?;
        write!(f, " (at most {most} about one order), {} wrong", wrong.len())
    }
}

/// The order that an e-mail says is confirmed.
fn confirmed_order(mail: &Mail) -> Option<i64> {
    mail.subject.strip_prefix("Your order ")?.strip_suffix(" is confirmed")?.parse().ok()
}

/// The orders that the accepted e-mails say are confirmed.
pub(super) fn told(mails: &[Mail]) -> HashSet<i64> {
    mails.iter().filter(|mail| mail.accepted).filter_map(confirmed_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn placed() -> Vec<Placed> {
        let placed = |order_id, status, confirmed| Placed { order_id, status: Some(status), confirmed };
        vec![placed(1, "confirmed", true), placed(2, "cancelled", true), placed(3, "cancelled", false)]
    }

    fn notification(order_id: i64, event_type: &str, channel: &str, status: &str) -> Value {
        json!({ "order_id": order_id, "event_type": event_type, "channel": channel, "status": status })
    }

    fn mail(message_id: &str, subject: &str, accepted: bool) -> Mail {
        let [message_id, subject, recipient] = [message_id, subject, "a@b"].map(str::to_owned);
        Mail { message_id, subject, recipient, accepted }
    }

    /// What is wrong after a change of books that agree.
    fn wrong(change: impl FnOnce(&mut Vec<Value>, &mut Vec<Mail>)) -> usize {
        let mut notifications = vec![
            notification(1, "order.confirmed", "email", "sent"),
            notification(1, "order.confirmed", "sms", "suppressed"),
            notification(2, "order.confirmed", "email", "sent"),
            notification(3, "order.cancelled", "email", "sent"),
        ];
        let mut mails = vec![
            mail("a", "Your order 1 is confirmed", false),
            mail("a", "Your order 1 is confirmed", true),
            mail("b", "Your order 2 is confirmed", true),
            mail("c", "Your order 3 is cancelled", true),
        ];
        change(&mut notifications, &mut mails);
        let books = Books::compare(&placed(), &[1, 2].into(), &notifications, &mails);
        assert_eq!((books.orders, books.confirmed), (3, 2));
        books.wrong.len()
    }

    #[test]
    fn books_that_agree() {
        assert_eq!(wrong(|_, _| {}), 0);
        let again =
            |_: &mut Vec<Value>, mails: &mut Vec<Mail>| mails.push(mail("b", "Your order 2 is confirmed", true));
        assert_eq!(wrong(again), 0, "the same message may come again");
    }

    #[test]
    fn a_confirmation_without_an_event_is_found() {
        let wrong = Books::compare(&placed(), &BTreeSet::new(), &[], &[]).wrong;
        assert_eq!(wrong, [1, 2].map(|id| format!("no event says that order {id} is confirmed")));
    }

    #[test]
    fn every_difference_is_found() {
        assert_eq!(wrong(|rows, _| drop(rows.remove(0))), 1, "no notification");
        assert_eq!(wrong(|rows, _| rows[0]["status"] = json!("queued")), 1, "one that is not sent");
        assert_eq!(wrong(|rows, _| rows.push(notification(1, "order.confirmed", "email", "sent"))), 1, "two");
        assert_eq!(wrong(|rows, _| rows.push(notification(3, "order.confirmed", "email", "sent"))), 1, "not confirmed");
        assert_eq!(wrong(|_, mails| drop(mails.remove(2))), 1, "no e-mail");
        assert_eq!(wrong(|_, mails| mails[1].accepted = false), 1, "none that was accepted");
        assert_eq!(wrong(|_, mails| mails.push(mail("d", "Your order 3 is confirmed", true))), 1, "not confirmed");
        assert_eq!(wrong(|_, mails| mails.push(mail("d", "Your order 1 is confirmed", true))), 1, "another id");
        assert_eq!(wrong(|_, mails| mails[3].message_id = "b".to_owned()), 1, "the id of another order");
        assert_eq!(wrong(|_, mails| mails[1].recipient = "c@d".to_owned()), 1, "another recipient");
    }
}
