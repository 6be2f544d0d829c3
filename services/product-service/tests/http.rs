//! product-service as its clients see it: real HTTP, through the generated client, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use futures::future::join_all;
use product_client::{Client, Error, ResponseValue, types};
use product_service::SERVICE;
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use uuid::Uuid;

async fn start(database: &TestDatabase) -> (Client, Server) {
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap();
    (Client::plain(&server.url()), server)
}

fn price() -> types::Money {
    types::Money { amount: 1998.try_into().unwrap(), currency: "EUR".parse().unwrap() }
}

async fn create(client: &Client, sku: &str) -> types::Product {
    let body = |body: types::builder::ProductCreate| body.sku(sku).name("Mug").category("kitchen").price(price());
    client.product_create().body_map(body).send().await.unwrap().into_inner()
}

async fn change_stock(
    client: &Client,
    product: &types::Product,
    change: i64,
) -> Result<ResponseValue<types::Product>, Error<types::Error>> {
    let body = |body: types::builder::StockChange| body.quantity_change(change);
    client.product_change_stock().product_id(product.id).body_map(body).send().await
}

async fn reserve(
    client: &Client,
    product: &types::Product,
    quantity: i32,
) -> Result<ResponseValue<types::Reservation>, Error<types::Error>> {
    let item = types::ReservationItem { product_id: product.id, quantity: quantity.try_into().unwrap() };
    let body = |body: types::builder::ReservationCreate| {
        body.reservation_id(Uuid::new_v4().to_string()).items(vec![item.clone()])
    };
    client.reservation_create().body_map(body).send().await
}

fn status_and_code<T: std::fmt::Debug>(result: Result<T, Error<types::Error>>) -> (u16, String) {
    match result {
        Err(Error::ErrorResponse(error)) => (error.status().as_u16(), error.error_code.clone().unwrap_or_default()),
        other => panic!("not an error of the contract: {other:?}"),
    }
}

on_both_databases! {
    async fn a_created_product_can_be_read_at_its_location(database: TestDatabase) {
        let (client, server) = start(&database).await;
        let body = |body: types::builder::ProductCreate| body.sku("A").name("Mug").category("kitchen").price(price());
        let created = client.product_create().body_map(body).send().await.unwrap();
        let location = created.headers()["location"].to_str().unwrap();
        let read = reqwest::get(format!("{}{location}", server.url())).await.unwrap();
        assert_eq!(read.headers()["etag"], created.headers()["etag"]);
        assert_eq!(read.json::<types::Product>().await.unwrap(), *created);
    }

    async fn a_list_has_every_product_once_whatever_the_limit(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        for sku in ["A", "B", "C"] {
            create(&client, sku).await;
        }
        for limit in [1, 2, 3] {
            let mut page = client.product_list().limit(limit).category("kitchen").send().await.unwrap().into_inner();
            let mut ids = Vec::new();
            loop {
                ids.extend(page.items.iter().map(|product| product.id.get()));
                let Some(token) = page.next_page else { break };
                page = client.product_list().page_token(token).send().await.unwrap().into_inner();
            }
            assert_eq!(ids, [3, 2, 1], "limit {limit}");
        }
    }

    async fn a_page_token_refuses_other_filters(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        for sku in ["A", "B"] {
            create(&client, sku).await;
        }
        let first = client.product_list().limit(1).category("kitchen").in_stock(false).send().await.unwrap();
        let token = first.next_page.clone().unwrap();
        let next = client.product_list().page_token(&token).category("kitchen").in_stock(false).send().await.unwrap();
        assert_eq!(next.items.iter().map(|product| product.id.get()).collect::<Vec<_>>(), [1]);
        for other in [
            client.product_list().page_token(&token).category("office"),
            client.product_list().page_token(&token).in_stock(true),
            client.product_list().page_token(&token).ids("1"),
        ] {
            assert_eq!(status_and_code(other.send().await), (400, "invalid_page_token".to_owned()));
        }
    }

    async fn a_list_of_reservations_has_each_once_whatever_the_limit(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        change_stock(&client, &product, 3).await.unwrap();
        let mut reserved = Vec::new();
        for _ in 0..3 {
            reserved.push(reserve(&client, &product, 1).await.unwrap().into_inner());
        }
        reserved.sort_by(|one, other| one.reservation_id.as_str().cmp(other.reservation_id.as_str()));
        for limit in [1_usize, 2, 3] {
            let mut page = client.reservation_list().limit(limit as u64).send().await.unwrap().into_inner();
            let mut listed = page.items;
            while listed.len() < reserved.len() {
                let token = page.next_page.unwrap();
                page = client.reservation_list().page_token(token).send().await.unwrap().into_inner();
                assert!(page.items.len() <= limit, "{} > {limit}", page.items.len());
                listed.append(&mut page.items);
            }
            assert_eq!((listed, page.next_page), (reserved.clone(), None), "limit {limit}");
        }
    }

    async fn of_many_editors_with_one_etag_one_succeeds(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        let edits = (0..8).map(|number| {
            let body = move |body: types::builder::ProductReplace| {
                body.sku("A").name(format!("Mug {number}")).category("kitchen").price(price())
            };
            client.product_replace().product_id(product.id).if_match("\"1\"").body_map(body).send()
        });
        let (done, refused): (Vec<_>, Vec<_>) = join_all(edits).await.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        for result in refused {
            assert_eq!(status_and_code(result), (412, "version_mismatch".to_owned()));
        }
        let stored = client.product_view().product_id(product.id).send().await.unwrap();
        assert_eq!(stored.headers()["etag"], "\"2.0.0\"");
        assert_eq!(stored.name, done[0].as_ref().unwrap().name);
    }

    async fn of_many_products_with_one_sku_one_is_created(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let creations = (0..8).map(|number| {
            let body = move |body: types::builder::ProductCreate| {
                body.sku("A").name(format!("Mug {number}")).category("kitchen").price(price())
            };
            client.product_create().body_map(body).send()
        });
        let (done, refused): (Vec<_>, Vec<_>) = join_all(creations).await.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        for result in refused {
            assert_eq!(status_and_code(result), (409, "sku_taken".to_owned()));
        }
    }

    async fn a_reader_with_the_etag_gets_the_product_only_if_it_or_its_stock_changed(database: TestDatabase) {
        let (client, server) = start(&database).await;
        let product = create(&client, "A").await;
        let http = reqwest::Client::new();
        let read = async |etag: &str| {
            let url = format!("{}/api/v1/products/{}", server.url(), product.id);
            http.get(url).header("if-none-match", etag).send().await.unwrap()
        };
        let etag = |response: &reqwest::Response| response.headers()["etag"].to_str().unwrap().to_owned();
        let first = etag(&read("\"none\"").await);
        let same = read(&first).await;
        assert_eq!((same.status().as_u16(), etag(&same)), (304, first.clone()));
        assert_eq!(same.text().await.unwrap(), "");
        let stocked = change_stock(&client, &product, 3).await.unwrap();
        assert_eq!(stocked.headers()["etag"], etag(&read(&first).await));
        let with_stock = etag(&read(&first).await);
        reserve(&client, &product, 1).await.unwrap();
        let reserved = read(&with_stock).await;
        assert_eq!((reserved.status().as_u16(), reserved.json::<types::Product>().await.unwrap().reserved.get()), (200, 1));
    }

    async fn a_reservation_does_not_disturb_an_editor(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        let etag = change_stock(&client, &product, 3).await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
        reserve(&client, &product, 1).await.unwrap();
        let body = |body: types::builder::ProductReplace| body.sku("A").name("Pot").category("kitchen").price(price());
        let edit = client.product_replace().product_id(product.id).if_match(etag.as_str()).body_map(body).send().await.unwrap();
        assert_eq!((edit.stock.get(), edit.reserved.get()), (2, 1));
    }

    async fn what_is_reserved_cannot_be_taken_away(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        change_stock(&client, &product, 3).await.unwrap();
        let reservation = reserve(&client, &product, 2).await.unwrap();
        let code = |code: &str| (409, code.to_owned());
        assert_eq!(status_and_code(change_stock(&client, &product, -2).await), code("insufficient_stock"));
        assert_eq!(status_and_code(reserve(&client, &product, 2).await), code("insufficient_stock"));
        change_stock(&client, &product, -1).await.unwrap();
        let id = reservation.reservation_id.to_string();
        client.reservation_release().reservation_id(&*id).send().await.unwrap();
        let product = client.product_view().product_id(product.id).send().await.unwrap();
        assert_eq!((product.stock.get(), product.reserved.get(), product.version.get()), (2, 0, 3));
    }

    async fn a_deleted_product_leaves_its_reservations_readable(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        change_stock(&client, &product, 3).await.unwrap();
        let id = reserve(&client, &product, 2).await.unwrap().reservation_id.to_string();
        client.product_delete().product_id(product.id).send().await.unwrap();
        let read = client.reservation_view().reservation_id(&*id).send().await.unwrap();
        assert_eq!((read.items[0].name.as_str(), read.status), ("Mug", types::ReservationStatus::Held));
        client.reservation_release().reservation_id(&*id).send().await.unwrap();
    }

    async fn a_repeated_change_of_stock_is_replayed_even_if_nothing_is_left(database: TestDatabase) {
        let ((one, _first), (other, _second)) = (start(&database).await, start(&database).await);
        let product = create(&one, "A").await;
        for (number, etag) in [None, Some("\"4\"")].into_iter().enumerate() {
            change_stock(&one, &product, 5).await.unwrap();
            let taken = (0..20).map(|attempt| {
                let body = |body: types::builder::StockChange| body.quantity_change(-5i64);
                let client = if attempt % 2 == 0 { &one } else { &other };
                let request = client.product_change_stock().product_id(product.id).body_map(body);
                let request = request.idempotency_key(format!("take-{number}"));
                match etag {
                    Some(etag) => request.if_match(etag).send(),
                    None => request.send(),
                }
            });
            for outcome in join_all(taken).await {
                if let Err(error) = outcome {
                    let in_use = (409, "idempotency_key_in_use".to_owned());
                    assert_eq!(status_and_code::<types::Product>(Err(error)), in_use, "{etag:?}");
                }
            }
            let left = one.product_view().product_id(product.id).send().await.unwrap();
            assert_eq!((left.stock.get(), left.version.get()), (0, 3 + 2 * number as u64), "{etag:?}");
        }
    }
}
