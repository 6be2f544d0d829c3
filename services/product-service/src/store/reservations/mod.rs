//! The reservations in the database, and the stock that they hold: many changes by one transaction.
//!
//! A transaction locks the rows of its products in the order of their ids, so that replicas do not deadlock, and then those
//! of its reservations. All changes of one process go through one queue: they never wait for each other's locks, and the
//! buyers of one hot product share its row.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use contract::money::{Currency, Money};
use product_service_api::{
    OrderId, ProductId, ProductName, Reservation, ReservationCreate, ReservationId, ReservationStatus, StockRejected,
    StockReleased, StockReserved,
};
use serde::Serialize;
use service_runtime::database::{
    BatchConnection, Batches, Connections, Database, DatabaseError, InList, Pool, fail_all,
};
use service_runtime::events::{Inbox, NewEvent, Outbox};
use service_runtime::{insert_events, with_batch_connection, with_pool};
use sqlx::Connection as _;
use sqlx::types::Json;

pub use plan::{OrderEvent, OrderStep, Refusal};

use plan::{Change, ChangeKind, Entry, PendingEvent, Plan, ReservationOutcome, Stock};

/// What became of a reservation, or the rule that its change breaks. `None`: it is removed.
type Outcome = Result<Option<Reservation>, Refusal>;

/// The stored reservations.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct ReservationStore {
    database: Database,
    changes: Batches<Change, Outcome>,
}

/// The events that come and go with changes.
#[derive(Clone, Debug)]
struct Events {
    outbox: Outbox,
    inbox: Inbox,
}

impl ReservationStore {
    /// The reservations in `database`, whose events go to `outbox`, and those of orders come through `inbox`.
    pub fn new(database: Database, outbox: Outbox, inbox: Inbox) -> Self {
        let events = Events { outbox, inbox };
        let changes = Batches::new(&database, move |database, changes| {
            let events = events.clone();
            async move { change_all(database, &events, changes).await }
        });
        Self { changes, database }
    }

    /// Does what the event of an order asks for, once, in whatever order the events of an order come, and publishes what
    /// became of its stock.
    pub async fn follow(&self, event: OrderEvent, at: DateTime<Utc>) -> Result<(), DatabaseError> {
        // What cannot be done is published as `stock.rejected`, not refused.
        self.changes.run(Change { kind: ChangeKind::Follow(event), at: at.trunc_subsecs(6) }).await.map(drop)
    }

    /// Makes a reservation, all of it or nothing; if it is made already, returns it.
    pub async fn reserve(
        &self,
        new: ReservationCreate,
        at: DateTime<Utc>,
    ) -> Result<Result<Reservation, Refusal>, DatabaseError> {
        self.change(ChangeKind::Reserve(new), at).await
    }

    /// Releases a reservation; if it is released already, returns it.
    pub async fn release(
        &self,
        id: ReservationId,
        at: DateTime<Utc>,
    ) -> Result<Result<Reservation, Refusal>, DatabaseError> {
        self.change(ChangeKind::Release(id), at).await
    }

    async fn change(&self, kind: ChangeKind, at: DateTime<Utc>) -> Result<Result<Reservation, Refusal>, DatabaseError> {
        let outcome = self.changes.run(Change { kind, at: at.trunc_subsecs(6) }).await?;
        Ok(outcome.and_then(|reservation| reservation.ok_or(Refusal::NotFound)))
    }

    /// Expires the reservation with this id if it is held and due; removes it if it holds nothing and is due.
    pub async fn sweep(&self, id: ReservationId, at: DateTime<Utc>) -> Result<(), DatabaseError> {
        // Another instance may have removed it.
        self.changes.run(Change { kind: ChangeKind::Sweep(id), at: at.trunc_subsecs(6) }).await.map(|_| ())
    }

    /// At most `limit` reservations that are due, the first due first.
    pub async fn due(&self, at: DateTime<Utc>, limit: i64) -> Result<Vec<ReservationId>, DatabaseError> {
        // On the writer, as what follows: when the database is away, this keeps no reader busy.
        let ids: Vec<(String,)> = with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "SELECT id FROM reservations WHERE due_at <= ");
            query.push_bind(at.trunc_subsecs(6)).push(" ORDER BY due_at LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(ids.into_iter().map(|(id,)| ReservationId::from_stored(id)).collect())
    }

    /// The reservation with this id.
    pub async fn find(&self, id: &ReservationId) -> Result<Option<Reservation>, DatabaseError> {
        let rows: Vec<ReservationRow> = with_pool!(self.database.reader(), |pool| async {
            let find = sqlx::query_as(concat!(select!(), " = $1")).bind(id.as_str());
            find.fetch_all(pool).await
        })?;
        Ok(rows.into_iter().next().map(entry).transpose()?.map(|entry| entry.reservation))
    }

    /// At most `limit` reservations with ids above `after`, by ascending id.
    pub async fn list_after(&self, after: &str, limit: i64) -> Result<Vec<Reservation>, DatabaseError> {
        let rows: Vec<ReservationRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, concat!(select!(), " > "));
            // The limit is not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push_bind(after.to_owned()).push(" ORDER BY id LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(|row| Ok(entry(row)?.reservation)).collect::<sqlx::Result<_>>()?)
    }
}

/// The beginning of a statement that reads [`ReservationRow`]s, up to its condition.
macro_rules! select {
    () => {
        "SELECT id, status, order_id, items, due_at, created_at FROM reservations WHERE id"
    };
}
use select;

type ReservationRow = (String, String, Option<i64>, String, Option<DateTime<Utc>>, DateTime<Utc>);

/// The reservation in a row.
fn entry((id, status, order_id, items, due_at, created_at): ReservationRow) -> sqlx::Result<Entry> {
    let known = ReservationStatus::ALL.into_iter().find(|known| known.as_str() == status);
    let status = known.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown status")))?;
    let reservation = Reservation {
        reservation_id: ReservationId::from_stored(id),
        status,
        order_id: order_id.map(TryInto::try_into).transpose().map_err(DatabaseError::decode_error)?,
        items: serde_json::from_str(&items).map_err(DatabaseError::decode_error)?,
        expires_at: due_at.filter(|_| status == ReservationStatus::Held).map(Into::into),
        created_at: created_at.into(),
    };
    Ok(Entry { reservation, due_at })
}

/// On hand, reserved, and the name and price of the product.
type StockRow = (i64, i64, i64, String, i64, String);

const SELECT_STOCK: &str = "SELECT product_id, on_hand, reserved, (SELECT name FROM products WHERE id = product_id), \
     (SELECT price_amount FROM products WHERE id = product_id), \
     (SELECT price_currency FROM products WHERE id = product_id) FROM stock WHERE product_id";

fn stock((id, on_hand, reserved, name, amount, currency): StockRow) -> sqlx::Result<(ProductId, Stock)> {
    let amount = amount.try_into().map_err(DatabaseError::decode_error)?;
    let price = Money { amount, currency: Currency::from_stored(currency) };
    let id = id.try_into().map_err(DatabaseError::decode_error)?;
    Ok((id, Stock { on_hand, reserved, name: ProductName::from_stored(name), price }))
}

/// Applies each of `changes`, in their order: by one transaction or, if that is refused, by halves, until the bad change
/// fails alone.
async fn change_all(database: Database, events: &Events, changes: Vec<Change>) -> Vec<Result<Outcome, DatabaseError>> {
    let mut outcomes = Vec::with_capacity(changes.len());
    // New reservations usually have new ids: the stored ones are not read unless something is refused.
    let only_new = changes.iter().all(|change| matches!(change.kind, ChangeKind::Reserve(_)));
    let mut parts = vec![(changes.as_slice(), !only_new)];
    while let Some((part, read)) = parts.pop() {
        match change_together(&database, events, part, read).await {
            Ok(changed) => outcomes.extend(changed.into_iter().map(Ok)),
            // Nothing was written.
            Err(error) if error.is_refusal() && !read => parts.push((part, true)),
            Err(error) if error.is_refusal() && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([(second, true), (first, true)]);
            }
            Err(error) => outcomes.extend(fail_all(part.len(), &error)),
        }
    }
    outcomes
}

/// Applies all of `changes` by one transaction. If `read` is false, they are reservations that are expected to be new: the
/// stored ones are read only if one of them cannot be made, and an error follows if one that can be made is stored already.
async fn change_together(
    database: &Database,
    events: &Events,
    changes: &[Change],
    read: bool,
) -> Result<Vec<Outcome>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => &POSTGRES,
        Connections::Sqlite(_) => &SQLITE,
    };
    let ids: BTreeSet<&str> = changes.iter().map(|change| change.reservation_id().as_str()).collect();
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    let mut product_ids: BTreeSet<ProductId> = BTreeSet::new();
    for change in changes {
        let items = match &change.kind {
            ChangeKind::Reserve(new) => &new.items,
            ChangeKind::Follow(OrderEvent { step: OrderStep::Placed(items), .. }) => items,
            _ => continue,
        };
        product_ids.extend(items.iter().map(|item| item.product_id));
    }
    let followed = || {
        changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::Follow(event) => Some((event, change.at)),
            _ => None,
        })
    };
    let _wake = events.outbox.wake();
    with_batch_connection!(database.writer(), |connection| async {
        let mut find_products = BatchConnection::query_for(&connection, select!());
        let mut lock_stock = BatchConnection::query_for(&connection, SELECT_STOCK);
        let mut lock_reservations = BatchConnection::query_for(&connection, select!());
        let mut remove = BatchConnection::query_for(&connection, "DELETE FROM reservations WHERE id");
        let mut transaction = connection.begin_with(sql.begin).await?;
        let mut handled: HashSet<String> = followed().map(|(event, _)| event.event_id.clone()).collect();
        if let Some((_, at)) = followed().next() {
            for new in events.inbox.record(&mut transaction, handled.iter().map(String::as_str), at).await? {
                handled.remove(&new);
            }
        }
        if read {
            // The products of a reservation never change, so they can be read before the locks.
            InList::push_in_list(&mut find_products, ids.clone())?;
            let found: Vec<ReservationRow> = find_products.build_query_as().fetch_all(&mut *transaction).await?;
            for row in found {
                product_ids.extend(entry(row)?.reservation.items.iter().map(|item| item.product_id));
            }
        }
        InList::push_in_list(&mut lock_stock, product_ids.iter().map(|id| id.get()).collect())?;
        lock_stock.push(" ORDER BY product_id").push(sql.lock);
        let locked: Vec<StockRow> = lock_stock.build_query_as().fetch_all(&mut *transaction).await?;
        let stock: BTreeMap<ProductId, Stock> = locked.into_iter().map(stock).collect::<sqlx::Result<_>>()?;
        let mut read = read;
        let (plan, outcomes) = loop {
            let mut plan = Plan { stock: stock.clone(), handled: handled.clone(), ..Plan::default() };
            if read {
                InList::push_in_list(&mut lock_reservations, ids.clone())?;
                lock_reservations.push(" ORDER BY id").push(sql.lock);
                let locked: Vec<ReservationRow> =
                    lock_reservations.build_query_as().fetch_all(&mut *transaction).await?;
                for row in locked {
                    let entry = entry(row)?;
                    // One that another process committed after the products were read: their stock is not locked, so to
                    // this batch it comes too late. A change with its id gets `NotFound`, or that the id is taken.
                    if !entry.reservation.items.iter().all(|item| product_ids.contains(&item.product_id)) {
                        continue;
                    }
                    plan.reservations.insert(entry.reservation.reservation_id.as_str().to_owned(), entry);
                }
            }
            let outcomes: Vec<Outcome> = changes.iter().map(|change| plan.apply(change)).collect();
            if read || outcomes.iter().all(Result::is_ok) {
                break (plan, outcomes);
            }
            // What is refused may be stored already, by a request whose response was lost.
            read = true;
        };
        let removed = plan.removed();
        if !removed.is_empty() {
            InList::push_in_list(&mut remove, removed)?;
            remove.build().execute(&mut *transaction).await?;
        }
        let (stock, rows) = (plan.new_stock(), plan.new_rows().map_err(DatabaseError::decode_error)?);
        let number = rows.len() as u64;
        let new_events: Vec<NewEvent> =
            plan.pending.iter().map(|pending| events.new_event(pending)).collect::<sqlx::Result<_>>()?;
        if !stock.is_empty() || number > 0 || !new_events.is_empty() {
            let new = serde_json::value::to_raw_value(&New { stock, reservations: rows, events: new_events, read });
            let new = new.map_err(DatabaseError::decode_error)?;
            let mut written = 0;
            for &statement in sql.write {
                written = sqlx::query(statement).bind(Json(&new)).execute(&mut *transaction).await?.rows_affected();
            }
            // Another process may have stored a reservation with one of the ids.
            if written != number {
                return Err(sqlx::Error::RowNotFound);
            }
        }
        transaction.commit().await?;
        Ok(outcomes)
    })
}

/// What the statements of a change are on each database. Each has one parameter for any number of rows, so that it is
/// prepared once.
struct Statements {
    begin: &'static str,
    lock: &'static str,
    /// They write a [`New`]. The last one counts the reservations.
    write: &'static [&'static str],
}

const POSTGRES: Statements = Statements {
    begin: "BEGIN",
    lock: " FOR UPDATE",
    // Not a join, which could read the whole table.
    write: &[concat!(
        "WITH updated AS (
             UPDATE stock SET on_hand = ($1::jsonb -> 'stock' -> product_id::text ->> 0)::bigint,
                              reserved = ($1 -> 'stock' -> product_id::text ->> 1)::bigint
             WHERE product_id = ANY (ARRAY(SELECT jsonb_object_keys($1 -> 'stock')::bigint))
         ), published AS (",
        insert_events!(postgres, "$1 -> 'events'"),
        ")
         INSERT INTO reservations (id, status, order_id, items, due_at, created_at)
         SELECT id, status, order_id, items, due_at, created_at
         FROM jsonb_to_recordset($1 -> 'reservations')
              AS new (id text, status text, order_id bigint, items text, due_at timestamptz, created_at timestamptz)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, order_id = excluded.order_id, due_at = excluded.due_at
         WHERE ($1 -> 'read')::boolean AND reservations.items = excluded.items"
    )],
};

const SQLITE: Statements = Statements {
    // Other processes may write between a read and the first write.
    begin: "BEGIN IMMEDIATE",
    lock: "",
    write: &[
        "UPDATE stock SET on_hand = value ->> 0, reserved = value ->> 1
         FROM json_each($1, '$.stock') WHERE product_id = CAST(key AS INTEGER)",
        insert_events!(sqlite, "$1, '$.events'"),
        "INSERT INTO reservations (id, status, order_id, items, due_at, created_at)
         SELECT value ->> 'id', value ->> 'status', value ->> 'order_id', value ->> 'items', value ->> 'due_at',
                value ->> 'created_at'
         FROM json_each($1, '$.reservations') WHERE true
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, order_id = excluded.order_id, due_at = excluded.due_at
         WHERE $1 ->> 'read' AND reservations.items = excluded.items",
    ],
};

/// What a change writes.
#[derive(Serialize)]
struct New<'a> {
    /// On hand and reserved, by product.
    stock: BTreeMap<String, [i64; 2]>,
    reservations: Vec<NewRow<'a>>,
    events: Vec<NewEvent>,
    /// Whether the stored reservations were read: what was not read is not overwritten.
    read: bool,
}

/// The values of a written row.
#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    status: &'static str,
    order_id: Option<OrderId>,
    items: String,
    due_at: Option<String>,
    created_at: String,
}

impl Events {
    fn new_event(&self, pending: &PendingEvent) -> sqlx::Result<NewEvent> {
        let PendingEvent { order_id, reservation_id, traceparent, at, outcome } = pending;
        let (order_id, reservation_id, trace) = (*order_id, reservation_id.clone(), traceparent.as_deref());
        match outcome {
            ReservationOutcome::Reserved => self.outbox.event(&StockReserved { order_id, reservation_id }, *at, trace),
            ReservationOutcome::Released => self.outbox.event(&StockReleased { order_id, reservation_id }, *at, trace),
            ReservationOutcome::Rejected(product_ids) => {
                let product_ids = product_ids.clone();
                self.outbox.event(&StockRejected { order_id, reservation_id, product_ids }, *at, trace)
            }
        }
    }
}

impl Plan {
    /// On hand and reserved of each changed stock, by product.
    fn new_stock(&self) -> BTreeMap<String, [i64; 2]> {
        let changed = self.changed_stock.iter().filter_map(|id| Some((id, self.stock.get(id)?)));
        changed.map(|(id, stock)| (id.to_string(), [stock.on_hand, stock.reserved])).collect()
    }

    fn removed(&self) -> Vec<String> {
        self.changed_reservations.iter().filter(|id| !self.reservations.contains_key(*id)).cloned().collect()
    }

    fn new_rows(&self) -> serde_json::Result<Vec<NewRow<'_>>> {
        self.changed_reservations.iter().filter_map(|id| self.reservations.get(id)).map(NewRow::new).collect()
    }
}

impl<'a> NewRow<'a> {
    fn new(Entry { reservation, due_at }: &'a Entry) -> serde_json::Result<Self> {
        let created_at: DateTime<Utc> = reservation.created_at.into();
        Ok(Self {
            id: reservation.reservation_id.as_str(),
            status: reservation.status.as_str(),
            order_id: reservation.order_id,
            items: serde_json::to_string(&reservation.items)?,
            // As sqlx writes a time to SQLite, where times are compared as text.
            due_at: due_at.map(|time| time.to_rfc3339()),
            created_at: created_at.to_rfc3339(),
        })
    }
}
