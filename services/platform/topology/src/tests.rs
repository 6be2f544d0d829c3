use super::*;

const TWO: &str = r#"
    [[service]]
    name = "user-service"
    port = 8001
    database = "users"
    publishes = ["user.created"]

    [[service]]
    name = "order-service"
    port = 8003
    database = "orders"
    calls = ["user-service"]
    consumes = ["user.created"]
"#;

#[test]
fn each_broken_rule_is_named() {
    let cases = [
        (r#"name = "order-service""#, r#"name = "user-service""#, "`user-service` is listed twice"),
        ("port = 8003", "port = 8001", "`order-service` has the port 8001 of another service"),
        ("port = 8003", "port = 800", "the port 800 of `order-service` is not one of 8001..=8099"),
        (r#""orders""#, r#""users""#, "`order-service` has the database `users` of another service"),
        (r#""orders""#, r#""o;""#, "`order-service` or its database `o;` is not a name in lower case"),
        (r#"["user-service"]"#, r#"["other"]"#, "`order-service` calls `other`, which is not listed above it"),
        (r#"["user-service"]"#, r#"["order-service"]"#, "`order-service` calls `order-service`, which is not"),
        (
            "port = 8001",
            "port = 8001\ncalls = [\"order-service\"]",
            "`user-service` calls `order-service`, which is not",
        ),
        (
            r#"calls = ["user-service"]"#,
            r#"optional_calls = ["user-service"]"#,
            "`order-service` optionally calls `user-service`, which is not in its `calls`",
        ),
        (r#"consumes = ["user.created"]"#, r#"publishes = ["user.created"]"#, "`user.created` is published twice"),
        (r#"["user.created"]"#, r#"["user.renamed"]"#, "`order-service` consumes `user.created`, which no service"),
        ("port = 8003", "port = 8003\nports = 3", "unknown field `ports`"),
    ];
    for (from, to, message) in cases {
        let error = Platform::parse(&TWO.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
}
