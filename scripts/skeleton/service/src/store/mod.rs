//! The widgets in the database: all SQL of the service.

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use service_runtime::database::{Batches, Database, DatabaseError, read_by_id};
use service_runtime::events::Outbox;
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;
use widget_service_api::{Widget, WidgetCreate, WidgetCreated, WidgetId, WidgetName};

/// The columns of a [`WidgetRow`].
macro_rules! columns {
    () => {
        "id, name"
    };
}

/// The stored widgets.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct WidgetStore {
    database: Database,
    finds: Batches<WidgetId, Option<Widget>>,
    outbox: Outbox,
}

type WidgetRow = (i64, String);

impl WidgetStore {
    /// The widgets in `database`, whose events go to `outbox`.
    pub fn new(database: Database, outbox: Outbox) -> Self {
        let finds = Batches::new(&database, find_all);
        Self { database, finds, outbox }
    }

    /// Stores a new widget, its event, and the response under the key of `claim`, in one transaction. `trace` says where it
    /// happens.
    /// [`DatabaseError::UniqueViolation`]: the key has a response already.
    pub async fn insert(
        &self,
        widget: &WidgetCreate,
        created_at: DateTime<Utc>,
        claim: Option<Claim>,
        trace: Option<&str>,
    ) -> Result<(Widget, Created<Widget>), DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let rows: Vec<WidgetRow> = sqlx::query_as(concat!(
                "INSERT INTO widgets (name, created_at) VALUES ($1, $2) RETURNING ",
                columns!()
            ))
            .bind(widget.name.as_str())
            .bind(created_at.trunc_subsecs(6))
            .fetch_all(&mut *transaction)
            .await?;
            let row = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
            let widget = self::widget(row)?;
            let response = Created::new(&widget, format!("/api/v1/widgets/{}", widget.id));
            let response = response.map_err(DatabaseError::decode_error)?;
            if let Some(claim) = &claim {
                Claim::store_responses(&mut transaction, vec![(claim, &response, created_at)]).await?;
            }
            let event = self.outbox.event(&WidgetCreated { widget_id: widget.id }, created_at, trace)?;
            let _wake = self.outbox.write(&mut transaction, &[event]).await?;
            transaction.commit().await?;
            Ok((widget, response))
        })
    }

    /// The widget with this id.
    pub async fn find(&self, id: WidgetId) -> Result<Option<Widget>, DatabaseError> {
        self.finds.run(id).await
    }

    /// At most `limit` widgets with ids above `after`, by ascending id.
    pub async fn list_after(&self, after: i64, limit: i64) -> Result<Vec<Widget>, DatabaseError> {
        let rows: Vec<WidgetRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM widgets WHERE id > $1 ORDER BY id LIMIT $2"
        ))
        .bind(after)
        .bind(limit)
        .fetch_all(pool))?;
        Ok(rows.into_iter().map(widget).collect::<sqlx::Result<_>>()?)
    }
}

/// The widget with each of these ids.
async fn find_all(database: Database, ids: Vec<WidgetId>) -> Vec<Result<Option<Widget>, DatabaseError>> {
    let select = concat!("SELECT ", columns!(), " FROM widgets WHERE id");
    let rows = read_by_id(database, select, ids.into_iter().map(WidgetId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(widget).transpose()?)).collect()
}

fn widget((id, name): WidgetRow) -> sqlx::Result<Widget> {
    Ok(Widget {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        name: WidgetName::from_stored(name),
    })
}
