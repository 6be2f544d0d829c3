//! Runs the generic suite for every service of the platform, on both databases.

#[path = "../src/generated/services.rs"]
mod services;

use service_testing::suite;
use service_testing::world::World;

fn world() -> World {
    World::new(services::SERVICES)
}

#[tokio::test]
async fn every_example_gets_its_literal_response() {
    suite::golden(world()).await;
}

#[tokio::test]
async fn a_key_makes_every_creation_safe_to_repeat() {
    suite::idempotency(world()).await;
}

#[tokio::test]
async fn bad_input_is_refused_and_changes_nothing() {
    suite::bad_input(world()).await;
}

#[tokio::test]
async fn the_next_page_may_repeat_the_filters() {
    suite::pages(world()).await;
}

#[tokio::test]
async fn document_docs_metrics_and_health_are_served() {
    suite::served(world()).await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_on_shutdown() {
    suite::drain(world()).await;
}
