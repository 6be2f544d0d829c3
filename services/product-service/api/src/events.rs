//! The events of product-service.

use contract::event::{EventType, Events};

use crate::{OrderId, ProductId, ReservationId};

contract::string_enum! {
    /// What happened to a product. `created`: it is new. `replaced`: it was edited. `stock_changed`: somebody changed its
    /// stock, which orders do without this event. `deleted`: it does not exist any more.
    pub enum ProductChange {
        Created = "created",
        Replaced = "replaced",
        StockChanged = "stock_changed",
        Deleted = "deleted",
    }
}

contract::event! {
    /// A product was changed
    ///
    /// A product was created, edited or deleted, or somebody changed its stock. Drop what you remember of it; events about
    /// one product may arrive in any order.
    pub struct ProductChanged as "product.changed" about product_id {
        /// The product.
        pub product_id: ProductId,
        /// What happened to it.
        pub change: ProductChange,
    }
}

contract::event! {
    /// The items of an order were kept
    ///
    /// The order was placed, so its reservation does not expire any more.
    pub struct StockReserved as "stock.reserved" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// Its reservation.
        pub reservation_id: ReservationId,
    }
}

contract::event! {
    /// The items of an order are not available any more
    ///
    /// The reservation had expired before the order's events arrived, and others have bought the items since, or a product
    /// was deleted. Nothing is kept for the order.
    pub struct StockRejected as "stock.rejected" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// Its reservation.
        pub reservation_id: ReservationId,
        /// The products of which too little is available.
        pub product_ids: Vec<ProductId>,
    }
}

contract::event! {
    /// The items of an order are available to others again
    ///
    /// The order was cancelled, and what its reservation held is given back.
    pub struct StockReleased as "stock.released" about order_id {
        /// The order.
        pub order_id: OrderId,
        /// Its reservation.
        pub reservation_id: ReservationId,
    }
}

pub(crate) fn events() -> Events {
    Events {
        version: semver::Version::new(0, 1, 0),
        types: || {
            vec![
                EventType::of::<ProductChanged>(),
                EventType::of::<StockReserved>(),
                EventType::of::<StockRejected>(),
                EventType::of::<StockReleased>(),
            ]
        },
        examples: include_str!("../events.json"),
    }
}
