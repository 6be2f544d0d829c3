//! The users in the database: all SQL of the service, and nothing else.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use service_runtime::database::{
    BatchConnection, Batches, Database, DatabaseError, InList, Migration, Migrations, fail_all,
};
use service_runtime::idempotency::{AnswerOf, Claim};
use service_runtime::{with_batch_connection, with_pool};
use user_service_api::{EmailAddress, User, UserCreate, UserId, UserName};

/// The schema, step by step.
pub const MIGRATIONS: Migrations = Migrations {
    service_name: crate::NAME,
    steps: &[
        Migration {
            version: 1,
            name: "create users",
            sql: include_str!("../../../migrations/user-service/0001_create_users.sql"),
        },
        Migration {
            version: 2,
            name: "create idempotency keys",
            sql: include_str!("../../../migrations/user-service/0002_create_idempotency_keys.sql"),
        },
    ],
};

/// The stored users.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database is away, and with
/// [`DatabaseError::Fault`] on what must not happen.
#[derive(Clone, Debug)]
pub struct UserStore {
    database: Database,
    finds: Batches<UserId, Option<User>>,
    lists: Batches<Vec<UserId>, Vec<User>>,
}

type UserRow = (i64, String, String);

impl UserStore {
    /// The users in `database`.
    pub fn new(database: Database) -> Self {
        let finds = Batches::new(&database, find_all);
        let lists = Batches::new(&database, list_all);
        Self { database, finds, lists }
    }

    /// Stores a new user and gives them with the `answer` about them, which is kept under the key of `claim`.
    /// [`DatabaseError::UniqueViolation`]: another has the e-mail address, or the key was kept already.
    pub async fn insert(
        &self,
        user: &UserCreate,
        created_at: DateTime<Utc>,
        claim: Option<&Claim>,
        answer: AnswerOf<User, User>,
    ) -> Result<(User, Created<User>), DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let insert = sqlx::query_as(
                "INSERT INTO users (email, email_key, name, created_at)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (email_key) DO NOTHING
                 RETURNING id, email, name",
            )
            .bind(user.email.as_str())
            .bind(key(&user.email))
            .bind(user.name.as_str())
            .bind(created_at.trunc_subsecs(6));
            let answered = |rows| {
                let user = first(rows)?.ok_or(sqlx::Error::RowNotFound)?;
                let answer = answer(&user).map_err(DatabaseError::unreadable)?;
                Ok((user, answer))
            };
            let Some(claim) = claim else { return answered(insert.fetch_all(pool).await?) };
            let mut transaction = pool.begin().await?;
            let (user, answer) = answered(insert.fetch_all(&mut *transaction).await?)?;
            claim.store_response(&mut transaction, &answer, created_at).await?;
            transaction.commit().await?;
            Ok((user, answer))
        })
    }

    /// The user with this id.
    pub async fn find(&self, id: UserId) -> Result<Option<User>, DatabaseError> {
        self.finds.run(id).await
    }

    /// The users with these ids, in their order; those that there are.
    pub async fn find_each(&self, ids: Vec<UserId>) -> Result<Vec<User>, DatabaseError> {
        self.lists.run(ids).await
    }

    /// The user with this e-mail address, in whatever case.
    pub async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(
            "SELECT id, email, name FROM users WHERE email_key = $1"
        )
        .bind(key(email))
        .fetch_all(pool))?;
        Ok(first(rows)?)
    }

    /// At most `limit` users with ids above `after`, by rising id.
    pub async fn list_after(&self, after: i64, limit: i64) -> Result<Vec<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(
            "SELECT id, email, name FROM users WHERE id > $1 ORDER BY id LIMIT $2"
        )
        .bind(after)
        .bind(limit)
        .fetch_all(pool))?;
        Ok(rows.into_iter().map(user).collect::<sqlx::Result<_>>()?)
    }

    /// Sets e-mail address and name of the user with this id, if there is one.
    /// [`DatabaseError::UniqueViolation`]: another has the e-mail address.
    pub async fn update(
        &self,
        id: UserId,
        email: &EmailAddress,
        name: &UserName,
    ) -> Result<Option<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.writer(), |pool| sqlx::query_as(
            "UPDATE users SET email = $2, email_key = $3, name = $4
             WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE email_key = $3 AND id <> $1)
             RETURNING id, email, name",
        )
        .bind(id.get())
        .bind(email.as_str())
        .bind(key(email))
        .bind(name.as_str())
        .fetch_all(pool))?;
        match first(rows)? {
            // Nothing was changed; why, is a question of its own.
            None if self.find(id).await?.is_some() => Err(DatabaseError::UniqueViolation),
            user => Ok(user),
        }
    }

    /// Deletes the user with this id; says whether there was one.
    pub async fn delete(&self, id: UserId) -> Result<bool, DatabaseError> {
        let rows: Vec<(i64,)> =
            with_pool!(self.database.writer(), |pool| sqlx::query_as("DELETE FROM users WHERE id = $1 RETURNING id")
                .bind(id.get())
                .fetch_all(pool))?;
        Ok(!rows.is_empty())
    }
}

/// What makes two e-mail addresses the same: they are ASCII, so this is the same everywhere.
fn key(email: &EmailAddress) -> String {
    email.as_str().to_ascii_lowercase()
}

/// The user with each of these ids.
async fn find_all(database: Database, ids: Vec<UserId>) -> Vec<Result<Option<User>, DatabaseError>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
    let sql = "SELECT id, email, name FROM users WHERE id = $1";
    if let Some(rows) = database.read_inline(sql, ids.iter().copied()) {
        return rows.into_iter().map(|row| Ok(row.map(user).transpose()?)).collect();
    }
    let rows: Result<Vec<UserRow>, DatabaseError> = with_batch_connection!(database.reader(), |connection| async {
        let mut query = BatchConnection::query_for(&connection, "SELECT id, email, name FROM users WHERE id");
        InList::push_in_list(&mut query, ids.clone())?;
        query.build_query_as().fetch_all(&mut *connection).await
    });
    let found: HashMap<i64, UserRow> = match rows {
        Ok(rows) => rows.into_iter().map(|row| (row.0, row)).collect(),
        Err(error) => return fail_all(ids.len(), &error),
    };
    // Several may ask for the same.
    ids.iter().map(|id| Ok(found.get(id).cloned().map(user).transpose()?)).collect()
}

/// Of each list the users that there are.
async fn list_all(database: Database, lists: Vec<Vec<UserId>>) -> Vec<Result<Vec<User>, DatabaseError>> {
    let mut found = find_all(database, lists.concat()).await.into_iter();
    lists.iter().map(|ids| found.by_ref().take(ids.len()).filter_map(Result::transpose).collect()).collect()
}

fn first(rows: Vec<UserRow>) -> sqlx::Result<Option<User>> {
    rows.into_iter().next().map(user).transpose()
}

fn user((id, email, name): UserRow) -> sqlx::Result<User> {
    Ok(User {
        id: id.try_into().map_err(DatabaseError::unreadable)?,
        email: email.try_into().map_err(DatabaseError::unreadable)?,
        name: name.try_into().map_err(DatabaseError::unreadable)?,
    })
}
