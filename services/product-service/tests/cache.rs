//! What a reader sees of a write: two instances on one database, each with its own cache, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use product_client::{Client, types};
use product_service::SERVICE;
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use uuid::Uuid;

async fn start(database: &TestDatabase) -> (Client, Server) {
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap();
    (Client::plain(&server.url()), server)
}

async fn create(client: &Client, sku: &str) -> types::Product {
    let price = types::Money { amount: 1998.into(), currency: "EUR".parse().unwrap() };
    let body = |body: types::builder::ProductCreate| {
        body.sku(sku).name("Mug").category("kitchen").price(price).stock(types::Pieces::from(3))
    };
    client.product_create().body_map(body).send().await.unwrap().into_inner()
}

async fn rename(client: &Client, product: &types::Product, name: &str) {
    let body = |body: types::builder::ProductReplace| {
        body.sku("A").name(name).category("kitchen").price(product.price.clone())
    };
    client.product_replace().product_id(product.id).body_map(body).send().await.unwrap();
}

async fn read(client: &Client, product: &types::Product) -> types::Product {
    client.product_view().product_id(product.id).send().await.unwrap().into_inner()
}

async fn first_page(client: &Client) -> Vec<types::Product> {
    client.product_list().search("mug").send().await.unwrap().into_inner().items
}

async fn reserve(client: &Client, product: &types::Product) {
    let item = types::ReservationItem { product_id: product.id, quantity: 1.try_into().unwrap() };
    let body = |body: types::builder::ReservationCreate| {
        body.reservation_id(Uuid::new_v4().to_string()).items(vec![item.clone()])
    };
    client.reservation_create().body_map(body).send().await.unwrap();
}

on_both_databases! {
    async fn a_client_reads_what_it_has_written(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let product = create(&client, "A").await;
        for number in 0..20 {
            let name = format!("Mug {number}");
            // Readers whose loads are in flight while the write is.
            let reads = futures::future::join_all((0..8).map(|_| read(&client, &product)));
            futures::join!(reads, first_page(&client), rename(&client, &product, &name));
            assert_eq!(*read(&client, &product).await.name, name);
            assert_eq!(*first_page(&client).await[0].name, name);
        }
        client.product_delete().product_id(product.id).send().await.unwrap();
        assert!(client.product_view().product_id(product.id).send().await.is_err());
        assert_eq!(first_page(&client).await, []);
    }

    async fn stock_is_never_old(database: TestDatabase) {
        let ((one, _first), (other, _second)) = (start(&database).await, start(&database).await);
        let product = create(&one, "A").await;
        for reserved in 0..=3 {
            for client in [&one, &other] {
                for seen in [read(client, &product).await, first_page(client).await.remove(0)] {
                    assert_eq!((seen.stock.get(), seen.reserved.get()), (3 - reserved, reserved));
                }
            }
            if reserved < 3 {
                reserve(&one, &product).await;
            }
        }
    }

    async fn another_instance_sees_a_write_soon(database: TestDatabase) {
        let ((one, _first), (other, _second)) = (start(&database).await, start(&database).await);
        let product = create(&one, "A").await;
        assert_eq!((read(&other, &product).await, first_page(&other).await.len()), (product.clone(), 1));
        rename(&one, &product, "Pot mug").await;
        // The runner limits how long this may take.
        while *read(&other, &product).await.name != *"Pot mug" || *first_page(&other).await[0].name != *"Pot mug" {
            tokio::task::yield_now().await;
        }
        one.product_delete().product_id(product.id).send().await.unwrap();
        // Its stock is gone at once, so the cached product is as well.
        assert!(other.product_view().product_id(product.id).send().await.is_err());
        assert_eq!(first_page(&other).await, []);
    }
}
