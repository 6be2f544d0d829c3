use super::*;

const TWO: &str = r#"
    [[service]]
    name = "user-service"
    port = 1
    database = "users"
    publishes = ["user.created"]

    [[service]]
    name = "order-service"
    port = 2
    database = "orders"
    calls = ["user-service"]
    consumes = ["user.created"]
"#;

#[test]
fn the_file_of_the_platform_is_valid() {
    assert!(!platform().services.is_empty());
}

#[test]
fn a_service_is_found_by_its_name() {
    let platform = Platform::parse(TWO).unwrap();
    assert_eq!(platform.service("order-service").unwrap().database, "orders");
    assert!(platform.service("orders").is_none());
}

#[test]
fn names_are_derived_from_the_name_of_the_service() {
    let platform = Platform::parse(TWO).unwrap();
    let service = platform.service("user-service").unwrap();
    assert_eq!(service.local_url(), "http://127.0.0.1:1");
    assert_eq!(service.identifier(), "user_service");
    assert_eq!(service.variable(), "USER_SERVICE");
    assert_eq!(service.client(), "user-client");
}

#[test]
fn each_broken_rule_is_named() {
    let cases = [
        (r#"name = "order-service""#, r#"name = "user-service""#, "`user-service` is listed twice"),
        ("port = 2", "port = 1", "`order-service` has the port 1 of another service"),
        (r#""orders""#, r#""users""#, "`order-service` has the database `users` of another service"),
        (r#""orders""#, r#""o;""#, "`order-service` or its database `o;` is not a name in lower case"),
        (r#"["user-service"]"#, r#"["other"]"#, "`order-service` calls `other`, which is not listed above it"),
        (r#"["user-service"]"#, r#"["order-service"]"#, "`order-service` calls `order-service`, which is not"),
        ("port = 1", "port = 1\ncalls = [\"order-service\"]", "`user-service` calls `order-service`, which is not"),
        (r#"consumes = ["user.created"]"#, r#"publishes = ["user.created"]"#, "`user.created` is published twice"),
        (r#"["user.created"]"#, r#"["user.renamed"]"#, "`order-service` consumes `user.created`, which no service"),
        ("port = 2", "port = 2\nports = 3", "unknown field `ports`"),
    ];
    for (from, to, message) in cases {
        let error = Platform::parse(&TWO.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
}
