//! The generator of requests.

use super::*;

fn generate(seed: u64, count: usize) -> Vec<FuzzRequest> {
    let mut generator = Generator::new(fastrand::Rng::with_seed(seed), 3);
    (0..count).map(|_| generator.generate()).collect()
}

#[test]
fn a_seed_determines_the_requests() {
    let bytes = |seed| generate(seed, 200).into_iter().map(|request| request.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn a_mutated_order_is_never_for_another_user() {
    let mut generator = Generator::new(fastrand::Rng::with_seed(5), 3);
    for _ in 0..20_000 {
        let mut body = br#"{"user_id":61}"#.to_vec();
        generator.mutate_bytes(&mut body);
        let user_id =
            serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|order| order["user_id"].as_i64());
        assert!(user_id.is_none_or(|id| id < 1 || id == 61), "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn every_operation_is_generated() {
    let all = generate(7, 5000);
    assert!(all.iter().filter(|request| request.answerable).count() > 4000);
    for begin in [
        "POST /api/v1/users ",
        "GET /api/v1/users?",
        "GET /api/v1/users/6",
        "PUT /api/v1/users/6",
        "DELETE /api/v1/users/6",
        "POST /api/v1/orders ",
        "GET /api/v1/orders?",
        "GET /api/v1/orders/6",
        "PUT /api/v1/orders/6",
        "POST /api/v1/orders/6",
    ] {
        assert!(all.iter().any(|request| request.bytes.starts_with(begin.as_bytes())), "{begin}");
    }
}
