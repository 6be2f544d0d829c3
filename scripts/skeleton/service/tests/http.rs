//! widget-service as its clients see it: real HTTP, through the generated client, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use widget_client::{Client, types};
use widget_service::SERVICE;

async fn start(database: &TestDatabase) -> (Client, Server) {
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap();
    (Client::plain(&server.url()), server)
}

async fn create(client: &Client, name: &str) -> types::Widget {
    client.widget_create().body_map(|body| body.name(name)).send().await.unwrap().into_inner()
}

on_both_databases! {
    async fn a_created_widget_can_be_read_at_its_location(database: TestDatabase) {
        let (client, server) = start(&database).await;
        let created = client.widget_create().body_map(|body| body.name("First widget")).send().await.unwrap();
        let location = created.headers()["location"].to_str().unwrap();
        let read = reqwest::get(format!("{}{location}", server.url())).await.unwrap();
        assert_eq!(read.json::<types::Widget>().await.unwrap(), *created);
    }

    async fn a_list_has_every_widget_once_whatever_the_limit(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        for name in ["a", "b", "c"] {
            create(&client, name).await;
        }
        for limit in [1, 2, 3] {
            let mut page = client.widget_list().limit(limit).send().await.unwrap().into_inner();
            let mut ids = Vec::new();
            loop {
                ids.extend(page.items.iter().map(|widget| widget.id.get()));
                let Some(token) = page.next_page else { break };
                page = client.widget_list().page_token(token).send().await.unwrap().into_inner();
            }
            assert_eq!(ids, [1, 2, 3], "limit {limit}");
        }
    }
}
