//! Searches and categories over HTTP, with the same results on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use futures::future::join_all;
use product_client::{Client, Error, types};
use product_service::SERVICE;
use product_service::store::{Filter, ProductStore, Tier};
use product_service::words::SearchWords;
use service_runtime::database::{Connections, Database};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};
use sqlx::AssertSqlSafe;

/// Name, description and SKU of the products 1, 2, 3, …; of the categories `a`, `a-b` and `b` in turn.
const PRODUCTS: [(&str, &str, &str); 22] = [
    ("Blue mug", "Stoneware, 300 ml, dishwasher safe.", "MUG-01"),
    ("Mug rack", "For six blue mugs.", "RACK.MUG_6"),
    ("Blueberry jam", "Not a mug.", "JAM-300"),
    ("KÄSE-Reibe", "Für Käse und Nüsse.", "CHEESE-1"),
    ("Straße", "Ein Plan der großen Strassen.", "MAP-1"),
    ("ΟΔΟΣ", "Ένας χάρτης με κάθε οδό", "MAP-2"),
    ("Eﬃcient ﬂask", "½ litre, № 5", "FLASK"),
    ("蓝色杯子", "陶瓷 300毫升", "CN-1"),
    ("コーヒー カップ", "ガラス", "JP-1"),
    ("파란 머그잔", "도자기", "KR-1"),
    ("नीला प्याला", "हिन्दी में", "IN-1"),
    ("كُوب أزرق", "سيراميك", "AR-1"),
    ("Dr. O'Neill's \"tea\" (green) & co: 100% | *new* !", "\\ a:b -- <->", "Q-1"),
    ("NEAR AND OR NOT", "words of query languages", "Q-2"),
    ("name words category", "its columns", "Q-3"),
    ("x", "y", "Q-4"),
    (LONG, "long", "Q-5"),
    ("Cup ☕\u{fe0f}", "Emoji", "Q-6"),
    ("１２３ full width", "superscript m²", "Q-7"),
    ("Ёлка", "Зелёная", "RU-1"),
    ("Việt Nam cà phê", "Đồ uống", "VN-1"),
    ("Tea", "green, of Dr. ONeill", "TEA-1"),
];

const LONG: &str = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

/// Searches, each with the ids in the order of the list.
const SEARCHES: &[(&str, &[u64])] = &[
    // All words, wherever they are; those with all in the name first.
    ("blue mug", &[1, 2]),
    ("mug blue", &[1, 3, 2]),
    ("mug", &[2, 1, 3]),
    ("blue", &[3, 1, 2]),
    ("mug mug", &[2, 1, 3]),
    ("mug rack", &[2]),
    ("mug tea", &[]),
    ("stoneware mug", &[1]),
    // Only the last word is a prefix.
    ("mu", &[2, 1, 3]),
    ("blue mu", &[1, 2]),
    ("blu mug", &[]),
    ("mugs", &[2]),
    ("mugs blue", &[2]),
    ("dishwasher", &[1]),
    ("ishwasher", &[]),
    ("b", &[3, 1, 13, 2]),
    ("x", &[16]),
    ("y", &[16]),
    // Digits, and parts of SKUs.
    ("MUG-01", &[1]),
    ("mug 01", &[1]),
    ("01", &[1]),
    ("1", &[19, 13, 22, 21, 20, 12, 11, 10, 9, 8, 7, 5, 4]),
    ("rack.mug_6", &[2]),
    ("jam-3", &[3]),
    ("map", &[6, 5]),
    ("300", &[8, 3, 1]),
    ("100", &[13]),
    // Case and accents.
    ("käse", &[4]),
    ("kase", &[4]),
    ("KA\u{308}SE", &[4]),
    ("fur nusse", &[4]),
    ("FÜR NÜSSE", &[4]),
    ("елка", &[20]),
    ("ЗЕЛЕНАЯ", &[20]),
    ("viet", &[21]),
    ("CÀ PHÊ", &[21]),
    ("ca phe", &[21]),
    ("đồ", &[21]),
    ("do", &[17]),
    // The sharp s and the sigmas.
    ("strasse", &[5]),
    ("STRAẞE", &[5]),
    ("straß", &[5]),
    ("grossen", &[5]),
    ("οδος", &[6]),
    ("οδοσ", &[6]),
    ("Οδός", &[6]),
    ("οδό", &[6]),
    ("χαρτης", &[6]),
    // Ligatures, fractions, widths and powers.
    ("efficient", &[7]),
    ("flask", &[7]),
    ("ﬂ", &[7]),
    ("no 5", &[7]),
    ("123", &[19]),
    ("１２", &[19]),
    ("m2", &[19]),
    // Scripts without spaces are found by the beginning of a run.
    ("蓝色", &[8]),
    ("蓝色杯子", &[8]),
    ("杯子", &[]),
    ("陶瓷", &[8]),
    ("300毫", &[8]),
    ("カップ", &[9]),
    ("ｶｯﾌﾟ", &[9]),
    ("ガラス", &[9]),
    ("カラス", &[]),
    ("머그잔", &[10]),
    ("머그", &[10]),
    ("파란 도자기", &[10]),
    // Vowel signs and viramas belong to the word, Arabic vowel points do not.
    ("नीला", &[11]),
    ("नीली", &[]),
    ("हिन्दी", &[11]),
    ("हिनदी", &[]),
    ("كوب", &[12]),
    ("أزرق", &[12]),
    ("ازرق", &[12]),
    // Long words, and what is no word.
    (LONG, &[17]),
    ("DONAUDAMPFSCHIFFFAHRT", &[17]),
    ("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtenwitwe", &[17]),
    ("Donaudampfschifffahrtskapitän", &[]),
    ("☕\u{fe0f} cup ☕\u{fe0f}", &[18]),
    // The syntax of query languages has no meaning.
    ("o'neill", &[13]),
    ("O’Neill", &[13]),
    ("\"tea\"", &[22, 13]),
    ("dr tea", &[13, 22]),
    ("tea & green | !mug", &[]),
    ("green & tea:*", &[13, 22]),
    ("(green", &[13, 22]),
    ("a:b", &[13, 3]),
    ("\\b", &[3, 1, 13, 2]),
    ("b%", &[3, 1, 13, 2]),
    ("=b", &[3, 1, 13, 2]),
    ("#:b", &[3, 1, 13, 2]),
    ("-mug", &[2, 1, 3]),
    ("^mug", &[2, 1, 3]),
    ("'mug", &[2, 1, 3]),
    ("mug NOT blue", &[3]),
    ("NEAR", &[14]),
    ("near and or not", &[14]),
    ("NEAR(and or)", &[14]),
    ("name : words", &[15]),
    ("category", &[15]),
];

async fn start(database: &TestDatabase) -> (Client, Server) {
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap();
    (Client::plain(&server.url()), server)
}

async fn create(client: &Client, sku: &str, name: &str, description: &str, category: &str, stock: i64) -> u64 {
    let price = types::Money { amount: 1998.try_into().unwrap(), currency: "EUR".parse().unwrap() };
    let body = |body: types::builder::ProductCreate| {
        body.sku(sku)
            .name(name)
            .description(description.parse::<types::Description>().unwrap())
            .category(category)
            .stock(types::Pieces::from(stock))
            .price(price)
    };
    client.product_create().body_map(body).send().await.unwrap().id.get()
}

async fn create_all(client: &Client) {
    for ((name, description, sku), number) in PRODUCTS.into_iter().zip(0..) {
        let category = ["a", "a-b", "b"][number % 3];
        create(client, sku, name, description, category, i64::from(number % 2 == 0)).await;
    }
}

async fn replace(client: &Client, id: u64, name: &str, category: &str) -> types::Product {
    let price = types::Money { amount: 1998.try_into().unwrap(), currency: "EUR".parse().unwrap() };
    let body =
        |body: types::builder::ProductReplace| body.sku(format!("NEW-{id}")).name(name).category(category).price(price);
    client.product_replace().product_id(id).body_map(body).send().await.unwrap().into_inner()
}

/// The ids that a search finds.
async fn search(client: &Client, search: &str) -> Vec<u64> {
    ids(&client.product_list().search(search).send().await.unwrap())
}

fn ids(page: &types::ProductPage) -> Vec<u64> {
    page.items.iter().map(|product| product.id.get()).collect()
}

async fn categories(client: &Client) -> Vec<(String, u64)> {
    let categories = client.category_list().send().await.unwrap().into_inner();
    categories.into_iter().map(|summary| (summary.category.to_string(), summary.products.get())).collect()
}

/// Makes the next product one with a later id.
async fn skip_ids(database: &Database, last: i64) {
    match &database.writer().connections {
        Connections::Postgres(pool) => {
            let skip = sqlx::query("SELECT setval(pg_get_serial_sequence('products', 'id'), $1)").bind(last);
            skip.execute(pool).await.unwrap();
        }
        Connections::Sqlite(pool) => {
            let skip = sqlx::query("UPDATE sqlite_sequence SET seq = $1 WHERE name = 'products'").bind(last);
            skip.execute(pool).await.unwrap();
        }
    }
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_search() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = ProductStore::new(opened.clone(), SERVICE.outbox().unwrap());
    let words = SearchWords::new("blue mug").unwrap();
    for category in [None, Some("kitchen")] {
        for ids in [None, Some("1")] {
            for in_stock in [None, Some(true), Some(false)] {
                let category = category.map(|category| category.parse().unwrap());
                let filter = Filter { category, ids: ids.map(|ids| ids.parse().unwrap()), in_stock, search: None };
                store.search(&words, (Tier::Name, i64::MAX), &filter, 20).await.unwrap();
            }
        }
    }
    let Connections::Postgres(pool) = &opened.reader().connections else { unreachable!() };
    let prepared: Vec<(String, i32)> = sqlx::query_as(
        "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE '%words @@%'
         AND statement NOT LIKE '%pg_prepared_statements%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(prepared.len(), 6, "with or without ids, and three values of in_stock");
    for (name, parameters) in prepared {
        let values = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE {name} ({values})"));
        let plan: Vec<String> = sqlx::query_scalar(explain).persistent(false).fetch_all(pool).await.unwrap();
        let plan = plan.join("\n");
        let scans = ["Bitmap Index Scan on product_words_by_words", "on product_words_pkey"];
        assert!(scans.into_iter().any(|scan| plan.contains(scan)), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}

on_both_databases! {
    async fn a_search_finds_the_same_products_in_the_same_order(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create_all(&client).await;
        for (text, wanted) in SEARCHES {
            assert_eq!(search(&client, text).await, *wanted, "{text:?}");
        }
    }

    async fn every_page_of_a_search_continues_the_last(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create_all(&client).await;
        for (text, wanted) in SEARCHES.iter().filter(|(_, wanted)| wanted.len() > 1) {
            for limit in [1, 2] {
                let mut page = client.product_list().limit(limit).search(*text).send().await.unwrap().into_inner();
                let mut found = ids(&page);
                while let Some(token) = page.next_page {
                    page = client.product_list().page_token(token).send().await.unwrap().into_inner();
                    found.extend(ids(&page));
                }
                assert_eq!(found, *wanted, "{text:?}, {limit}");
            }
        }
    }

    async fn a_search_combines_with_every_filter(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create_all(&client).await;
        let list = || client.product_list().search("b");
        for (request, wanted) in [
            (list(), &[3, 1, 13, 2][..]),
            (list().category("a"), &[1, 13]),
            (list().category("a-b"), &[2]),
            (list().category("c"), &[]),
            (list().in_stock(true), &[3, 1, 13]),
            (list().in_stock(false), &[2]),
            (list().ids("2,1,4,99"), &[1, 2]),
            (list().ids("2,1,13").category("a"), &[1, 13]),
            (list().ids("2,3,13").category("a").in_stock(true), &[13]),
            (list().category("b").in_stock(false), &[]),
        ] {
            assert_eq!(ids(&request.send().await.unwrap()), wanted);
        }
        let first = client.product_list().search("b").category("a").limit(1).send().await.unwrap();
        let token = first.next_page.as_ref().unwrap();
        let next = client.product_list().page_token(token).search("b").category("a").send().await.unwrap();
        assert_eq!(ids(&next), [13]);
        for other in [
            client.product_list().page_token(token).search("B"),
            client.product_list().page_token(token).category("b"),
        ] {
            let refused = other.send().await;
            assert!(matches!(refused, Err(Error::ErrorResponse(error)) if error.error_code.as_deref() == Some("invalid_page_token")));
        }
    }

    async fn a_search_without_words_or_with_too_many_is_refused(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        for (text, message) in [
            ("?", "expected 1 to 16 words of letters or digits, got 0"),
            ("\u{fe0f}☕", "expected 1 to 16 words of letters or digits, got 0"),
            ("\\", "expected 1 to 16 words of letters or digits, got 0"),
            (&"a ".repeat(17), "expected 1 to 16 words of letters or digits, got 17"),
        ] {
            let refused = client.product_list().search(text).send().await;
            let Err(Error::ErrorResponse(error)) = refused else { panic!("{refused:?}") };
            assert_eq!((error.status().as_u16(), error.error_code.as_deref()), (400, Some("invalid_request")));
            assert_eq!(error.message, format!("query parameter `search`: {message}"));
        }
        assert_eq!(search(&client, &"a ".repeat(16)).await, [0; 0]);
    }

    async fn a_replaced_product_is_found_by_its_new_words(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create_all(&client).await;
        replace(&client, 3, "Red cup", "b").await;
        assert_eq!(search(&client, "mug").await, [2, 1]);
        assert_eq!(search(&client, "blueberry").await, [0; 0]);
        assert_eq!(search(&client, "jam").await, [0; 0]);
        assert_eq!(search(&client, "cup").await, [18, 3]);
        assert_eq!(search(&client, "new-3").await, [3]);
        replace(&client, 1, "Green cup", "c").await;
        assert_eq!(ids(&client.product_list().search("cup").category("a").send().await.unwrap()), [0; 0]);
        assert_eq!(ids(&client.product_list().search("cup").category("c").send().await.unwrap()), [1]);
    }

    async fn a_deleted_product_is_not_found(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create_all(&client).await;
        client.product_delete().product_id(1).send().await.unwrap();
        assert_eq!(search(&client, "mug").await, [2, 3]);
        assert_eq!(search(&client, "stoneware").await, [0; 0]);
        assert_eq!(create(&client, "MUG-01", "Grey mug", "Stoneware", "a", 0).await, 23);
        assert_eq!(search(&client, "stoneware").await, [23]);
    }

    async fn a_refused_change_leaves_search_and_categories(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        create(&client, "A", "Blue mug", "-", "kitchen", 0).await;
        create(&client, "B", "Red cup", "-", "food", 0).await;
        let price = types::Money { amount: 1998.try_into().unwrap(), currency: "EUR".parse().unwrap() };
        let body = |body: types::builder::ProductReplace| body.sku("A").name("Tea").category("kitchen").price(price);
        client.product_replace().product_id(2).body_map(body).send().await.unwrap_err();
        assert_eq!(search(&client, "cup").await, [2]);
        assert_eq!(search(&client, "tea").await, [0; 0]);
        assert_eq!(categories(&client).await, [("food".to_owned(), 1), ("kitchen".to_owned(), 1)]);
    }

    // PostgreSQL's index has segments of 16,384 ids.
    async fn a_search_finds_the_newest_first_in_all_segments(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        let opened = SERVICE.open(&database.url, 1).await.unwrap();
        let mut wanted = Vec::new();
        for (number, last) in [0, 1, 16_382, 16_383, 16_384, 49_151, 100_000, 100_001].into_iter().enumerate() {
            if last > 0 {
                skip_ids(&opened, last).await;
            }
            let name = if number % 2 == 0 { "Blue mug" } else { "Cup" };
            create(&client, &format!("A-{number}"), name, "Not a mug, blue", "kitchen", 1).await;
            wanted.push((number % 2, -last - 1));
        }
        wanted.sort_unstable();
        let wanted: Vec<u64> = wanted.into_iter().map(|(_, id): (usize, i64)| id.unsigned_abs()).collect();
        for limit in [1, 3, 100] {
            let mut page = client.product_list().limit(limit).search("blue mu").send().await.unwrap().into_inner();
            let mut found = ids(&page);
            while let Some(token) = page.next_page {
                page = client.product_list().page_token(token).send().await.unwrap().into_inner();
                found.extend(ids(&page));
            }
            assert_eq!(found, wanted, "{limit}");
        }
    }

    async fn categories_have_the_number_of_their_products(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        assert_eq!(categories(&client).await, []);
        for (sku, category) in [("A", "kitchen"), ("B", "a-b"), ("C", "kitchen"), ("D", "a"), ("E", "aa")] {
            create(&client, sku, "Mug", "-", category, 0).await;
        }
        let counts = |counts: &[(&str, u64)]| -> Vec<(String, u64)> {
            counts.iter().map(|&(category, products)| (category.to_owned(), products)).collect()
        };
        assert_eq!(categories(&client).await, counts(&[("a", 1), ("a-b", 1), ("aa", 1), ("kitchen", 2)]));
        replace(&client, 1, "Mug", "kitchen").await;
        replace(&client, 2, "Mug", "kitchen").await;
        replace(&client, 3, "Mug", "office").await;
        client.product_delete().product_id(4).send().await.unwrap();
        assert_eq!(categories(&client).await, counts(&[("aa", 1), ("kitchen", 2), ("office", 1)]));
    }

    async fn products_that_swap_categories_at_once_are_all_counted(database: TestDatabase) {
        let (client, _server) = start(&database).await;
        for sku in ["A", "B", "C", "D", "E", "F"] {
            create(&client, sku, "Mug", "-", "a", 0).await;
        }
        for round in 0..4 {
            let swaps = (1..=6).map(|id| {
                let category = if (id + round) % 2 == 0 { "a" } else { "b" };
                replace(&client, id, "Mug", category)
            });
            join_all(swaps).await;
            assert_eq!(categories(&client).await, [("a".to_owned(), 3), ("b".to_owned(), 3)]);
        }
    }
}
