//! What operators do with dead letters, on both carriers.

use chrono::{TimeDelta, Utc};
use service_runtime::events::{DeadLetter, DeadLetterCommand, Transport};
use service_testing::on_both_carriers;

use crate::events::{PATIENCE, assert_nothing, event, events, next, publish, receive, shared, subscribe, text};

/// The dead letters of the queue, once there are `count`.
async fn letters(transport: &Transport, queue: &str, count: usize) -> Vec<DeadLetter> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let letters = transport.dead_letters(queue, 2000).await.unwrap();
        if letters.len() == count {
            return letters;
        }
        assert!(tokio::time::Instant::now() < deadline, "{letters:?}");
    }
}

/// The command of an operator.
fn replay(id: &str) -> DeadLetterCommand {
    DeadLetterCommand { replay_dead_letter: Some(id.to_owned()), ..Default::default() }
}

on_both_carriers! {
    async fn a_dead_letter_has_its_reason(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let mut mail = subscribe(&transport, shared("mail.events", &["order.created"])).await;
        publish(&transport, events("order.created", 3)).await;
        for number in 0..3 {
            next(&mut stock).await.dead_letter(format!("no field amount in {number}"));
        }
        let dead = letters(&transport, "stock.events", 3).await;
        for (number, letter) in dead.iter().enumerate() {
            let event = event("order.created", number);
            assert_eq!((&letter.event_id, &letter.event_type), (&event.event_id, &event.event_type));
            assert_eq!(letter.envelope, event.envelope.as_bytes());
            assert_eq!(letter.reason, format!("no field amount in {number}"));
            assert!((Utc::now() - letter.dead_since).abs() < TimeDelta::seconds(60), "{}", letter.dead_since);
        }
        assert!(transport.dead_letters("stock.events", 2).await.unwrap().len() <= 2);
        assert_nothing(&mut stock).await;
        // Another queue has its own.
        assert_eq!(receive(&mut mail, 3).await.len(), 3);
        assert_eq!(transport.dead_letters("mail.events", 10).await.unwrap().len(), 0);
        transport.close().await;
    }

    async fn a_replayed_event_goes_to_its_queue_only(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let mut mail = subscribe(&transport, shared("mail.events", &["order.created"])).await;
        publish(&transport, events("order.created", 3)).await;
        receive(&mut mail, 3).await;
        for _ in 0..3 {
            next(&mut stock).await.dead_letter("a bug");
        }
        letters(&transport, "stock.events", 3).await;
        let second = event("order.created", 1);
        assert_eq!(transport.replay("stock.events", Some(&second.event_id)).await.unwrap().len(), 1);
        let again = next(&mut stock).await;
        assert_eq!(text(&again), second.envelope);
        again.ack();
        assert_nothing(&mut stock).await;
        assert_nothing(&mut mail).await;
        let left = letters(&transport, "stock.events", 2).await;
        let left: Vec<_> = left.into_iter().map(|letter| letter.event_id).collect();
        assert_eq!(left, [event("order.created", 0).event_id, event("order.created", 2).event_id]);
        assert!(transport.replay("stock.events", Some(&second.event_id)).await.unwrap().is_empty(), "it is replayed twice");
        transport.close().await;
    }

    async fn a_replayed_event_waits_for_its_subscriber(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        publish(&transport, vec![event("order.created", 1)]).await;
        next(&mut stock).await.dead_letter("a bug");
        letters(&transport, "stock.events", 1).await;
        drop(stock);
        transport.close().await;
        let transport = carrier.open().await;
        assert_eq!(transport.replay("stock.events", Some(&event("order.created", 1).event_id)).await.unwrap().len(), 1);
        let mut stock = transport.subscribe(shared("stock.events", &[]));
        let _held = next(&mut stock).await;
        assert_nothing(&mut stock).await;
        transport.close().await;
    }

    async fn a_replayed_event_can_die_again(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let poison = event("order.created", 1);
        publish(&transport, vec![poison.clone()]).await;
        next(&mut stock).await.dead_letter("first");
        letters(&transport, "stock.events", 1).await;
        assert_eq!(transport.replay("stock.events", Some(&poison.event_id)).await.unwrap().len(), 1);
        next(&mut stock).await.dead_letter("second");
        assert_eq!(letters(&transport, "stock.events", 1).await[0].reason, "second");
        transport.close().await;
    }

    async fn all_dead_letters_are_replayed_however_many(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        publish(&transport, events("order.created", 1100)).await;
        for _ in 0..1100 {
            next(&mut stock).await.dead_letter("a bug");
        }
        letters(&transport, "stock.events", 1100).await;
        let queues = ["stock.events".to_owned()];
        let replay_all = replay("all");
        let replaying = replay_all.run(&transport, &queues);
        let handle = async {
            for _ in 0..1100 {
                next(&mut stock).await.ack();
            }
        };
        let (replayed, ()) = tokio::join!(replaying, handle);
        replayed.unwrap();
        assert!(transport.dead_letters("stock.events", 1).await.unwrap().is_empty());
        let missing = replay("no such event").run(&transport, &queues).await;
        assert!(missing.unwrap_err().to_string().contains("no such event"));
        transport.close().await;
    }

    async fn a_dropped_dead_letter_is_gone(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        publish(&transport, events("order.created", 2)).await;
        for _ in 0..2 {
            next(&mut stock).await.dead_letter("a bug");
        }
        letters(&transport, "stock.events", 2).await;
        let first = event("order.created", 0).event_id;
        assert_eq!(transport.drop_dead_letters("stock.events", Some(&first)).await.unwrap(), vec![first.clone()]);
        assert_eq!(letters(&transport, "stock.events", 1).await[0].event_id, event("order.created", 1).event_id);
        assert!(transport.drop_dead_letters("stock.events", Some(&first)).await.unwrap().is_empty());
        assert_nothing(&mut stock).await;
        transport.close().await;
    }
}
