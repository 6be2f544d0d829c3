//! The rules about widgets.

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of};
use slog::info;
use widget_service_api::{Widget, WidgetCreate, WidgetId, WidgetListQuery, WidgetPage};

use crate::store::WidgetStore;

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WidgetError {
    #[error("no widget has this id")]
    NotFound,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The state in a page token: where the next page starts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextWidgets {
    after: i64,
    limit: PageLimit,
}

impl PageState for NextWidgets {
    const LIST: &'static str = "widgets";
}

/// The widgets and their rules.
pub(crate) struct Widgets {
    store: WidgetStore,
    keys: Keys,
}

impl Widgets {
    pub(crate) fn new(store: WidgetStore, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// Creates a widget. A repeated request with the same key gets the stored response.
    pub(crate) async fn create(
        &self,
        widget: WidgetCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<Widget>, WidgetError> {
        let trace = request.trace.traceparent();
        let create = |claim| async {
            let (created, response) = self.store.insert(&widget, Utc::now(), claim, Some(&trace)).await?;
            info!(request.log, "widget created"; "widget_id" => created.id.get());
            Ok(response)
        };
        self.keys.once("widget_create", key, &widget, &request.log, create).await
    }

    pub(crate) async fn view(&self, id: WidgetId) -> Result<Widget, WidgetError> {
        self.store.find(id).await?.ok_or(WidgetError::NotFound)
    }

    pub(crate) async fn list(&self, query: WidgetListQuery) -> Result<WidgetPage, WidgetError> {
        let from = match &query.page_token {
            Some(token) => NextWidgets::from_token(token)?,
            None => NextWidgets { after: 0, limit: PageLimit::default() },
        };
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_after(from.after, limit.get() + 1).await?;
        let next = |last: &Widget| NextWidgets { after: last.id.get(), limit };
        let (items, next_page) = page_of(rows, limit, |widget| widget.name.as_str().len(), next)?;
        Ok(WidgetPage { items, next_page })
    }
}
