//! Publishing and subscribing, on both carriers.

use std::collections::BTreeSet;

use service_runtime::events::{MAX_DELIVERIES, Outgoing, PREFETCH, Published};
use service_testing::on_both_carriers;

use crate::events::{
    PATIENCE, assert_nothing, envelopes, event, events, next, own, publish, receive, shared, subscribe, text,
};

on_both_carriers! {
    async fn every_queue_gets_every_event_of_its_types(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created", "order.cancelled"])).await;
        let mut mail = subscribe(&transport, shared("mail.events", &["order.created"])).await;
        let sent = [event("order.created", 1), event("order.cancelled", 2), event("order.created", 3)];
        publish(&transport, sent.to_vec()).await;
        assert_eq!(receive(&mut stock, 3).await, envelopes(&sent));
        assert_eq!(receive(&mut mail, 2).await, [sent[0].envelope.clone(), sent[2].envelope.clone()]);
        assert_nothing(&mut mail).await;
        transport.close().await;
    }

    async fn the_subscribers_of_a_queue_share_its_events(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut one = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        // Full, so that the second one's events are not taken by the first one.
        let sent = events("order.created", PREFETCH + 10);
        publish(&transport, sent.clone()).await;
        let mut undecided = Vec::new();
        for _ in 0..PREFETCH {
            undecided.push(next(&mut one).await);
        }
        let mut other = transport.subscribe(shared("stock.events", &["order.created"]));
        let mut received = receive(&mut other, 10).await;
        received.extend(undecided.iter().map(text));
        assert_nothing(&mut other).await;
        assert_eq!(received.len(), sent.len());
        assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), envelopes(&sent).into_iter().collect());
        transport.close().await;
    }

    async fn an_own_queue_gets_everything_while_it_is_subscribed(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut one = subscribe(&transport, own(&["product.updated"])).await;
        let mut other = subscribe(&transport, own(&["product.updated"])).await;
        let sent = events("product.updated", 100);
        publish(&transport, sent.clone()).await;
        assert_eq!(receive(&mut one, 100).await, envelopes(&sent));
        assert_eq!(receive(&mut other, 100).await, envelopes(&sent));
        drop((one, other));
        // Both queues end with their subscriptions: at some time the event is stored nowhere.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while transport.publish(vec![event("product.updated", 0)]).await.unwrap() != [Published::Unroutable] {
            assert!(tokio::time::Instant::now() < deadline, "a queue outlives its subscription");
        }
        let mut late = subscribe(&transport, own(&["product.updated"])).await;
        assert_nothing(&mut late).await;
        transport.close().await;
    }

    async fn an_event_that_no_queue_wants_is_unroutable_if_one_must(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let wanted = event("order.created", 1);
        let mandatory = event("order.lost", 2);
        let optional = Outgoing { mandatory: false, ..event("order.lost", 3) };
        let published = transport.publish(vec![mandatory, wanted.clone(), optional]).await.unwrap();
        assert_eq!(published, [Published::Unroutable, Published::Stored, Published::Stored]);
        assert_eq!(receive(&mut stock, 1).await, [wanted.envelope]);
        assert_eq!(transport.publish(Vec::new()).await.unwrap(), []);
        transport.close().await;
    }

    async fn what_is_dropped_is_delivered_again_and_says_so(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        publish(&transport, vec![event("order.created", 1)]).await;
        let delivery = next(&mut stock).await;
        assert!(!delivery.redelivered);
        drop(delivery);
        let again = next(&mut stock).await;
        assert!(again.redelivered);
        assert_eq!(text(&again), event("order.created", 1).envelope);
        again.ack();
        assert_nothing(&mut stock).await;
        transport.close().await;
    }

    async fn the_next_subscriber_gets_what_the_last_one_left(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let sent = events("order.created", 5);
        publish(&transport, sent.clone()).await;
        // The first is acknowledged, the second held, the others never asked for.
        next(&mut stock).await.ack();
        let held = next(&mut stock).await;
        drop(stock);
        let mut next_one = transport.subscribe(shared("stock.events", &["order.created"]));
        let mut received = receive(&mut next_one, 4).await;
        received.sort();
        assert_eq!(received, envelopes(&sent[1..]));
        held.ack();
        assert_nothing(&mut next_one).await;
        transport.close().await;
    }

    async fn at_most_64_deliveries_are_undecided(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        publish(&transport, events("order.created", 100)).await;
        let mut undecided = Vec::new();
        for _ in 0..PREFETCH {
            undecided.push(next(&mut stock).await);
        }
        assert_nothing(&mut stock).await;
        undecided.pop().unwrap().ack();
        next(&mut stock).await.ack();
        transport.close().await;
    }

    async fn what_goes_back_does_not_hold_up_the_rest(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let sent = events("order.created", 2);
        publish(&transport, vec![sent[0].clone()]).await;
        let first = next(&mut stock).await;
        // The subscriber hears of both at once.
        publish(&transport, vec![sent[1].clone()]).await;
        drop(first);
        let mut received = receive(&mut stock, 2).await;
        received.sort();
        assert_eq!(received, envelopes(&sent));
        transport.close().await;
    }

    async fn a_message_that_is_never_decided_becomes_a_dead_letter(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let queue = "stock.events";
        let mut stock = subscribe(&transport, shared(queue, &["order.created"])).await;
        publish(&transport, vec![event("order.created", 1)]).await;
        for number in 1..=MAX_DELIVERIES {
            let poison = next(&mut stock).await;
            assert_eq!(poison.redelivered, number > 1, "{number}");
            // First the subscription: what goes back earlier is delivered to it once more.
            stock = transport.subscribe(shared(queue, &["order.created"]));
            drop(poison);
        }
        assert_nothing(&mut stock).await;
        let letters = transport.dead_letters(queue, 10).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].event_id, event("order.created", 1).event_id);
        assert_eq!(letters[0].event_type, "order.created");
        assert_eq!(letters[0].reason, "21 deliveries without a decision");
        transport.close().await;
    }

    async fn ten_thousand_events_arrive_once_and_in_order(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        let sent = events("order.created", 10_000);
        let publisher = async {
            for batch in sent.chunks(256) {
                let published = transport.publish(batch.to_vec()).await.unwrap();
                assert!(published.iter().all(|outcome| *outcome == Published::Stored));
            }
        };
        let (received, ()) = tokio::join!(receive(&mut stock, sent.len()), publisher);
        assert!(received == envelopes(&sent), "not in order");
        assert_nothing(&mut stock).await;
        transport.close().await;
    }

    async fn a_closed_transport_ends_its_subscriptions(carrier: TestCarrier) {
        let transport = carrier.open().await;
        let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
        transport.close().await;
        assert!(stock.next().await.is_none());
        assert!(transport.publish(vec![event("order.created", 1)]).await.is_err());
        assert!(transport.subscribe(own(&["order.created"])).next().await.is_none());
    }
}
